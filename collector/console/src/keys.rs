//! Keys that are pressed while rows are printed: `q` ends the run.
//!
//! Keys come one by one, and unseen, only while the terminal does not wait for whole lines, so its settings are changed
//! and put back. Ctrl-C and the like work as ever.

use std::{
    io::{self, IsTerminal as _},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Mutex, PoisonError},
    thread,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::sync::watch;

/// The terminal whose settings were changed, and what they were.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// The keys of a terminal; its settings are put back when dropped.
#[derive(Debug)]
pub struct Keys {
    quit: watch::Receiver<bool>,
}

impl Keys {
    /// The keys of standard input, if rows go to a terminal and somebody sits at it who is not busy with another program.
    pub fn listen() -> Option<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        if !input.is_terminal() || !output.is_terminal() {
            return None;
        }
        // To change the settings of a terminal in the background would stop the process.
        if tcgetpgrp(&input).ok()? != rustix::process::getpgrp() {
            return None;
        }
        Self::of(input.as_fd().try_clone_to_owned().ok()?).ok()
    }

    fn of(terminal: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut settings = before.clone();
        settings.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        let input = terminal.try_clone()?;
        tcsetattr(&terminal, OptionalActions::Now, &settings)?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
        let (pressed, quit) = watch::channel(false);
        let keys = Self { quit };
        // It ends with the process at the latest: nothing wakes it but a key.
        thread::Builder::new().name("keys".to_owned()).spawn(move || read(&input, &pressed))?;
        Ok(keys)
    }

    /// Waits for `q`.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn quit(&self) {
        let mut quit = self.quit.clone();
        if quit.wait_for(|quit| *quit).await.is_err() {
            // Nobody reads keys any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the settings of the terminal back; for those who end the process without dropping anything.
pub fn restore() {
    if let Some((terminal, before)) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone has no settings.
        tcsetattr(terminal, OptionalActions::Now, &before).ok();
    }
}

fn read(input: &OwnedFd, pressed: &watch::Sender<bool>) {
    let mut keys = [0; 64];
    loop {
        match rustix::io::read(input, &mut keys) {
            Ok(0) => return,
            Ok(count) if keys.iter().take(count).any(|key| matches!(key, b'q' | b'Q')) => {
                pressed.send_replace(true);
                return;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;
    use crate::output::tests::block_on;

    /// Scenario: other keys and then `q` at a real pseudo terminal, without the key that ends a line.
    /// Guarantees: `q` is noticed; the settings of the terminal are afterwards what they were before.
    #[test]
    fn q_is_noticed_and_the_terminal_left_as_it_was() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let modes = || tcgetattr(&side).unwrap().local_modes;
        let before = modes();
        let keys = Keys::of(side.try_clone().unwrap().into()).unwrap();
        assert!(!modes().contains(LocalModes::ICANON) && modes().contains(LocalModes::ISIG));
        let mut master = File::from(master);
        master.write_all(b"xy").unwrap();
        assert!(!*keys.quit.borrow());
        master.write_all(b"q").unwrap();
        block_on(keys.quit());
        drop(keys);
        assert_eq!(modes(), before);
    }
}
