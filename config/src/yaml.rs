//! The one place where YAML text becomes values.
//!
//! serde_yaml says what each value is; it keeps no positions past a syntax error, so saphyr-parser reads the same
//! text beside it and says where each key and value stands. [`read`] joins the two into trees of [`Node`]s. Where
//! the two would read a text differently, it is refused: a document that means one thing to one reader and another
//! to the next is not something to run as root.
//!
//! The text is taken to be hostile. Its size, depth and number of values are bounded before values are built,
//! aliases count as what they expand to, and keys written twice are refused with both places.

mod resolve;
mod skeleton;
#[cfg(test)]
mod tests;

use crate::{Fault, Source, Span};

/// Largest text read, in bytes.
pub const MAX_TEXT: usize = 4 << 20;
/// Most values in one text, after aliases are expanded.
pub const MAX_NODES: usize = 100_000;
/// Most bytes in all scalars together, after aliases are expanded.
pub const MAX_EXPANDED: usize = 2 * MAX_TEXT;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;

/// One YAML document; several may stand in one text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text it came from.
    pub source: Source,
    /// Its value.
    pub root: Node,
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it is written; for a value reached by an alias, where the anchor is.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order they are written; no two keys have the same text.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The text of the key, whatever type YAML would give it.
    pub key: String,
    /// Where the key is written.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

/// A single value: what it means to YAML and how it is spelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text as written, without quotes and with escapes resolved: `0x1F` stays `0x1F`.
    pub text: String,
    /// What the text means.
    pub kind: ScalarKind,
}

/// What the text of a [`Scalar`] means by the YAML 1.2 core schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalarKind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction or an exponent, infinity or not-a-number.
    Float(f64),
    /// Anything else, and everything in quotes.
    Text,
}

/// Reads every document in `text`; `file` is the name that faults will carry.
///
/// Documents that hold nothing are left out.
///
/// # Errors
/// Syntax errors, duplicate keys (all of them), keys that are not scalars, tags of one's own making, and texts past
/// the limits of this module.
pub fn read(file: &str, text: &str) -> Result<Vec<Document>, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    if text.len() > MAX_TEXT {
        let problem = format!("document of {} bytes is too large", text.len());
        return Err(vec![source.fault(Span::default(), "", problem).expected(format!("at most {MAX_TEXT}"))]);
    }
    let mut roots = skeleton::read(&source)?;
    resolve::resolve(&source, &mut roots)?;
    let documents = roots.into_iter().filter(|root| !root.is_null());
    Ok(documents.map(|root| Document { source: source.clone(), root }).collect())
}

impl Node {
    /// The entries if this is a mapping.
    pub fn as_mapping(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items if this is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar if this is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The value of `key` if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of `key` if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_mapping()?.iter().find(|entry| entry.key == key)
    }

    /// True for `null`, `~` and nothing at all.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.kind == ScalarKind::Null)
    }

    /// What this is, in words for a message: `a number`, `a mapping`.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing",
                ScalarKind::Bool(_) => "a boolean",
                ScalarKind::Int(_) => "a whole number",
                ScalarKind::Float(_) => "a number",
                ScalarKind::Text => "text",
            },
        }
    }
}
