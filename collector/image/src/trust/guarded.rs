//! Files that only an administrator can have written.
//!
//! A policy that anybody may replace protects from nobody. So its file must belong to root and be writable by root
//! alone, and so must the folder that it is in, unless that is on a read-only mount, as Kubernetes makes them. What
//! is checked is the open file, not its name.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ig_files::{Content, ReadError, open_regular};
use ig_model::Hint;
use rustix::fs::StatVfsMountFlags;

use crate::ErrorKind;

/// Who may have written a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trustee {
    /// Whoever could: the file is named by the one who asks.
    Anyone,
    /// The user with this number, 0 for root; nobody else.
    User(u32),
}

/// A file cannot be read, or is open to the wrong people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Reading failed.
    #[error("failed to read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error("`{path}` belongs to user {owner}, so it is not used")]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        wanted: u32,
    },
    /// Others may write to it.
    #[error("`{path}` is writable by others (mode {mode:04o}), so it is not used")]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is larger than any real one.
    #[error("`{path}` has more than the {limit} bytes allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
}

/// Reads a file of at most `limit` bytes that only `trustee` can have written.
pub(super) fn read(path: &Path, limit: u64, trustee: Trustee) -> Result<Content, GuardError> {
    let fault = |error: ReadError| match error.kind() {
        io::ErrorKind::FileTooLarge => GuardError::TooLarge { path: path.to_owned(), limit },
        _ => GuardError::Io { path: path.to_owned(), source: error.into_cause() },
    };
    let file = open_regular(path).map_err(fault)?;
    if let Trustee::User(user) = trustee {
        check(path, file.metadata(), user)?;
        check_folder(path, user)?;
    }
    file.read(limit).map_err(fault)
}

fn check_folder(path: &Path, user: u32) -> Result<(), GuardError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fault = |source| GuardError::Io { path: folder.to_owned(), source };
    let open = File::open(folder).map_err(fault)?;
    let mounted = rustix::fs::fstatvfs(&open).map_err(|errno| fault(errno.into()))?;
    if mounted.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    check(folder, &open.metadata().map_err(fault)?, user)
}

fn check(path: &Path, metadata: &Metadata, user: u32) -> Result<(), GuardError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    // Root could write to any file anyway.
    if owner != user && owner != 0 {
        return Err(GuardError::Owner { path: path.to_owned(), owner, wanted: user });
    }
    if mode & 0o022 != 0 {
        return Err(GuardError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

impl GuardError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Owner { .. } | Self::Writable { .. } => ErrorKind::PermissionDenied,
            Self::TooLarge { .. } => ErrorKind::InvalidInput,
        }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Owner { path, .. }
            | Self::Writable { path, .. }
            | Self::TooLarge { path, .. } => path,
        }
    }
}

impl Hint for GuardError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Owner { path, wanted, .. } => {
                Some(format!("run `chown {wanted} {}`", path.display()).into())
            }
            Self::Writable { path, .. } => Some(format!("run `chmod go-w {}`", path.display()).into()),
            Self::Io { .. } | Self::TooLarge { .. } => None,
        }
    }
}
