//! How a command fails: one message, its causes, a hint, an exit status.

use std::{error::Error, process::ExitCode};

use ig_model::Hint;

use crate::print;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Something went wrong on the way.
    pub(crate) fn new(error: &dyn Error) -> Self {
        Self { status: 1, message: with_causes(error), hint: None }
    }

    /// Something went wrong on the way, and the error may know a remedy.
    pub(crate) fn hinted(error: &impl Hint) -> Self {
        Self::new(error).hint_of(error)
    }

    /// Something went wrong, in words.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self { status: 1, message: message.into(), hint: None }
    }

    /// The configuration or the usage is wrong.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { status: 2, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what an error knows to do about it.
    pub(crate) fn hint_of(self, error: &impl Hint) -> Self {
        match error.hint() {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Tells the user and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        print::notice(print::Kind::Error, &self.message, self.hint.as_deref());
        ExitCode::from(self.status)
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in ig_model::causes(error) {
        text.push_str("\ncaused by: ");
        text.push_str(&cause.to_string());
    }
    text
}
