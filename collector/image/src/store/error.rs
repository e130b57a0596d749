//! What can go wrong in the store, told with the path and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Arch, Digest, ErrorKind, ParseDigestError, Reference};

/// The store itself cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process kept the lock for too long.
    #[error("image store lock `{path}` is held by another process for more than {seconds} s")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was tried.
        seconds: u64,
    },
    /// The folder holds an OCI layout of another version, or something else.
    #[error("`{path}` does not declare an OCI image layout of version 1.0.0")]
    NotALayout {
        /// The `oci-layout` file.
        path: PathBuf,
        /// Where the file breaks JSON, if it does.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// `index.json` is not an index.
    #[error("image store index `{path}` is damaged")]
    BadIndex {
        /// The index file.
        path: PathBuf,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// A file of the store is larger than any real one.
    #[error("`{path}` has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// The user's home folder, where the store of a non-root user lives, is unknown.
    #[error("no home folder to keep the image store in")]
    NoHome,
}

/// An image name leads nowhere in this store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No image of that name or digest is stored.
    #[error("image `{reference}` is not in the store `{store}`")]
    NotFound {
        /// The full name that was looked up.
        reference: Box<Reference>,
        /// The store's folder.
        store: PathBuf,
    },
    /// An entry of the store's index has a digest this crate cannot check.
    #[error("image `{reference}` has an unusable entry in the store's index")]
    Digest {
        /// The full name that was looked up.
        reference: Box<Reference>,
        /// What is wrong with the digest.
        #[source]
        source: ParseDigestError,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Locked { .. } => ErrorKind::Busy,
            Self::NotALayout { .. } | Self::BadIndex { .. } | Self::TooLarge { .. } => ErrorKind::Corrupt,
            Self::NoHome => ErrorKind::NotFound,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } if self.kind() == ErrorKind::PermissionDenied => {
                Some("run as root, or use a store in a folder you may write to".to_owned())
            }
            Self::Locked { .. } => {
                Some("wait for the other `ig` process to finish, then try again".to_owned())
            }
            Self::NotALayout { path, .. } | Self::BadIndex { path, .. } => Some(format!(
                "move the folder of `{}` away and build the images again with `ig image build PATH -t NAME`",
                path.display()
            )),
            _ => None,
        }
    }
}

impl ResolveError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Digest { .. } => ErrorKind::Corrupt,
            Self::Store(error) => error.kind(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { reference, .. } => Some(format!(
                "build it with `ig image build PATH -t {}`, or see what is there with `ig image list`; \
                 pulling from a registry is not available yet",
                reference.short()
            )),
            Self::Digest { .. } => None,
            Self::Store(error) => error.hint(),
        }
    }
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

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Platform { reference, wanted, .. } => {
                Some(format!("build it with `ig image build PATH -t {} --arch {wanted}`", reference.short()))
            }
            Self::Blob { reference, .. } | Self::Document { reference, .. } => Some(format!(
                "the stored copy is unusable; build it again with `ig image build PATH -t {}`",
                reference.short()
            )),
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
