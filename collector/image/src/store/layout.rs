//! The files of an OCI image layout other than blobs: `oci-layout`, `index.json` and its lock.
//!
//! The lock beside them is in [`super::lock`].

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Deserialize;

use super::lock::{LOCK, lock};
use super::{Access, StoreError};
use crate::manifest::{Annotations, Index, to_json};

pub(super) const LAYOUT: &str = "oci-layout";
pub(crate) const LAYOUT_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
pub(super) const INDEX: &str = "index.json";
const LAYOUT_LIMIT: u64 = 64 << 10;
const INDEX_LIMIT: u64 = 64 << 20;

/// Creates the folder and the layout's files where they are missing, or checks the ones that are there. Says what may
/// be done with the store.
pub(super) fn create_or_check(root: &Path) -> Result<Access, StoreError> {
    create_folder(root)?;
    let access = access(root)?;
    if check(root)? {
        return Ok(access);
    }
    if access == Access::ReadOnly {
        return Err(StoreError::NotALayout { path: root.join(LAYOUT), source: None });
    }
    let _lock = lock(root)?;
    let index = root.join(INDEX);
    if !index.exists() {
        write_index(root, &Index::of(Vec::new(), Annotations::new()))?;
    }
    write_layout(root)?;
    Ok(access)
}

/// What may be done with the store in a folder. Nothing in a folder that anybody may write to can be relied upon,
/// sticky or not; in one of another user the names below it may lead anywhere, so that nothing is written there.
pub(super) fn access(root: &Path) -> Result<Access, StoreError> {
    let folder = fs::metadata(root).map_err(StoreError::io("open", root))?;
    let mode = folder.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(StoreError::WorldWritable { path: root.to_owned(), mode });
    }
    Ok(if is_trusted(folder.uid()) { Access::ReadWrite } else { Access::ReadOnly })
}

/// Whether it is this user or root.
pub(super) fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Writes `oci-layout`. The caller holds the lock.
pub(super) fn write_layout(root: &Path) -> Result<(), StoreError> {
    replace(root, LAYOUT, LAYOUT_CONTENT)
}

/// Checks that a folder is a whole layout with its lock, and changes nothing.
pub(super) fn check_complete(root: &Path) -> Result<(), StoreError> {
    access(root)?;
    if !check(root)? {
        return Err(StoreError::NotALayout { path: root.join(LAYOUT), source: None });
    }
    for name in [INDEX, LOCK] {
        let path = root.join(name);
        open_regular(&path).map_err(StoreError::io("open", &path))?;
    }
    Ok(())
}

/// Creates a folder and its parents for the owner alone.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("create folder", path))
}

/// Whether the folder declares itself a layout of our version.
pub(super) fn check(root: &Path) -> Result<bool, StoreError> {
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

/// Lets `change` edit the index while no other process can.
#[cfg(test)]
pub(super) fn update_index<T>(root: &Path, change: impl FnOnce(&mut Index) -> T) -> Result<T, StoreError> {
    try_update_index(root, |index| Ok(change(index)))
}

/// Lets `change` edit the index while no other process can; if it fails, the index stays as it is.
pub(super) fn try_update_index<T>(
    root: &Path,
    change: impl FnOnce(&mut Index) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let _lock = lock(root)?;
    let before = read_index_locked(root)?;
    let mut after = before.clone();
    let answer = change(&mut after)?;
    if after != before {
        write_index(root, &after)?;
    }
    Ok(answer)
}

/// Reads the index for a caller that holds the lock.
pub(super) fn read_index_locked(root: &Path) -> Result<Index, StoreError> {
    Ok(read_index_if_any(root)?.unwrap_or_else(|| Index::of(Vec::new(), Annotations::new())))
}

/// The same, for whoever has to know whether there is one.
pub(super) fn read_index_if_any(root: &Path) -> Result<Option<Index>, StoreError> {
    let path = root.join(INDEX);
    let parse = |content: Vec<u8>| serde_json::from_slice(&content);
    read(&path, INDEX_LIMIT)?.map(parse).transpose().map_err(|source| StoreError::BadIndex { path, source })
}

/// Replaces the index. The caller holds the lock exclusively.
pub(super) fn write_index(root: &Path, index: &Index) -> Result<(), StoreError> {
    let content = to_json(index).map_err(|source| StoreError::BadIndex { path: root.join(INDEX), source })?;
    replace(root, INDEX, &content)
}

/// Replaces a file of `root` so that every reader sees the old content or the new one, also after a crash.
pub(super) fn replace(root: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
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

/// What is in a folder of the store; one that does not exist is empty.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let fault = || StoreError::io("read folder", folder);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(fault())?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fault()(error)),
    }
}

/// The temporary files of writers that were killed. Those are written under the lock, which the caller holds.
pub(super) fn leftovers(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let is_temporary = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        [INDEX, LAYOUT].iter().any(|whole| name.starts_with(format!(".{whole}.").as_bytes()))
    };
    let mut found: Vec<_> = files(root)?.into_iter().filter(is_temporary).collect();
    found.sort();
    Ok(found)
}

/// Removes them.
pub(super) fn remove_leftovers(root: &Path) -> Result<(), StoreError> {
    leftovers(root)?.iter().try_for_each(|path| fs::remove_file(path).map_err(StoreError::io("remove", path)))
}

/// As much of a damaged index as is worth looking at.
pub(super) fn read_damaged_index(root: &Path) -> Result<Vec<u8>, StoreError> {
    let path = root.join(INDEX);
    let mut content = Vec::new();
    open_regular(&path)
        .and_then(|file| file.take(INDEX_LIMIT).read_to_end(&mut content))
        .map_err(StoreError::io("read", &path))?;
    Ok(content)
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

/// Opens a regular file and nothing else: a pipe in its place would block for ever, a link lead out of the store.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    open_regular_with(OpenOptions::new().read(true), path)
}

/// The same, in another way.
pub(super) fn open_regular_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file = match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is a symbolic link"));
        }
        opened => opened?,
    };
    require_file(&file)?;
    Ok(file)
}

/// Refuses whatever is not a regular file.
pub(super) fn require_file(file: &File) -> io::Result<fs::Metadata> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok(metadata)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"))
    }
}
