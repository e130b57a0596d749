//! What is wrong with a document, where, and what would be right.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::Position;

/// One thing that is wrong with a document.
///
/// `Display` gives one line, made for logs: `config.yaml:12:9: gadgets[0].metrics[1].type: unknown value "conter",
/// expected one of counter, gauge, histogram; did you mean "counter"?`. [`Fault::long`] adds the line itself with a
/// caret below it, made for terminals. `Serialize` gives the same as a JSON object. None of them shows a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Where it is written.
    pub at: Position,
    /// The way to it through the document, such as `gadgets[0].metrics[1].type`; empty for the document itself.
    pub path: String,
    /// What is wrong, as a lower-case phrase without the value.
    pub problem: String,
    /// What is written there, shortened; `None` where showing it helps nobody or must not happen.
    pub value: Option<String>,
    /// What could stand there instead.
    pub expected: Option<String>,
    /// What to do about it, or what was probably meant.
    pub hint: Option<String>,
    /// The other place that this one collides with.
    pub other: Option<Position>,
    /// The line of the document, and how many characters from the column on are to blame.
    pub(crate) excerpt: Option<Excerpt>,
}

/// The line to show below a fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Excerpt {
    pub(crate) line: String,
    pub(crate) length: usize,
}

/// Longest value and line shown; longer ones are cut.
const SHOWN: usize = 100;

impl Fault {
    /// A fault at `at` that says `problem`.
    pub fn new(at: Position, path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            at,
            path: path.into(),
            problem: problem.into(),
            value: None,
            expected: None,
            hint: None,
            other: None,
            excerpt: None,
        }
    }

    /// Adds what is written there.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        self.value = Some(shorten(value, SHOWN));
        self
    }

    /// Adds what could stand there instead.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean" if one of `candidates` is near to `written`.
    #[must_use]
    pub fn suggest<'a>(self, written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match ig_model::nearest(written, candidates) {
            Some(near) => self.hint(format!("did you mean {}?", quoted(near))),
            None => self,
        }
    }

    /// Adds the other place that this one collides with.
    #[must_use]
    pub fn other(mut self, other: Position) -> Self {
        self.other = Some(other);
        self
    }

    pub(crate) fn excerpt(mut self, line: String, length: usize) -> Self {
        self.excerpt = Some(Excerpt { line, length });
        self
    }

    /// The fault without its place: what [`Display`](fmt::Display) says after the position.
    pub fn message(&self) -> String {
        let mut text = String::new();
        if !self.path.is_empty() {
            text.push_str(&self.path);
            text.push_str(": ");
        }
        text.push_str(&self.problem);
        if let Some(value) = &self.value {
            text.push(' ');
            text.push_str(&quoted(value));
        }
        if let Some(expected) = &self.expected {
            text.push_str(", expected ");
            text.push_str(expected);
        }
        if let Some(other) = &self.other {
            text.push_str(", first at ");
            text.push_str(&other.to_string());
        }
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }

    /// The form for terminals: the one-line form, then the line of the document with a caret below.
    pub fn long(&self) -> String {
        let mut text = self.to_string();
        let Some(Excerpt { line, length }) = &self.excerpt else { return text };
        let number = self.at.line.to_string();
        let margin = " ".repeat(number.len());
        let column = (self.at.column.max(1) - 1) as usize;
        // Tabs keep their width if the marker line repeats them. A line far longer than a terminal is cut around
        // the place that matters.
        let cut = column.saturating_sub(SHOWN / 2);
        let shown: String = line.chars().skip(cut).take(SHOWN).collect();
        let pad: String =
            shown.chars().take(column - cut).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = shown.chars().count().saturating_sub(column - cut).max(1);
        let carets = "^".repeat((*length).clamp(1, room));
        text.push_str(&format_lines(&margin, &number, &shown, &pad, &carets));
        text
    }
}

fn format_lines(margin: &str, number: &str, shown: &str, pad: &str, carets: &str) -> String {
    format!("\n{margin} |\n{number} | {shown}\n{margin} | {pad}{carets}")
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message())
    }
}

impl Serialize for Fault {
    /// Gives `file`, `line`, `column`, `path`, `problem`, `value`, `expected`, `hint`, `other` and `message`; what is
    /// not known is left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &*self.at.file)?;
        if self.at.line > 0 {
            map.serialize_entry("line", &self.at.line)?;
            map.serialize_entry("column", &self.at.column)?;
        }
        if !self.path.is_empty() {
            map.serialize_entry("path", &self.path)?;
        }
        map.serialize_entry("problem", &self.problem)?;
        for (key, text) in [("value", &self.value), ("expected", &self.expected), ("hint", &self.hint)] {
            if let Some(text) = text {
                map.serialize_entry(key, text)?;
            }
        }
        if let Some(other) = &self.other {
            map.serialize_entry("other", &other.to_string())?;
        }
        map.serialize_entry("message", &self.message())?;
        map.end()
    }
}

/// Puts `text` in double quotes, with control characters escaped so that a log line stays one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Cuts `text` to `most` characters.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}...", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}
