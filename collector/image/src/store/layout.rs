//! The files of an OCI image layout other than blobs: `oci-layout`, `index.json` and its lock.
//!
//! `index.json.lock` is a flock file shared with the Go project. Writers hold it exclusively from reading
//! `index.json` until its replacement is renamed into place; readers hold it shared where they may, because the Go
//! project overwrites the file in place.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Deserialize;

use super::StoreError;
use crate::manifest::{Annotations, Index, to_json};

const LAYOUT: &str = "oci-layout";
const LAYOUT_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &str = "index.json";
const LOCK: &str = "index.json.lock";
const LAYOUT_LIMIT: u64 = 64 << 10;
const INDEX_LIMIT: u64 = 64 << 20;
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Creates the folder and the layout's files where they are missing, or checks the ones that are there.
pub(super) fn create_or_check(root: &Path) -> Result<(), StoreError> {
    create_folder(root)?;
    if check(root)? {
        return Ok(());
    }
    let _lock = lock(root)?;
    let index = root.join(INDEX);
    if !index.exists() {
        write_index(root, &Index::of(Vec::new(), Annotations::new()))?;
    }
    replace(root, LAYOUT, LAYOUT_CONTENT)
}

/// Creates a folder and its parents for the owner alone.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("create folder", path))
}

/// Whether the folder declares itself a layout of our version.
fn check(root: &Path) -> Result<bool, StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    let path = root.join(LAYOUT);
    let Some(content) = read(&path, LAYOUT_LIMIT)? else { return Ok(false) };
    match serde_json::from_slice::<Layout>(&content) {
        Ok(layout) if layout.image_layout_version == "1.0.0" => Ok(true),
        Ok(_) => Err(StoreError::NotALayout { path, source: None }),
        Err(source) => Err(StoreError::NotALayout { path, source: Some(source) }),
    }
}

/// Reads the index; a layout without one is empty.
pub(super) fn read_index(root: &Path) -> Result<Index, StoreError> {
    let _lock = lock_shared(root)?;
    read_index_locked(root)
}

/// Lets `change` edit the index while no other process can.
pub(super) fn update_index<T>(root: &Path, change: impl FnOnce(&mut Index) -> T) -> Result<T, StoreError> {
    let _lock = lock(root)?;
    let before = read_index_locked(root)?;
    let mut after = before.clone();
    let answer = change(&mut after);
    if after != before {
        write_index(root, &after)?;
    }
    Ok(answer)
}

fn read_index_locked(root: &Path) -> Result<Index, StoreError> {
    let path = root.join(INDEX);
    match read(&path, INDEX_LIMIT)? {
        Some(content) => {
            serde_json::from_slice(&content).map_err(|source| StoreError::BadIndex { path, source })
        }
        None => Ok(Index::of(Vec::new(), Annotations::new())),
    }
}

fn write_index(root: &Path, index: &Index) -> Result<(), StoreError> {
    let content = to_json(index).map_err(|source| StoreError::BadIndex { path: root.join(INDEX), source })?;
    replace(root, INDEX, &content)
}

/// Replaces a file of `root` so that every reader sees the old content or the new one, also after a crash.
fn replace(root: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let path = root.join(name);
    let written = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(root)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(root)?.sync_all()
    };
    written().map_err(StoreError::io("write", &path))
}

/// Reads a small file whole; `None` if it does not exist.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let fault = StoreError::io("read", path);
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut content = Vec::new();
    if let Err(error) = file.take(limit + 1).read_to_end(&mut content) {
        return Err(fault(error));
    }
    let size = content.len() as u64;
    if size > limit {
        let size = fs::metadata(path).map_or(size, |metadata| metadata.len());
        return Err(StoreError::TooLarge { path: path.to_owned(), size, limit });
    }
    Ok(Some(content))
}

/// Opens a regular file and nothing else; a pipe in its place would block for ever.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"))
    }
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io("open lock", &path))?;
    wait(&file, &path, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// A shared lock, or none where the lock file does not exist or is not ours to open: reading a store needs no right
/// to write to it.
fn lock_shared(root: &Path) -> Result<Option<File>, StoreError> {
    let path = root.join(LOCK);
    match File::open(&path) {
        Ok(file) => {
            wait(&file, &path, FlockOperation::NonBlockingLockShared)?;
            Ok(Some(file))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(StoreError::io("open lock", &path)(error)),
    }
}

fn wait(file: &File, path: &Path, operation: FlockOperation) -> Result<(), StoreError> {
    let start = Instant::now();
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if start.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_PAUSE),
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked { path: path.to_owned(), seconds: LOCK_PATIENCE.as_secs() });
            }
            Err(error) => return Err(StoreError::io("lock", path)(error.into())),
        }
    }
}
