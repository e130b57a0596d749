//! What callers decide on: every error of this crate answers `kind()`, most answer `hint()`.

use std::io;

/// The few ways in which an operation of this crate can fail, for decisions rather than for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The named image, file or folder does not exist.
    NotFound,
    /// The operating system refused access.
    PermissionDenied,
    /// Another process holds the store's lock; trying again can help.
    Busy,
    /// Stored or downloaded content contradicts its description or its format.
    Corrupt,
    /// A rule forbids the image, or nobody trusted has signed it.
    Untrusted,
    /// A name, option or document given by the user is wrong.
    InvalidInput,
    /// A program that is to be run is not installed.
    MissingTool,
    /// A registry cannot be reached or does not answer as it should; trying later can help.
    Unavailable,
    /// Any other failure of the operating system.
    Io,
}

impl ErrorKind {
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::PermissionDenied,
            _ => Self::Io,
        }
    }
}
