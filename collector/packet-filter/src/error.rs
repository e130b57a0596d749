//! What is wrong with an expression, and where.

use std::ops::Range;

/// Most characters of the expression that a message repeats.
const QUOTED: usize = 40;

/// Why a text is no packet filter. Columns count characters from one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("column {column}: {problem}{}{}", if hint.is_empty() { "" } else { "; " }, hint)]
pub struct FilterError {
    column: usize,
    problem: String,
    hint: String,
}

impl FilterError {
    /// A fault of one place of the text.
    pub(super) fn at(text: &str, span: &Range<usize>, problem: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        Self { column: before.chars().count() + 1, problem: problem.into(), hint: String::new() }
    }

    /// A fault of the whole text.
    pub(super) fn of_all(text: &str, problem: impl Into<String>) -> Self {
        Self::at(text, &(0..text.len()), problem)
    }

    /// Adds advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Where the fault begins, in characters from one.
    pub fn column(&self) -> usize {
        self.column
    }
}

/// A piece of the expression, fit for a message: short, and without characters that a terminal obeys.
pub(super) fn quote(piece: &str) -> String {
    let mut shown: String = piece.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if piece.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
