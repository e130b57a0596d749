//! Where in which file something was written.

use std::{fmt, sync::Arc};

/// A place in a document: file, line and column, both counted from one, columns in characters.
///
/// # Order
/// By the name of the file, then line, then column: faults sorted by position read like the documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Whether it is a file as a whole.
    pub fn is_whole(&self) -> bool {
        self.line == 0
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
        if self.is_whole() {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: positions in two files, on several lines and columns, and the files as wholes.
    /// Guarantees: they compare by file, line and column, in this order, as numbers; a whole file comes before its lines.
    #[test]
    fn positions_read_like_the_documents() {
        let (a, b): (Arc<str>, Arc<str>) = (Arc::from("a.yaml"), Arc::from("b.yaml"));
        let sorted = [
            Position::whole("a.yaml"),
            Position::new(&a, 2, 9),
            Position::new(&a, 2, 10),
            Position::new(&a, 10, 1),
            Position::new(&b, 1, 1),
        ];
        assert!(sorted.is_sorted());
        assert_ne!(sorted[1], sorted[2]);
        assert_eq!(sorted[1], Position::new(&Arc::from("a.yaml"), 2, 9));
    }
}
