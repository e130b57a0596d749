//! What a person can do about an error.

use std::borrow::Cow;

/// An error that may know a remedy.
///
/// The message of an error says what failed on what; the hint says what to do, and is shown on a line of its own. It is
/// kept apart to the edge, where the two are put together once.
pub trait Hint: std::error::Error {
    /// What to do, as a lower-case phrase without full stop, if anything is known to help.
    fn hint(&self) -> Option<Cow<'_, str>>;
}
