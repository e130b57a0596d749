//! What may be written in a document, said once.
//!
//! An [`Object`] lists the keys of a mapping with their types, defaults and one sentence each. The checker
//! ([`check`]), the typed access ([`fields`]), the JSON schema and the key reference all read these tables, so that
//! they cannot drift apart.

pub(crate) mod check;
pub(crate) mod fields;

use std::time::Duration;

/// The keys of a mapping.
#[derive(Debug)]
pub(crate) struct Object {
    /// Name in the schema and the key reference.
    pub(crate) name: &'static str,
    /// What it is for, in one or two sentences.
    pub(crate) doc: &'static str,
    /// In the order people should read them.
    pub(crate) keys: &'static [Key],
    /// Whether exactly one of the keys must be given.
    pub(crate) one_of: bool,
}

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What happens with it in this version.
    pub(crate) status: Status,
    pub(crate) required: bool,
    /// What holds when it is left out, spelled as in a document.
    pub(crate) default: Option<&'static str>,
    /// One sentence.
    pub(crate) doc: &'static str,
}

/// What happens with a key in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Supported,
    /// Part of the format, refused for now; the text says what to do instead.
    NotYet(&'static str),
    /// Was or is called otherwise, here or elsewhere; the text says what to write.
    Renamed(&'static str),
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Text that keeps a rule.
    Text(&'static TextRule),
    /// Text that is not shown, a legal header value.
    Secret,
    /// Any single value but nothing, taken as it is spelled.
    Literal,
    /// Any single value, taken as it is spelled; if it is not empty, it keeps the rule. The way Go reads a string.
    Spelled(&'static TextRule),
    Bool,
    Whole {
        min: u64,
        max: u64,
    },
    Number,
    Duration {
        least: Duration,
        most: Duration,
        /// Whether zero is allowed though it is below the least.
        zero: bool,
    },
    Size {
        min: u64,
        max: u64,
    },
    /// One of these words; the others belong to the format and are refused for now.
    Word(fn() -> Vec<&'static str>, &'static [&'static str]),
    /// Address and port.
    Address,
    /// A file; relative ones are taken from the directory of the document.
    Path,
    Object(&'static Object),
    List(&'static Kind),
    Map {
        keys: &'static TextRule,
        values: &'static Kind,
    },
    /// The first if a mapping is written, else the second.
    Either(&'static Object, &'static Kind),
}

/// A rule for text.
#[derive(Debug)]
pub(crate) struct TextRule {
    /// What is expected, to follow "expected".
    pub(crate) expected: &'static str,
    /// The rule or a part of it as a regular expression, for the schema.
    pub(crate) pattern: Option<&'static str>,
    /// The rule; the error is a hint and may be empty.
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// An enum whose variants are words in documents.
pub trait Word: Copy + PartialEq + 'static {
    /// Every variant with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The word of this variant.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, variant)| *variant == self).map_or("", |(word, _)| word)
    }

    /// The variant of `word`.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, variant)| *variant)
    }
}

/// The words of `W`, for [`Kind::Word`].
pub(crate) fn words<W: Word>() -> Vec<&'static str> {
    W::WORDS.iter().map(|(word, _)| *word).collect()
}

impl Key {
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, status: Status::Supported, required: false, default: None, doc }
    }

    pub(crate) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, status: Status::Supported, required: true, default: None, doc }
    }

    pub(crate) const fn defaults(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, status: Status::Supported, required: false, default: Some(default), doc }
    }

    pub(crate) const fn not_yet(name: &'static str, instead: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Literal,
            status: Status::NotYet(instead),
            required: false,
            default: None,
            doc,
        }
    }

    pub(crate) const fn renamed(name: &'static str, instead: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Literal,
            status: Status::Renamed(instead),
            required: false,
            default: None,
            doc: "",
        }
    }
}

impl Object {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The keys that may be written.
    pub(crate) fn supported(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().filter(|key| key.status == Status::Supported)
    }
}

impl Kind {
    /// What is expected, to follow "expected".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text(rule) | Self::Spelled(rule) => rule.expected.to_owned(),
            Self::Secret => "text without line breaks".to_owned(),
            Self::Literal => "a single value".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Whole { min, max } if min == max => format!("the number {min}"),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number => "a finite number".to_owned(),
            Self::Duration { least, most, zero } => {
                let zero = if *zero { ", or 0" } else { "" };
                let show = crate::value::show_duration;
                format!("a duration from {} to {}{zero}", show(*least), show(*most))
            }
            Self::Size { min, max } => {
                format!("a size from {} to {}", show_size(*min), show_size(*max))
            }
            Self::Word(words, _) => format!("one of {}", words().join(", ")),
            Self::Address => "an address and port such as 127.0.0.1:2224".to_owned(),
            Self::Path => "the path of a file".to_owned(),
            Self::Object(_) | Self::Map { .. } => "a mapping".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Either(_, kind) => format!("a mapping or {}", kind.expected()),
        }
    }
}

/// Writes a size with the largest binary unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= factor {
            return format!("{}{unit}", bytes >> factor);
        }
    }
    format!("{bytes}B")
}
