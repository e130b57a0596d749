//! Blobs: files named by the digest of their content.
//!
//! A blob is written under `ingest/` and renamed into `blobs/sha256/` complete; no reader ever sees half of one. It
//! is trusted only after its size and digest were compared, each time it is read.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::BlobWriter;
use super::error::{BlobError, Part, StoreError};
use super::layout::open_regular;
use crate::Digest;
use crate::manifest::Descriptor;

/// The folder of the blobs, within a layout.
pub(super) const FOLDER: &str = "blobs/sha256";

/// The file of a blob.
pub(super) fn path(root: &Path, digest: Digest) -> PathBuf {
    root.join(FOLDER).join(digest.hex())
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
    let mut writer = BlobWriter::open(root, digest, size)?;
    // What an earlier writer left is as long to check as the whole is to write.
    writer.restart()?;
    writer.append(content)?;
    writer.publish()?;
    Ok(digest)
}

/// Reads the blob of a digest whose size nobody announced.
pub(super) fn read_any(root: &Path, digest: Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
    let path = path(root, digest);
    let size = size_of(&path).map_err(|source| BlobError::Io { path: path.clone(), source })?;
    read_verified(&path, digest, size, limit)
}

/// Size and digest of what a blob's file holds, however large it is.
pub(super) fn measure(path: &Path) -> io::Result<(u64, Digest)> {
    let mut file = open_regular(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, Digest::from(hasher)));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

pub(super) fn size_of(path: &Path) -> io::Result<u64> {
    Ok(open_regular(path)?.metadata()?.len())
}

pub(super) fn read_verified(
    path: &Path,
    digest: Digest,
    size: u64,
    limit: u64,
) -> Result<Vec<u8>, BlobError> {
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
