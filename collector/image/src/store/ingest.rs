//! Streaming a blob into the store: hashed while it is written, kept for another try when it breaks off.
//!
//! The file lies under `ingest/` as `<hex>_resume`, locked by its writer. Where another process is writing the same
//! blob, a file with a random name is used instead, which is not kept. The name and the folder are those of the layout
//! that the Go project uses, which never looks at files it did not make.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use sha2::Digest as _;

use super::error::{IngestError, StoreError};
use super::{Store, blob, hold, layout};
use crate::Digest;

const FOLDER: &str = "ingest";
const BUFFER: usize = 64 << 10;
/// How long a partial file is worth keeping for another try.
const PARTIAL_TERM: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes one blob into the store.
///
/// Dropped without [`BlobWriter::commit`], what was written stays for another writer of the same digest to go on from;
/// a day later garbage collection removes it.
///
/// All calls block on the disk: an async caller wraps them in a blocking task.
#[derive(Debug)]
pub struct BlobWriter {
    root: PathBuf,
    path: PathBuf,
    file: File,
    hasher: sha2::Sha256,
    digest: Digest,
    size: u64,
    offset: u64,
    after: After,
}

/// What becomes of the file when the writer is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Keep,
    Remove,
    Renamed,
}

impl Store {
    /// Begins to write the blob of the given digest and size, or goes on where an earlier try broke off.
    ///
    /// # Errors
    /// [`IngestError::TooLarge`] if `size` is beyond the store's limit; [`IngestError::Store`] if the file cannot be
    /// opened.
    pub fn blob_writer(&self, digest: Digest, size: u64) -> Result<BlobWriter, IngestError> {
        let limit = self.limits().blob;
        if size > limit {
            return Err(IngestError::TooLarge { digest, size, limit });
        }
        self.hold(digest)?;
        Ok(BlobWriter::open(self.path(), digest, size)?)
    }
}

impl BlobWriter {
    pub(super) fn open(root: &Path, digest: Digest, size: u64) -> Result<Self, StoreError> {
        let folder = root.join(FOLDER);
        layout::create_folder(&folder)?;
        layout::create_folder(&root.join(blob::FOLDER))?;
        let resumed = folder.join(format!("{}_resume", digest.hex()));
        let claimed = hold::claim(&resumed).map_err(StoreError::io("open", &resumed))?;
        let (file, path, after) = if let Some(file) = claimed {
            (file, resumed, After::Keep)
        } else {
            let fault = StoreError::io("create a file in", &folder);
            let (file, path) = private(&folder, digest).map_err(fault)?;
            (file, path, After::Remove)
        };
        let mut writer = Self {
            root: root.to_owned(),
            path,
            file,
            hasher: sha2::Sha256::new(),
            digest,
            size,
            offset: 0,
            after,
        };
        writer.take_up()?;
        Ok(writer)
    }

    /// Bytes that are there already: where the next [`BlobWriter::write`] goes on.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`IngestError::TooLong`] if there are more than the announced size, before any of them is written;
    /// [`IngestError::Store`] if they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        if bytes.len() as u64 > self.size - self.offset {
            return Err(IngestError::TooLong { digest: self.digest, size: self.size });
        }
        Ok(self.append(bytes)?)
    }

    /// Forgets what is there, for a source that cannot go on in the middle.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file cannot be cut.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file.rewind().and_then(|()| self.file.set_len(0)).map_err(StoreError::io("cut", &self.path))?;
        self.hasher = sha2::Sha256::new();
        self.offset = 0;
        Ok(())
    }

    /// Compares size and digest, and makes the blob part of the store. It replaces one that is there, which is the
    /// same or damaged.
    ///
    /// # Errors
    /// [`IngestError::TooShort`] if bytes are missing; what is there stays for another try.
    /// [`IngestError::Content`] if the digest is another; nothing stays. [`IngestError::Store`] if a file operation
    /// fails.
    pub fn commit(mut self) -> Result<(), IngestError> {
        if self.offset != self.size {
            return Err(IngestError::TooShort { digest: self.digest, size: self.size, actual: self.offset });
        }
        let actual = Digest::from(self.hasher.clone());
        if actual != self.digest {
            self.after = After::Remove;
            return Err(IngestError::Content { digest: self.digest, actual });
        }
        Ok(self.publish()?)
    }

    /// Writes bytes that are known to fit.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Err(error) = self.file.write_all(bytes) {
            // What was hashed and what is in the file must stay the same; `publish` refuses if they could not be made so.
            drop(self.file.set_len(self.offset).and_then(|()| self.file.seek(SeekFrom::Start(self.offset))));
            return Err(StoreError::io("write", &self.path)(error));
        }
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Moves a file whose content is known to be right to its place.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        let target = blob::path(&self.root, self.digest);
        let moved = || -> io::Result<()> {
            let length = self.file.metadata()?.len();
            if length != self.offset {
                let problem = format!("the file has {length} bytes, {} were written", self.offset);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            self.file.set_permissions(Permissions::from_mode(0o444))?;
            self.file.sync_all()?;
            fs::rename(&self.path, &target)
        };
        moved().map_err(StoreError::io("write", &target))?;
        self.after = After::Renamed;
        let folder = self.root.join(blob::FOLDER);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", &folder))?;
        Ok(())
    }

    /// Hashes what an earlier try left; what cannot be its beginning is cut off.
    fn take_up(&mut self) -> Result<(), StoreError> {
        let fault = StoreError::io("read", &self.path);
        let mut taken = || -> io::Result<()> {
            if self.file.metadata()?.len() > self.size {
                self.file.set_len(0)?;
            }
            let mut buffer = vec![0; BUFFER];
            loop {
                let count = self.file.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                self.hasher.update(buffer.get(..count).unwrap_or_default());
                self.offset += count as u64;
            }
        };
        taken().map_err(fault)?;
        if self.offset > self.size {
            self.restart()?;
        }
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let remove = match self.after {
            After::Keep => self.offset == 0,
            After::Remove => true,
            After::Renamed => false,
        };
        if remove {
            // What cannot be removed is swept when it is old.
            drop(fs::remove_file(&self.path));
        }
        // A child that another thread is starting has a copy of the descriptor until its exec, and with it the lock.
        let _unlocked = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// A file of a name nobody else uses.
fn private(folder: &Path, digest: Digest) -> io::Result<(File, PathBuf)> {
    let file = tempfile::Builder::new().prefix(&format!("{}_", digest.hex())).tempfile_in(folder)?;
    rustix::fs::flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
    file.keep().map_err(|error| error.error)
}

/// A file under `ingest/` that no live process of ours writes.
#[derive(Debug)]
pub(super) struct Stale {
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// The partial files that nobody comes back to: not locked, and not written to for a day.
pub(super) fn stale(root: &Path) -> Result<Vec<Stale>, StoreError> {
    let mut found = Vec::new();
    for path in layout::files(&root.join(FOLDER))? {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if metadata.is_dir() || age.is_none_or(|age| age < PARTIAL_TERM) || is_locked(&path) {
            continue;
        }
        found.push(Stale { path, size: metadata.len() });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn is_locked(path: &Path) -> bool {
    layout::open_regular(path)
        .is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}
