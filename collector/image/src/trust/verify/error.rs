//! Why an image is not to be trusted, and what was tried.

use std::borrow::Cow;
use std::fmt;

use ig_model::Hint;

use super::{Candidate, Kind};
use crate::store::BlobError;
use crate::trust::cosign::{self, clip};
use crate::trust::notation::NotationRefusal;
use crate::trust::policy::Refusal;
use crate::trust::settings::Origin;
use crate::{Digest, ErrorKind, Reference, StoreError};

/// Most failed attempts kept for the message.
const MAX_ATTEMPTS: usize = 20;

/// An image is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A rule about names and digests refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Signatures are required, and there is nothing to check them with.
    #[error(
        "image `{reference}` cannot be verified: signatures are required by {required}, and no verification method is available: there is neither a public key nor a certificate"
    )]
    NoMethod {
        /// The image.
        reference: Box<Reference>,
        /// The setting that requires them.
        required: Box<Origin>,
    },
    /// Nobody signed it, as far as the store knows.
    #[error("image `{reference}` ({digest}) is not signed: the store has no signature of it")]
    Unsigned {
        /// The image.
        reference: Box<Reference>,
        /// Its digest.
        digest: Digest,
    },
    /// It has signatures, and none counts.
    #[error("no signature of image `{reference}` ({digest}) is trusted: {attempts}")]
    Untrusted {
        /// The image.
        reference: Box<Reference>,
        /// Its digest.
        digest: Digest,
        /// What was tried.
        attempts: Attempts,
    },
    /// It is not an image index, so nothing can have signed it as a whole.
    #[error("image `{reference}` is not an image index but `{media_type}`")]
    NotAnIndex {
        /// The image.
        reference: Box<Reference>,
        /// What it is.
        media_type: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The signatures that were tried in vain.
#[derive(Debug, Default)]
pub struct Attempts {
    failed: Vec<Attempt>,
    more: usize,
}

/// One signature that does not count.
#[derive(Debug)]
pub struct Attempt {
    /// How it is stored.
    pub kind: &'static str,
    /// Digest of its manifest, as it is listed.
    pub signature: String,
    /// Why it does not count.
    pub error: AttemptError,
}

/// Why one signature does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// A part of it is missing, too large or damaged.
    #[error("a part of it cannot be read: {}", ig_model::chain(.0))]
    Blob(#[from] BlobError),
    /// A document is not what it should be.
    #[error("its manifest or bundle is malformed: {0}")]
    Document(#[source] serde_json::Error),
    /// It has no layer, or too many.
    #[error("it has {0} layers")]
    Layers(usize),
    /// A layer holds something else.
    #[error("a layer is of the unknown kind `{0}`")]
    LayerKind(String),
    /// A layer has no signature beside it.
    #[error("a layer has no signature")]
    NoSignature,
    /// A bundle without envelope.
    #[error("the bundle has no DSSE envelope")]
    NoEnvelope,
    /// An envelope with no signature or several.
    #[error("the envelope has {0} signatures, expected 1")]
    Signatures(usize),
    /// Not base64.
    #[error("its signature or payload is not base64: {0}")]
    Encoding(#[source] base64::DecodeError),
    /// None of the keys made it.
    #[error("none of the {0} configured public keys made it")]
    NoKey(usize),
    /// It is signed, but does not say what.
    #[error("its payload is malformed: {0}")]
    Payload(#[source] serde_json::Error),
    /// It is about another image.
    #[error("it is for `{0}`")]
    OtherImage(String),
    /// The envelope holds something else.
    #[error("its payload is of the kind `{0}`, expected `{expected}`", expected = cosign::STATEMENT)]
    PayloadType(String),
    /// It says something about the image without approving it.
    #[error("it is a statement of the kind `{0}`, which does not approve the image")]
    Predicate(String),
    /// The method it needs is not configured.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    /// Notation's rules refuse it.
    #[error("{}", ig_model::chain(.0))]
    Notation(#[from] NotationRefusal),
}

impl Attempts {
    /// None yet, beside `more` signatures that are not looked at.
    pub(super) fn beside(more: usize) -> Self {
        Self { failed: Vec::new(), more }
    }

    pub(super) fn push(&mut self, candidate: &Candidate, error: AttemptError) {
        if self.failed.len() == MAX_ATTEMPTS {
            self.more += 1;
            return;
        }
        let kind = match candidate.kind {
            Kind::Cosign(format) => format.name(),
            Kind::Notation => "notation",
        };
        self.failed.push(Attempt { kind, signature: clip(&candidate.descriptor.digest), error });
    }

    /// The signatures, as many as were kept.
    pub fn failed(&self) -> &[Attempt] {
        &self.failed
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Attempt { kind, signature, error }) in self.failed.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{kind} signature {signature}: {error}")?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

impl VerifyError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoMethod { .. } => ErrorKind::InvalidInput,
            Self::NotAnIndex { .. } => ErrorKind::Corrupt,
            Self::Store(error) => error.kind(),
            Self::Refused(_) | Self::Unsigned { .. } | Self::Untrusted { .. } => ErrorKind::Untrusted,
        }
    }

    /// Whether the registry may have a signature that the store has not.
    pub fn fetching_may_help(&self) -> bool {
        matches!(self, Self::Unsigned { .. } | Self::Untrusted { .. })
    }
}

impl Hint for VerifyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::NoMethod { .. } => {
                Some("configure a public key, or certificates with a trust policy".into())
            }
            Self::Unsigned { reference, .. } => Some(format!(
                "sign it with `ig image sign {0} --key FILE`, or fetch its signatures with `ig image pull {0}`",
                reference.short()
            ).into()),
            Self::Untrusted { .. } => {
                Some("configure the public key of whoever signed it, if you trust them".into())
            }
            Self::Store(error) => error.hint(),
            Self::NotAnIndex { .. } => None,
        }
    }
}
