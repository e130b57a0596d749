//! `allowed-gadgets`: which images may run, by name and digest.

use std::borrow::Cow;
use std::fmt;

use ig_model::Hint;

use crate::trust::settings::{Origin, Stated};
use crate::{Digest, Reference};

/// How many entries a message lists.
const SHOWN: usize = 5;

/// One list of allowed images; an empty one allows all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    entries: Vec<Stated<String>>,
    origin: Origin,
}

/// A rule refuses an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("image `{reference}` {rule}")]
pub struct Refusal {
    reference: Box<Reference>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Pulling(Origin),
    Allowed {
        origin: Origin,
        digest: Option<Digest>,
        entries: Vec<String>,
        more: usize,
    },
    /// What would run has this digest, not the one in its name.
    Misnamed(Digest),
}

impl AllowList {
    pub(super) fn new(list: Stated<Vec<Stated<String>>>) -> Self {
        let Stated { value: mut entries, origin } = list;
        entries.retain(|entry| !entry.value.is_empty());
        Self { entries, origin }
    }

    /// Whether the image may be allowed, as far as its name tells: an entry with a digest cannot be judged yet.
    pub(super) fn check_name(&self, reference: &Reference) -> Result<(), Refusal> {
        let may_match = |entry: &str| match reference.digest() {
            Some(digest) => matches(entry, reference, digest),
            None => matches_name(entry, reference) || names_digest_of(entry, reference),
        };
        self.judge(reference, None, may_match)
    }

    /// Whether the image is allowed.
    pub(super) fn check(&self, reference: &Reference, digest: Digest) -> Result<(), Refusal> {
        self.judge(reference, Some(digest), |entry| matches(entry, reference, digest))
    }

    fn judge(
        &self,
        reference: &Reference,
        digest: Option<Digest>,
        allows: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        if self.entries.is_empty() || self.entries.iter().any(|entry| allows(&entry.value)) {
            return Ok(());
        }
        let clip = |entry: &Stated<String>| entry.value.chars().take(200).collect();
        let rule = Rule::Allowed {
            origin: self.origin.clone(),
            digest,
            entries: self.entries.iter().take(SHOWN).map(clip).collect(),
            more: self.entries.len().saturating_sub(SHOWN),
        };
        Err(Refusal { reference: Box::new(reference.clone()), rule })
    }
}

fn matches(entry: &str, reference: &Reference, digest: Digest) -> bool {
    matches_name(entry, reference) || entry == format!("{}@{digest}", reference.repository())
}

/// Entries are compared as they are written; only a `*` at the end has a meaning.
fn matches_name(entry: &str, reference: &Reference) -> bool {
    let name = reference.to_string();
    entry == name || entry.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning))
}

/// Whether the entry is a digest of the same repository.
fn names_digest_of(entry: &str, reference: &Reference) -> bool {
    let digest = entry.strip_prefix(reference.repository().as_str()).and_then(|rest| rest.strip_prefix('@'));
    digest.is_some_and(|digest| digest.parse::<Digest>().is_ok())
}

impl Refusal {
    /// What has a digest in its name is nothing else, whatever a store says.
    pub(super) fn unless_named_by(reference: &Reference, digest: Digest) -> Result<(), Self> {
        match reference.digest() {
            Some(named) if named != digest => {
                Err(Self { reference: Box::new(reference.clone()), rule: Rule::Misnamed(digest) })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn pulling(reference: &Reference, origin: &Origin) -> Self {
        Self { reference: Box::new(reference.clone()), rule: Rule::Pulling(origin.clone()) }
    }
}

impl Hint for Refusal {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match &self.rule {
            Rule::Pulling(_) => format!(
                "bring the image here with `ig image import`, or build it with `ig image build PATH -t {}`",
                self.reference.short()
            ),
            Rule::Misnamed(_) => "remove the name with `ig image rm`, then fetch the image again".to_owned(),
            Rule::Allowed { origin, .. } => format!(
                "an entry `{}` in {origin} would allow it; entries are full names, or beginnings of them with `*` at the end",
                self.reference
            ),
        };
        Some(hint.into())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pulling(origin) => {
                write!(f, "is not here, and pulling is disallowed (`disallow-pulling` at {origin})")
            }
            Self::Misnamed(digest) => write!(f, "is named by another digest than its own, {digest}"),
            Self::Allowed { origin, digest, entries, more } => {
                if let Some(digest) = digest {
                    write!(f, "with digest {digest} ")?;
                }
                write!(
                    f,
                    "is not allowed: no entry of `allowed-gadgets` at {origin} matches: {}",
                    entries.join(", ")
                )?;
                if *more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
        }
    }
}
