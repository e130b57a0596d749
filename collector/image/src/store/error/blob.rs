//! What can be wrong with a blob: on disk, on its way in, and as a step of a walk.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use ig_model::Hint;

use super::StoreError;
use crate::{Digest, ErrorKind, ParseDigestError};

/// A blob cannot be trusted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The descriptor names no usable digest.
    #[error("its descriptor is malformed")]
    Digest(#[from] ParseDigestError),
    /// The descriptor announces more than is allowed; nothing was read.
    #[error("it has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The announced size.
        size: u64,
        /// The bound for this part.
        limit: u64,
    },
    /// The blobs before it used up what one import may bring.
    #[error("it would bring more than the {limit} bytes allowed at once")]
    Budget {
        /// The bound for all blobs together.
        limit: u64,
    },
    /// It cannot be stored.
    #[error("it cannot be stored")]
    Ingest(#[source] Box<IngestError>),
    /// The file's size is not the announced one.
    #[error("blob `{path}` has {actual} bytes, expected {expected}")]
    Size {
        /// The blob's file.
        path: PathBuf,
        /// Bytes announced.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// The content is not what the digest promises.
    #[error("blob `{path}` is damaged, its content has digest {actual}")]
    Content {
        /// The blob's file.
        path: PathBuf,
        /// The digest of what is there.
        actual: Digest,
    },
    /// The file cannot be read.
    #[error("failed to read blob `{path}`")]
    Io {
        /// The blob's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A blob cannot be written into the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// It is announced larger than the store takes.
    #[error("blob `{digest}` has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The announced digest.
        digest: Digest,
        /// The announced size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// More bytes came than were announced.
    #[error("blob `{digest}` goes on after the {size} bytes announced")]
    TooLong {
        /// The announced digest.
        digest: Digest,
        /// The announced size.
        size: u64,
    },
    /// Fewer bytes came than were announced.
    #[error("blob `{digest}` ends after {actual} of {size} bytes")]
    TooShort {
        /// The announced digest.
        digest: Digest,
        /// The announced size.
        size: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The bytes cannot be read where they come from.
    #[error("failed to read `{path}`")]
    Source {
        /// The file they come from.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that the digest promises.
    #[error("blob `{digest}` has other content, of digest {actual}")]
    Content {
        /// The announced digest.
        digest: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A step from a descriptor to what it describes failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A blob is missing, damaged or too large.
    #[error("{media_type} `{digest}` is not usable")]
    Blob {
        /// What the blob is said to be.
        media_type: String,
        /// Its digest, as written.
        digest: String,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// An index or manifest is not the document it should be.
    #[error("{media_type} `{digest}` is malformed")]
    Document {
        /// What the blob is said to be.
        media_type: String,
        /// Its digest.
        digest: Digest,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// There are more blobs than one walk visits.
    #[error("it leads to more than {limit} blobs")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// What a descriptor says of a blob differs from what another one says.
    #[error("`{digest}` is described with {first} and with {second} bytes")]
    Contradiction {
        /// The digest.
        digest: Digest,
        /// One size.
        first: u64,
        /// The other size.
        second: u64,
    },
}

/// The parts an image consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The image index.
    Index,
    /// The manifest of one architecture.
    Manifest,
    /// The `gadget.yaml`.
    Metadata,
    /// The layer with the eBPF object.
    Ebpf,
    /// The layer with the WASM module.
    Wasm,
    /// The layer with BTF files.
    Btfgen,
}

impl Part {
    /// The most bytes this part may have.
    pub const fn limit(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Index | Self::Manifest => 4 * MIB,
            Self::Metadata => MIB,
            Self::Ebpf | Self::Wasm => 64 * MIB,
            Self::Btfgen => 256 * MIB,
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Metadata => "gadget.yaml",
            Self::Ebpf => "eBPF object",
            Self::Wasm => "WASM module",
            Self::Btfgen => "BTF archive",
        })
    }
}

impl WalkError {
    /// Whether the disk, rather than what is on it, kept a blob from being read.
    pub(in crate::store) fn is_of_disk(&self) -> bool {
        match self {
            Self::Blob { source: BlobError::Io { source, .. }, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
            }
            _ => false,
        }
    }
}

impl IngestError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

impl Hint for IngestError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
