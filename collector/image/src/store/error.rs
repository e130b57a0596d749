//! What can go wrong in the store, told with the path and the remedy.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use ig_model::Hint;

use crate::{ErrorKind, ParseDigestError, Reference};

mod blob;
mod load;

pub use blob::{BlobError, IngestError, Part, WalkError};
pub use load::LoadImageError;

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
    #[error(
        "image store lock `{path}` is held by {} for more than {seconds} s",
        .holder.as_deref().unwrap_or("another process")
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who that is, if the kernel tells.
        holder: Option<String>,
        /// How long it was tried.
        seconds: u64,
    },
    /// Anybody may write to the folder.
    #[error("image store `{path}` is writable by everybody (mode {mode:04o}), so it is not used")]
    WorldWritable {
        /// The store's folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
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
    /// Who called sudo, and where that user's store is, cannot be found out.
    #[error("no home folder is known for the user `{user}` in SUDO_USER")]
    NoSudoUser {
        /// The variable's value; empty if it is not set.
        user: String,
    },
    /// The store was opened for reading only, as one of another user is.
    #[error("image store `{path}` is open for reading only")]
    ReadOnly {
        /// The store's folder.
        path: PathBuf,
    },
    /// The owner of a pin cannot be part of a file's name.
    #[error("`{owner}` cannot own a pin, expected up to 64 letters, digits, `-` or `_`, and not `lease`")]
    Owner {
        /// The name that was given.
        owner: String,
    },
    /// What images need cannot be found out, so nothing is removed.
    #[error("failed to find out what the images in `{path}` need, so nothing was removed")]
    Unreadable {
        /// The store's folder.
        path: PathBuf,
        /// What cannot be read.
        #[source]
        source: Box<WalkError>,
    },
    /// A name has the digest of another image in it.
    #[error("`{name}` cannot be the name of an image with digest {digest}")]
    Misnamed {
        /// The name.
        name: String,
        /// The image's own digest.
        digest: String,
    },
    /// What a descriptor leads to cannot be listed, because part of it is not stored.
    #[error("`{digest}` cannot be listed in the image store `{path}`")]
    Incomplete {
        /// The store's folder.
        path: PathBuf,
        /// Digest of the index or manifest, as written.
        digest: String,
        /// What is missing or wrong.
        #[source]
        source: Box<WalkError>,
    },
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
    /// What the store has under the name is another image than the digest in the name says.
    #[error("what the store `{store}` has as `{reference}` is another image, of digest {actual}")]
    Misnamed {
        /// The name that was looked up.
        reference: Box<Reference>,
        /// The digest of what is there.
        actual: String,
        /// The store's folder.
        store: PathBuf,
    },
    /// An image that is named by its digest has names, too.
    #[error("image `{reference}` has names: {}", list(.names))]
    Named {
        /// The name that was looked up.
        reference: Box<Reference>,
        /// The names that lead to it.
        names: Vec<String>,
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

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Locked { .. } => ErrorKind::Busy,
            Self::NotALayout { .. }
            | Self::BadIndex { .. }
            | Self::TooLarge { .. }
            | Self::Incomplete { .. } => ErrorKind::Corrupt,
            Self::NoHome | Self::NoSudoUser { .. } => ErrorKind::NotFound,
            Self::ReadOnly { .. } | Self::WorldWritable { .. } => ErrorKind::PermissionDenied,
            Self::Owner { .. } | Self::Misnamed { .. } => ErrorKind::InvalidInput,
            Self::Unreadable { .. } => ErrorKind::Io,
        }
    }
}

impl Hint for StoreError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Io { .. } if self.kind() == ErrorKind::PermissionDenied => {
                Some("run as root, or use a store in a folder you may write to".into())
            }
            Self::Locked { .. } => Some("wait for the other process to finish, then try again".into()),
            Self::WorldWritable { path, .. } => {
                let path = path.display();
                Some(format!("run `chmod o-w {path}`, or use a folder in it, such as `{path}/store`").into())
            }
            Self::ReadOnly { .. } => {
                Some("run ig as the user who owns the store, or name a store of your own with --store".into())
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free space on the disk, with `ig image remove` for example, then try again".into())
            }
            Self::Misnamed { .. } => {
                Some("leave the digest out of the name, or write the image's own".into())
            }
            Self::NoSudoUser { .. } => Some("run ig through sudo, or name a store with --store".into()),
            Self::NotALayout { .. } | Self::BadIndex { .. } => {
                Some("repair the store with `ig image fsck --repair`; it says what is lost".into())
            }
            _ => None,
        }
    }
}

impl ResolveError {
    /// Whether the store is sound and merely does not have the image.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Misnamed { .. })
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Named { .. } => ErrorKind::InvalidInput,
            Self::Digest { .. } | Self::Misnamed { .. } => ErrorKind::Corrupt,
            Self::Store(error) => error.kind(),
        }
    }
}

impl Hint for ResolveError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::NotFound { reference, .. } => Some(format!(
                "fetch it with `ig image pull {name}`, build it with `ig image build PATH -t {name}`, or see what is \
                 there with `ig image list`",
                name = reference.short()
            ).into()),
            Self::Named { .. } => Some("remove it by each of its names".into()),
            Self::Misnamed { reference, .. } => Some(
                format!(
                    "fetch the right one with `ig image pull {name}`, or remove the name with `ig image rm {name}`",
                    name = reference.short()
                )
                .into(),
            ),
            Self::Digest { .. } => None,
            Self::Store(error) => error.hint(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
