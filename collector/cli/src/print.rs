//! The one place that writes to standard output and standard error.
//!
//! Standard output takes data. A reader that has gone away has seen what it wanted: that is no failure, and the exit
//! status is what the command came to, so that `ig … | head` also works under `set -o pipefail`. Data that cannot be
//! written for another reason, such as a full disk, is a failure.
//!
//! Standard error takes what is said beside the data. Nothing in it acts on a terminal, for images, registries and files
//! have a say in it. Where it cannot be written, there is nobody to say it to, and the command goes on. Where the log is
//! JSON, so is what is said: one object a line.

use std::io::{self, IsTerminal, Write as _};

use clap::error::ErrorKind;
use ig_model::{environment, text::printable_lines};
use serde_json::{Map, Value};

use crate::{failure::Failure, log};

/// What a line on standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What goes on.
    Note,
    /// What may not be as wanted.
    Warning,
    /// Why the command failed.
    Error,
}

/// Says what goes on, in the words of `format!`.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::print::notice($crate::print::Kind::Note, &format!($($words)*), None)
    };
}

/// Warns, in the words of `format!`.
macro_rules! warning {
    ($($words:tt)*) => {
        $crate::print::notice($crate::print::Kind::Warning, &format!($($words)*), None)
    };
}

impl Kind {
    /// The word in front of the text, and the colour it has on a terminal.
    fn label(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Note => None,
            Self::Warning => Some(("warning: ", "\x1b[1;33m")),
            Self::Error => Some(("error: ", "\x1b[1;31m")),
        }
    }

    /// Level and name of the line in a log of JSON.
    fn event(self) -> (&'static str, &'static str) {
        match self {
            Self::Note => ("info", "command.note"),
            Self::Warning => ("warn", "command.warning"),
            Self::Error => ("error", "command.failed"),
        }
    }
}

/// Whether escape sequences for colours mean something on `stream` and are wanted.
pub(crate) fn has_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && environment::variable("NO_COLOR").is_none()
        && environment::variable("TERM").is_none_or(|term| term != "dumb")
}

/// Writes data to standard output.
///
/// # Errors
/// Everything but a reader that has gone away.
pub(crate) fn out(data: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stream = io::stdout().lock();
    match stream.write_all(data.as_ref()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::text(format!("failed to write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something on standard error, with what to do about it.
pub(crate) fn notice(kind: Kind, text: &str, hint: Option<&str>) {
    let lines = if log::is_json() {
        json_line(kind, text, hint)
    } else {
        text_lines(kind, text, hint, has_colour(&io::stderr()))
    };
    log::put(lines.as_bytes());
}

/// What clap has to say about a command line: help goes to standard output, all else is wrong usage.
///
/// # Errors
/// The usage, if it is wrong; help that cannot be written.
pub(crate) fn usage(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::config(format!("what to do is not said\n\n{}", text.to_string().trim_end())));
    }
    if error.use_stderr() {
        let text = text.to_string();
        // No command takes values that begin with dashes.
        let lines = text.lines().filter(|line| !line.starts_with("  tip: to pass '-"));
        let text = lines.collect::<Vec<_>>().join("\n").replace("\n\n\n", "\n\n");
        return Err(Failure::config(text.trim_start_matches("error: ").trim_end().to_owned()));
    }
    out(if has_colour(&io::stdout()) { text.ansi().to_string() } else { text.to_string() })
}

fn text_lines(kind: Kind, text: &str, hint: Option<&str>, colour: bool) -> String {
    let plain = if colour { "\x1b[0m" } else { "" };
    let labelled = |label: &str, sequence: &str, text: &str| {
        let sequence = if colour { sequence } else { "" };
        format!("{sequence}{label}{plain}{}\n", printable_lines(text))
    };
    let mut lines = match kind.label() {
        Some((label, sequence)) => labelled(label, sequence, text),
        None => format!("{}\n", printable_lines(text)),
    };
    if let Some(hint) = hint {
        lines.push_str(&labelled("hint: ", "\x1b[1;36m", hint));
    }
    lines
}

fn json_line(kind: Kind, text: &str, hint: Option<&str>) -> String {
    let (level, name) = kind.event();
    let mut object = Map::new();
    object.insert("time".to_owned(), Value::String(log::now()));
    object.insert("level".to_owned(), Value::from(level));
    object.insert("name".to_owned(), Value::from(name));
    object.insert("message".to_owned(), Value::from(text));
    if let Some(hint) = hint {
        object.insert("hint".to_owned(), Value::from(hint));
    }
    format!("{}\n", Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an error with a hint, a warning and a note, with and without colour.
    /// Guarantees: the words are the same; colour is on the labels alone, and a note has none.
    #[test]
    fn labels_have_colours_and_text_has_none() {
        let lines = |kind, colour| text_lines(kind, "it broke", Some("mend it"), colour);
        assert_eq!(lines(Kind::Error, false), "error: it broke\nhint: mend it\n");
        assert_eq!(
            lines(Kind::Error, true),
            "\x1b[1;31merror: \x1b[0mit broke\n\x1b[1;36mhint: \x1b[0mmend it\n"
        );
        assert_eq!(text_lines(Kind::Warning, "take care", None, false), "warning: take care\n");
        assert_eq!(text_lines(Kind::Note, "done", None, true), "done\n");
    }

    /// Scenario: text of several lines is said while the log is JSON.
    /// Guarantees: it is one line with the members that every line of the log has.
    #[test]
    fn a_notice_in_json_is_one_line() {
        let line = json_line(Kind::Error, "two\nlines", Some("a \"hint\""));
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["name"]), (&"error".into(), &"command.failed".into()));
        assert_eq!((&value["message"], &value["hint"]), (&"two\nlines".into(), &"a \"hint\"".into()));
        assert!(value["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}
