//! What can be wrong with an archive, told with the file and the member.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use ig_model::Hint;

use crate::store::{IngestError, ResolveError, StoreError, WalkError};
use crate::{Digest, ErrorKind};

/// An archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// An image that is to be exported is not there.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
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
    /// The file is something else.
    #[error("`{path}` is {what}, expected an uncompressed tar archive")]
    NotTar {
        /// The archive.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// The file is compressed.
    #[error("`{path}` is compressed with {with}, expected an uncompressed tar archive")]
    Compressed {
        /// The file.
        path: PathBuf,
        /// The program that made it so.
        with: &'static str,
    },
    /// A member is not what an image's archive may have.
    #[error("archive `{path}` has a member `{member}` that {problem}")]
    Member {
        /// The archive.
        path: PathBuf,
        /// Name of the member.
        member: String,
        /// What is wrong with it.
        problem: MemberProblem,
    },
    /// There are more members than any image needs.
    #[error("archive `{path}` has more than {limit} members")]
    TooMany {
        /// The archive.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
    /// The blobs of the images are larger than the store takes at once.
    #[error("the images in archive `{path}` have more than {limit} bytes")]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// A file that each layout has is not there.
    #[error("archive `{path}` has no `{member}`, so it is not an OCI image layout")]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The file.
        member: &'static str,
    },
    /// `oci-layout` or `index.json` is not the document it should be.
    #[error("`{member}` of archive `{path}` is malformed")]
    Document {
        /// The archive.
        path: PathBuf,
        /// The file.
        member: &'static str,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// The layout is of another version.
    #[error("archive `{path}` is an OCI image layout of version `{version}`, expected 1.0.0")]
    Version {
        /// The archive.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// No entry of the archive's index has a name.
    #[error("archive `{path}` has no image with a name")]
    NoNames {
        /// The archive.
        path: PathBuf,
    },
    /// A name in the archive cannot be an image's.
    #[error("archive `{path}` names an image as no image can be named")]
    Name {
        /// The archive.
        path: PathBuf,
        /// What is wrong with the name.
        #[source]
        source: crate::ReferenceError,
    },
    /// An image is incomplete or damaged.
    #[error("image `{name}` is not usable")]
    Image {
        /// Name of the image, or digest of what has none.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<WalkError>,
    },
    /// A blob changed while it was exported, or was damaged before.
    #[error("blob `{digest}` is damaged, its content has digest {actual}")]
    Content {
        /// The blob.
        digest: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
    /// A blob cannot be stored.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a member of an archive is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberProblem {
    /// A link, a device, a pipe, or a file with holes.
    #[error("is not a regular file")]
    NotAFile,
    /// An absolute name, or one with `..` in it.
    #[error("leads out of the archive")]
    Outside,
    /// The name is not UTF-8 text.
    #[error("has a name that is not text")]
    NotText,
    /// A name that stands twice: which one counts differs from program to program.
    #[error("stands in it twice")]
    Twice,
    /// It announces more bytes than any blob has.
    #[error("is too large")]
    TooLarge,
    /// The archive ends before it does.
    #[error("is cut short")]
    CutShort,
    /// Its header or an extension of it is malformed.
    #[error("has a malformed header")]
    Header,
}

impl ArchiveError {
    pub(super) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Ingest(error) => error.kind(),
            Self::Store(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

impl Hint for ArchiveError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Ingest(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Compressed { path, .. } => Some(format!("decompress `{}` first", path.display()).into()),
            Self::NotTar { .. } | Self::Missing { .. } => {
                Some("archives are made by `ig image export IMAGE FILE`".into())
            }
            Self::NoNames { .. } => {
                Some("export it with a name; with skopeo, `oci-archive:FILE:NAME` gives it one".into())
            }
            Self::TooLarge { .. } | Self::TooMany { .. } => {
                Some("if you trust the archive, raise the limit with `--max-bytes` or `--max-files`".into())
            }
            Self::Member { problem: MemberProblem::TooLarge, .. } => {
                Some("if you trust the archive, raise the limit with `--max-blob`".into())
            }
            _ => None,
        }
    }
}
