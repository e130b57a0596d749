//! Holds: what a live process needs to keep although no name leads to it.
//!
//! Two kinds of files in `pins/` hold blobs. A *pin* names the images that a process runs, or goes back to if a new
//! one fails. A *lease* names the blobs a process has stored or found and not listed yet. Each file is locked for as
//! long as its process lives, so the holds of a killed process end with it: whoever collects garbage removes the files
//! it can lock.
//!
//! Files are made and changed under the shared lock of the index; the collector of garbage takes that lock exclusively
//! from reading the holds to the removal of the last blob. So whoever finds a blob while holding it keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{Store, StoreError, layout, lock};
use crate::Digest;

const FOLDER: &str = "pins";
const LEASE: &str = "lease";
const FILE_LIMIT: u64 = 16 << 20;
/// How long a lease keeps a blob that its process never came back to.
const LEASE_TERM: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps images in the store for as long as the value, and its process, live.
#[derive(Debug)]
pub struct Pin {
    root: PathBuf,
    file: HoldFile,
}

/// The blobs this process has touched and not listed yet; shared by all clones of a [`Store`].
#[derive(Clone, Debug, Default)]
pub(super) struct Lease(Arc<Mutex<Leased>>);

#[derive(Debug, Default)]
struct Leased {
    file: Option<HoldFile>,
    /// Each digest with the time since boot at which it was last touched, in seconds.
    digests: BTreeMap<Digest, u64>,
}

/// A locked file that is removed with the value.
#[derive(Debug)]
struct HoldFile {
    path: PathBuf,
    file: File,
}

/// What the live processes hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Images in use: kept with all they lead to.
    pub(super) pinned: BTreeSet<Digest>,
    /// Single blobs on their way into the index.
    pub(super) leased: BTreeSet<Digest>,
}

impl Store {
    /// Keeps the images of the given digests, and all they lead to, from garbage collection until the returned value
    /// is dropped or the process ends, however it ends.
    ///
    /// `owner` is part of a file's name, for people who look into the store.
    ///
    /// # Errors
    /// [`StoreError`] if `owner` is not a short word of letters, digits, `-` and `_`, or the store cannot be written.
    pub fn pin(&self, owner: &str, digests: &[Digest]) -> Result<Pin, StoreError> {
        self.check_writable()?;
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if owner.is_empty() || owner.len() > 64 || owner == LEASE || !owner.bytes().all(is_word) {
            return Err(StoreError::Owner { owner: owner.chars().take(64).collect() });
        }
        let _gate = lock::lock_shared(self.path())?;
        let mut pin = Pin { root: self.path().to_owned(), file: HoldFile::create(self.path(), owner)? };
        pin.write(digests)?;
        Ok(pin)
    }
}

impl Pin {
    /// Replaces the set of pinned images. If this fails, the images of both sets may be pinned.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn set(&mut self, digests: &[Digest]) -> Result<(), StoreError> {
        let _gate = lock::lock_shared(&self.root)?;
        self.write(digests)
    }

    fn write(&mut self, digests: &[Digest]) -> Result<(), StoreError> {
        let lines: String = digests.iter().map(|digest| format!("{digest}\n")).collect();
        self.file.replace(&lines)
    }
}

impl Lease {
    /// Holds `digest` until it is listed, or the process ends. The caller must not hold the index's lock.
    pub(super) fn touch(&self, root: &Path, digest: Digest) -> Result<(), StoreError> {
        let now = seconds_since_boot();
        let fresh = |leased: &Leased| {
            leased.digests.get(&digest).is_some_and(|at| now.saturating_sub(*at) < LEASE_TERM.as_secs() / 2)
        };
        if fresh(&self.lock()) {
            return Ok(());
        }
        let _gate = lock::lock_shared(root)?;
        let mut leased = self.lock();
        leased.digests.insert(digest, now);
        if leased.file.is_none() {
            leased.file = Some(HoldFile::create(root, LEASE)?);
        }
        match &mut leased.file {
            Some(file) => file.append(&format!("{digest} {now}\n")),
            None => Ok(()),
        }
    }

    /// Ends the hold on blobs that the index leads to by now. The caller must not hold the index's lock.
    pub(super) fn release(&self, root: &Path, listed: &BTreeSet<Digest>) -> Result<(), StoreError> {
        if !self.lock().digests.keys().any(|digest| listed.contains(digest)) {
            return Ok(());
        }
        let _gate = lock::lock_shared(root)?;
        let mut leased = self.lock();
        leased.digests.retain(|digest, _| !listed.contains(digest));
        if leased.digests.is_empty() {
            leased.file = None;
            return Ok(());
        }
        let lines: String = leased.digests.iter().map(|(digest, at)| format!("{digest} {at}\n")).collect();
        leased.file.as_mut().map_or(Ok(()), |file| file.replace(&lines))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Leased> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldFile {
    fn create(root: &Path, owner: &str) -> Result<Self, StoreError> {
        let folder = root.join(FOLDER);
        layout::create_folder(&folder)?;
        let created = || -> io::Result<Self> {
            let file = tempfile::Builder::new().prefix(&format!("{owner}.")).tempfile_in(&folder)?;
            rustix::fs::flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
            let (file, path) = file.keep().map_err(|error| error.error)?;
            Ok(Self { path, file })
        };
        created().map_err(StoreError::io("create a file in", &folder))
    }

    fn append(&mut self, line: &str) -> Result<(), StoreError> {
        self.file.write_all(line.as_bytes()).map_err(StoreError::io("write", &self.path))
    }

    /// Writes the new lines before it cuts the old ones off, so that a full disk leaves at least one of the sets.
    fn replace(&mut self, lines: &str) -> Result<(), StoreError> {
        let mut replaced = || -> io::Result<()> {
            let mut old = String::new();
            self.file.seek(SeekFrom::Start(0))?;
            (&self.file).take(FILE_LIMIT).read_to_string(&mut old)?;
            let both = format!("{old}{lines}");
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(both.as_bytes())?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(lines.as_bytes())?;
            self.file.set_len(lines.len() as u64)
        };
        replaced().map_err(StoreError::io("write", &self.path))
    }
}

impl Drop for HoldFile {
    fn drop(&mut self) {
        // What cannot be removed loses its lock in a moment, and is removed by the next collection.
        drop(fs::remove_file(&self.path));
    }
}

/// Reads the holds of all live processes and removes those of dead ones. The caller holds the index's lock exclusively.
pub(super) fn held(root: &Path) -> Result<Held, StoreError> {
    let mut held = Held::default();
    let now = seconds_since_boot();
    for path in layout::files(&root.join(FOLDER))? {
        let is_lease = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"lease."));
        let Some(text) = read_live(&path)? else { continue };
        for line in text.lines() {
            let (digest, at) = line.split_once(' ').unwrap_or((line, ""));
            let Ok(digest) = digest.parse() else { continue };
            if !is_lease {
                held.pinned.insert(digest);
            } else if at.parse().is_ok_and(|at: u64| now.saturating_sub(at) < LEASE_TERM.as_secs()) {
                held.leased.insert(digest);
            }
        }
    }
    Ok(held)
}

/// The content of a hold whose process lives; the file of a dead one is removed.
fn read_live(path: &Path) -> Result<Option<String>, StoreError> {
    let fault = || StoreError::io("read", path);
    let file = match layout::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault()(error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            fs::remove_file(path).map_err(StoreError::io("remove", path))?;
            Ok(None)
        }
        Err(Errno::WOULDBLOCK) => {
            let mut text = Vec::new();
            file.take(FILE_LIMIT).read_to_end(&mut text).map_err(fault())?;
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        }
        Err(error) => Err(StoreError::io("lock", path)(error.into())),
    }
}

/// Opens or creates a file and locks it for this process; `None` if another one has it. Never follows a link.
pub(super) fn claim(path: &Path) -> io::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let metadata = layout::require_file(&file)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Between opening and locking, another process may have finished with the file and moved it away.
        match fs::symlink_metadata(path) {
            Ok(now) if (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn seconds_since_boot() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec.unsigned_abs()
}
