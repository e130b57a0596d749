//! What is known about the screen behind an output: whether there is one, how large it is, whether it has colours.
//!
//! The size is asked for each time it is needed, so a window that is resized is followed without a signal handler.

use std::{io::IsTerminal as _, os::fd::OwnedFd};

use rustix::termios::tcgetwinsize;

/// Bold, for headers.
pub(crate) const BOLD: &str = "\x1b[1m";
/// Red, for the name of an error.
pub(crate) const RED: &str = "\x1b[31m";
/// Back to plain.
pub(crate) const PLAIN: &str = "\x1b[0m";
/// Cursor to the corner, screen cleared.
pub(crate) const CLEAR: &str = "\x1b[H\x1b[2J";

/// Cells in a line of a screen that does not know.
const USUAL_COLUMNS: usize = 80;

/// A screen, or the lack of one.
#[derive(Debug)]
pub struct Terminal {
    device: Device,
    cursor: bool,
    colour: bool,
    /// Width that the environment gives for a device that does not know.
    columns: Option<usize>,
}

#[derive(Debug)]
enum Device {
    None,
    Real(OwnedFd),
    Fixed(Size),
}

/// Size of a screen in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cells in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Terminal {
    /// The terminal behind `fd`, if it is one; `environment` answers with the value of a variable.
    pub fn of(fd: OwnedFd, environment: impl Fn(&str) -> Option<String>) -> Self {
        if !fd.is_terminal() {
            return Self::none();
        }
        let columns = environment("COLUMNS").and_then(|text| text.trim().parse().ok()).filter(|n| *n > 0);
        let capable = environment("TERM").is_none_or(|term| term != "dumb");
        let plain = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { device: Device::Real(fd), cursor: capable, colour: capable && !plain, columns }
    }

    /// No screen: a pipe or a file.
    pub fn none() -> Self {
        Self { device: Device::None, cursor: false, colour: false, columns: None }
    }

    /// A screen of a given size, for those who draw into memory.
    pub fn fixed(size: Size, colour: bool) -> Self {
        Self { device: Device::Fixed(size), cursor: true, colour, columns: None }
    }

    /// Whether somebody looks at it.
    pub fn is_terminal(&self) -> bool {
        !matches!(self.device, Device::None)
    }

    /// Whether escape sequences for the cursor mean something.
    pub fn has_cursor(&self) -> bool {
        self.cursor
    }

    /// Whether colours are wanted.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// Cells in a line, or `None` where lines may be of any length.
    pub fn columns(&self) -> Option<usize> {
        let size = || self.size().map(|size| size.columns).or(self.columns).unwrap_or(USUAL_COLUMNS);
        self.is_terminal().then(size)
    }

    /// The size right now; `None` without a screen, or if the screen does not know.
    pub fn size(&self) -> Option<Size> {
        match &self.device {
            Device::None => None,
            Device::Fixed(size) => Some(*size),
            Device::Real(fd) => {
                let size = tcgetwinsize(fd).ok()?;
                let known = Size { columns: size.ws_col.into(), rows: size.ws_row.into() };
                (known.columns > 0 && known.rows > 0).then_some(known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::{
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::{Winsize, tcsetwinsize},
    };

    use super::*;

    fn pseudo_terminal() -> (OwnedFd, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        (master, side)
    }

    /// Scenario: a terminal that knows neither its size nor escape sequences.
    /// Guarantees: it is one nevertheless, of 80 columns; nothing but text goes there.
    #[test]
    fn a_dumb_terminal_is_a_terminal() {
        let (_master, side) = pseudo_terminal();
        let terminal = Terminal::of(side.into(), |name| (name == "TERM").then(|| "dumb".to_owned()));
        assert!(terminal.is_terminal() && !terminal.has_colour() && !terminal.has_cursor());
        assert_eq!(terminal.columns(), Some(80));
    }

    /// Scenario: a real pseudo terminal is resized while it is in use.
    /// Guarantees: the next question gets the new size; a size of zero counts as unknown and COLUMNS steps in.
    #[test]
    fn a_resized_terminal_is_followed() {
        let (master, side) = pseudo_terminal();
        let terminal = Terminal::of(side.into(), |name| (name == "COLUMNS").then(|| "77".to_owned()));
        assert!(terminal.is_terminal() && terminal.has_colour());
        assert_eq!(terminal.columns(), Some(77));
        for columns in [20, 132] {
            tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
                .unwrap();
            assert_eq!(terminal.size(), Some(Size { columns: columns.into(), rows: 24 }));
        }
    }

    /// Scenario: output goes to a file, whatever COLUMNS says.
    /// Guarantees: no colours, no cursor movement, lines of any length.
    #[test]
    fn files_are_no_terminals() {
        let file = || OwnedFd::from(File::open("/dev/null").unwrap());
        for columns in [None, Some("0"), Some("60")] {
            let terminal = Terminal::of(file(), |_| columns.map(str::to_owned));
            assert!(!terminal.is_terminal() && !terminal.has_colour() && !terminal.has_cursor());
            assert_eq!(terminal.columns(), None);
        }
    }
}
