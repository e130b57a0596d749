//! What a path leads to at a moment, in a form that can be compared later.

use std::{
    fmt,
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::read::read_bounded;

/// Largest file that is compared by its content, in bytes.
const MAX_HASHED: u64 = 1 << 20;

/// A path and what it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVersion {
    /// The path as it was named.
    pub path: PathBuf,
    /// What was there; nothing where that cannot be compared: it could not be read, or it is large.
    pub version: Option<Version>,
}

/// What a path led to; two are equal if nobody can have read anything else in between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Folder,
    /// SHA-256 of the content.
    Content([u8; 32]),
    /// A file that cannot be read by us, or that is too large to be read for this.
    File(Identity),
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same, of the inode: owner, mode, links.
    changed: (i64, i64),
}

impl FileVersion {
    /// `path` when it held `content`.
    pub fn of(path: impl Into<PathBuf>, content: &[u8]) -> Self {
        let small = content.len() as u64 <= MAX_HASHED;
        Self { path: path.into(), version: small.then(|| Version::of(content)) }
    }

    /// `path` when reading it failed.
    pub fn unread(path: impl Into<PathBuf>, failure: ErrorKind) -> Self {
        let missing = failure == ErrorKind::NotFound;
        Self { path: path.into(), version: missing.then_some(Version::ABSENT) }
    }
}

impl Version {
    /// Nothing is there.
    pub(crate) const ABSENT: Self = Self(Kind::Absent);

    fn of(content: &[u8]) -> Self {
        Self(Kind::Content(Sha256::digest(content).into()))
    }

    /// What `path` leads to now.
    pub(crate) fn read(path: &Path) -> Self {
        match fs::metadata(path) {
            Err(_) => Self::ABSENT,
            Ok(metadata) if metadata.is_dir() => Self(Kind::Folder),
            Ok(metadata) => match read_bounded(path, MAX_HASHED) {
                Ok(content) => Self::of(content.bytes()),
                Err(_) => Self(Kind::File(Identity::of(&metadata))),
            },
        }
    }
}

impl fmt::Debug for Version {
    /// Without the hash: that of a short secret tells the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Absent => "Absent",
            Kind::Folder => "Folder",
            Kind::Content(_) => "Content",
            Kind::File(_) => "File",
        })
    }
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is the same file.
    pub(crate) fn is_inode(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether it is the same file, not written in between.
    pub(crate) fn is_data(&self, other: &Self) -> bool {
        self.is_inode(other) && (self.size, self.modified) == (other.size, other.modified)
    }
}
