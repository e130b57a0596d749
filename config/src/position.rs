//! Where in which file something was written.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A place in a document: file, line and column, both counted from one, columns in characters.
///
/// # Equality
/// Two positions are always equal and hash alike. Positions ride along in documents so that a fault found hours
/// later still names its line; but a gadget that only moved down because a comment was added above it is the same
/// gadget, and a reload must not restart it. With this rule the documents can derive `PartialEq` whole, and a new
/// key cannot be forgotten in a hand-written comparison.
#[derive(Clone, Debug)]
pub struct Position {
    /// The file as the caller named it.
    pub file: Arc<str>,
    /// Line, from one; zero when the position is the file as a whole.
    pub line: u32,
    /// Column in characters, from one; zero when the position is the file as a whole.
    pub column: u32,
}

impl Position {
    /// A place in `file`.
    pub fn new(file: &Arc<str>, line: u32, column: u32) -> Self {
        Self { file: Arc::clone(file), line, column }
    }

    /// `file` as a whole, for faults that no line is to blame for.
    pub fn whole(file: &str) -> Self {
        Self { file: Arc::from(file), line: 0, column: 0 }
    }
}

impl Default for Position {
    /// A position for documents built in code instead of read from a file.
    fn default() -> Self {
        Self::whole("(built in)")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

impl Hash for Position {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
