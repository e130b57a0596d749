//! Where a part of a document is written, without making it a part of what the document means.

use std::{fmt, ops::Deref};

pub use ig_model::Position;

/// Something that rides along in a document and that comparisons of documents leave out: two of them are always equal.
///
/// Documents keep the positions of their parts, so that a fault found hours later still names its line. But a gadget
/// that moved down because a comment was added above it is the same gadget, and a reload must not restart it. Behind
/// this type the documents can derive `PartialEq` whole, and a new key cannot be forgotten in a comparison written by
/// hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotCompared<T>(T);

impl<T: Clone> NotCompared<T> {
    /// The thing itself, which compares.
    pub fn cloned(&self) -> T {
        self.0.clone()
    }
}

impl<T> From<T> for NotCompared<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for NotCompared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Display> fmt::Display for NotCompared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> PartialEq for NotCompared<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for NotCompared<T> {}
