//! Why a stored image cannot be loaded.

use std::borrow::Cow;
use std::io;

use ig_model::Hint;

use super::{BlobError, Part, ResolveError, list};
use crate::{Arch, Digest, ErrorKind, Reference};

/// A stored image cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadImageError {
    /// The name leads nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The name leads to something that is not an image index.
    #[error("image `{reference}` is not an image index but `{media_type}`")]
    NotAnIndex {
        /// The image.
        reference: Box<Reference>,
        /// What it is instead.
        media_type: String,
    },
    /// Index or manifest is not the document it should be.
    #[error("{part} `{digest}` of image `{reference}` is malformed")]
    Document {
        /// The image.
        reference: Box<Reference>,
        /// Which document.
        part: Part,
        /// Its digest.
        digest: Digest,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// The image was not built for this machine.
    #[error("image `{reference}` has no manifest for {wanted}, only for: {}", list(.available))]
    Platform {
        /// The image.
        reference: Box<Reference>,
        /// The architecture asked for.
        wanted: Arch,
        /// The architectures it has.
        available: Vec<String>,
    },
    /// The manifest has two layers of a kind that can stand only once.
    #[error("image `{reference}` has more than one {part}")]
    DuplicateLayer {
        /// The image.
        reference: Box<Reference>,
        /// Which layer.
        part: Part,
    },
    /// The `gadget.yaml` is not text.
    #[error("the gadget.yaml of image `{reference}` is not UTF-8 text")]
    NotText {
        /// The image.
        reference: Box<Reference>,
        /// Where it breaks.
        #[source]
        source: std::string::FromUtf8Error,
    },
    /// A blob is missing, too large or damaged.
    #[error("failed to load the {part} of image `{reference}`")]
    Blob {
        /// The image.
        reference: Box<Reference>,
        /// Which blob.
        part: Part,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
}

impl LoadImageError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Platform { .. } => ErrorKind::NotFound,
            Self::Blob { source: BlobError::Io { source, .. }, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ErrorKind::PermissionDenied
            }
            _ => ErrorKind::Corrupt,
        }
    }
}

impl Hint for LoadImageError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Platform { reference, wanted, .. } => Some(
                format!("build it with `ig image build PATH -t {} --arch {wanted}`", reference.short())
                    .into(),
            ),
            Self::Blob { reference, .. } | Self::Document { reference, .. } => Some(
                format!(
                    "the stored copy is unusable; build it again with `ig image build PATH -t {}`",
                    reference.short()
                )
                .into(),
            ),
            _ => None,
        }
    }
}
