//! The text of one document file, with its lines indexed so that a fault can show the one it is about.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    Fault, Position,
    fault::{quoted, shorten},
};

/// Where a value or a key begins and ends; lines and columns count from one, the end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Line just past the last character.
    pub end_line: u32,
    /// Column just past the last character.
    pub end_column: u32,
}

/// The text of one file, kept while faults may still be found in it.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<str>,
    text: Arc<str>,
    /// Byte offset at which each line begins; never empty.
    lines: Arc<[usize]>,
    /// Places whose text must not be shown.
    secrets: Vec<Span>,
    /// Whether the places above are known; a text that is not YAML never gets this far.
    screened: bool,
    /// What the document says where something else was put in its place.
    written: HashMap<Span, String>,
    /// Places where something else should have been put and could not be had.
    broken: HashSet<Span>,
}

/// Longest line kept for an excerpt; the fault cuts it to the width of a terminal later.
const LONGEST_LINE: usize = 4096;

impl Source {
    /// Indexes the lines of `text`, read from `file`.
    pub fn new(file: &str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter_map(|(at, byte)| match byte {
            b'\n' => Some(at + 1),
            b'\r' if bytes.get(at + 1) != Some(&b'\n') => Some(at + 1),
            _ => None,
        });
        let lines = std::iter::once(0).chain(breaks).collect();
        Self {
            file: Arc::from(file),
            text: Arc::from(text),
            lines,
            secrets: Vec::new(),
            screened: false,
            written: HashMap::new(),
            broken: HashSet::new(),
        }
    }

    /// The file as the caller named it.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Notes that every secret is going to be hidden by [`Source::hide`]. Until then no line is shown that looks as if
    /// it held one.
    pub(crate) fn screened(&mut self) {
        self.screened = true;
    }

    /// Blanks the text at `span` in every excerpt from now on.
    pub fn hide(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// Whether the text at `span` must not be shown.
    pub(crate) fn hides(&self, span: Span) -> bool {
        let within = |outer: &Span| {
            (outer.line, outer.column) <= (span.line, span.column)
                && (span.end_line, span.end_column) <= (outer.end_line, outer.end_column)
        };
        self.secrets.iter().any(within)
    }

    /// Notes that the document says `text` at `span`, where something else was put in its place.
    pub(crate) fn substituted(&mut self, span: Span, text: String) {
        self.written.insert(span, text);
    }

    /// Whether something else was put in the place of what the document says at `span`.
    pub(crate) fn is_substituted(&self, span: Span) -> bool {
        self.written.contains_key(&span)
    }

    /// The text to show for a value that reads `text`: what the document says, not what was put in, and no secret.
    pub(crate) fn shown<'t>(&'t self, span: Span, text: &'t str) -> &'t str {
        if self.hides(span) { "<hidden>" } else { self.written.get(&span).map_or(text, String::as_str) }
    }

    /// Notes that what should be put in at `span` could not be had, which was reported.
    pub(crate) fn broken(&mut self, span: Span) {
        self.broken.insert(span);
    }

    /// Whether the text at `span` is not the one that was meant.
    pub(crate) fn is_broken(&self, span: Span) -> bool {
        self.broken.contains(&span)
    }

    /// The beginning of `span` as a position in this file; never outside of the text.
    pub fn position(&self, span: Span) -> Position {
        let line = span.line.clamp(1, u32::try_from(self.lines.len()).unwrap_or(u32::MAX));
        let most = self.line(line).chars().count() + 1;
        let column = if line == span.line { span.column.max(1) } else { u32::MAX };
        Position::new(&self.file, line, column.min(u32::try_from(most).unwrap_or(u32::MAX)))
    }

    /// A fault at `span` with the line as its excerpt.
    pub fn fault(&self, span: Span, path: impl Into<String>, problem: impl Into<String>) -> Fault {
        let at = self.position(span);
        if !self.screened && looks_secret(self.line(at.line)) {
            return Fault::new(at, path, problem);
        }
        let line = self.masked(at.line);
        let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
        Fault::new(at, path, problem).excerpt(line, length.max(1) as usize)
    }

    /// The text of a line without its break.
    fn line(&self, number: u32) -> &str {
        let index = number.saturating_sub(1) as usize;
        let start = self.lines.get(index).copied().unwrap_or(self.text.len());
        let end = self.lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }

    /// The line as it may be shown: secrets as asterisks, control characters as spaces.
    fn masked(&self, number: u32) -> String {
        let hidden = |column: u32| {
            self.secrets.iter().any(|span| {
                let after_start = (number, column) >= (span.line, span.column);
                after_start && (number, column) < (span.end_line, span.end_column)
            })
        };
        let shown = (1..).zip(self.line(number).chars()).take(LONGEST_LINE);
        shown
            .map(|(column, c)| match c {
                '\t' => '\t',
                c if c.is_control() => ' ',
                c if !c.is_whitespace() && hidden(column) => '*',
                c => c,
            })
            .collect()
    }
}

/// Parts of keys whose values nobody else should read.
const SECRET: [&str; 6] = ["header", "authorization", "password", "token", "secret", "credential"];

/// Whether a key, or a line with keys, looks as if it held a secret.
pub(crate) fn looks_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET.iter().any(|part| text.contains(part))
}

/// Adds a key to a path through a document, quoted where it would read ambiguously.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let key = if plain { key.to_owned() } else { quoted(&shorten(key, 100)) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Adds an index to a path through a document.
pub(crate) fn at_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
