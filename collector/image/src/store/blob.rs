//! Blobs: files named by the digest of their content.
//!
//! A blob is written under `ingest/` and renamed into `blobs/sha256/` complete; no reader ever sees half of one. It
//! is trusted only after its size and digest were compared, each time it is read.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{BlobError, Part, StoreError};
use super::layout::{create_folder, open_regular};
use crate::Digest;
use crate::manifest::Descriptor;

/// The file of a blob.
pub(super) fn path(root: &Path, digest: Digest) -> PathBuf {
    root.join("blobs/sha256").join(digest.hex())
}

/// Reads the blob that `descriptor` announces as `part` of an image.
pub(super) fn read(root: &Path, descriptor: &Descriptor, part: Part) -> Result<Vec<u8>, BlobError> {
    let digest: Digest = descriptor.digest.parse()?;
    read_verified(&path(root, digest), digest, descriptor.size, part.limit())
}

/// Stores `content` and returns its digest. A blob that is there and intact is left alone, a damaged one replaced.
pub(super) fn write(root: &Path, content: &[u8]) -> Result<Digest, StoreError> {
    let digest = Digest::of(content);
    let target = path(root, digest);
    let size = content.len() as u64;
    if read_verified(&target, digest, size, size).is_ok() {
        return Ok(digest);
    }
    let ingest = root.join("ingest");
    create_folder(&ingest)?;
    create_folder(&root.join("blobs/sha256"))?;
    let written = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{}_", digest.hex()))
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(&ingest)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        File::open(root.join("blobs/sha256"))?.sync_all()
    };
    written().map_err(StoreError::io("write", &target))?;
    Ok(digest)
}

fn read_verified(path: &Path, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
    if size > limit {
        return Err(BlobError::TooLarge { size, limit });
    }
    let fault = |source| BlobError::Io { path: path.to_owned(), source };
    let wrong_size = |actual| BlobError::Size { path: path.to_owned(), expected: size, actual };
    let file = open_regular(path).map_err(fault)?;
    let actual = file.metadata().map_err(fault)?.len();
    if actual != size {
        return Err(wrong_size(actual));
    }
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size.saturating_add(1)).read_to_end(&mut content).map_err(fault)?;
    if content.len() as u64 != size {
        return Err(wrong_size(content.len() as u64));
    }
    let actual = Digest::of(&content);
    if actual != digest {
        return Err(BlobError::Content { path: path.to_owned(), actual });
    }
    Ok(content)
}
