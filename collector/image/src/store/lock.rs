//! `index.json.lock`: a flock file shared with the Go project.
//!
//! Writers hold it exclusively from reading `index.json` until its replacement is renamed into place. Readers hold it
//! shared where they may, because the Go project overwrites the file in place; our own writers replace it, so a reader
//! that has waited for [`READ_PATIENCE`] reads without. Everything else waits for [`PATIENCE`] at most. Waiting blocks
//! the thread: call what takes the lock on a thread that may be blocked.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{StoreError, layout};
use crate::manifest::Index;

pub(super) const LOCK: &str = "index.json.lock";
/// How long a lock is waited for before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a reader waits before it reads without.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// When the log says what is waited for.
const SILENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// Most bytes of the kernel's list of locks that are read.
const MAX_LOCKS: u64 = 4 << 20;

/// Reads the index; a layout without one is empty. `is_held` remembers that another process keeps the lock, so that
/// only the first of many readers waits.
pub(super) fn read_index(root: &Path, is_held: &AtomicBool) -> Result<Index, StoreError> {
    // Relaxed: a hint, with nothing behind it.
    let patience = if is_held.load(Ordering::Relaxed) { Duration::ZERO } else { READ_PATIENCE };
    match lock_shared_within(root, patience) {
        Ok(_lock) => {
            is_held.store(false, Ordering::Relaxed);
            layout::read_index_locked(root)
        }
        Err(StoreError::Locked { holder, .. }) => {
            if !is_held.swap(true, Ordering::Relaxed) {
                let path = root.join(LOCK);
                tracing::warn!(
                    name: "store.lock.ignored",
                    path = %path.display(),
                    holder = holder.as_deref().unwrap_or("another process"),
                    "the index is read while another process may be changing it"
                );
            }
            match layout::read_index_locked(root) {
                // Half of what somebody is writing in place.
                Err(StoreError::BadIndex { .. }) => {
                    let _lock = lock_shared(root)?;
                    layout::read_index_locked(root)
                }
                read => read,
            }
        }
        Err(error) => Err(error),
    }
}

/// The exclusive lock of a store that belongs to this user or to root.
pub(super) fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = open(root, &path, &mut options).map_err(StoreError::io("open lock", &path))?;
    wait(&file, &path, FlockOperation::NonBlockingLockExclusive, PATIENCE)?;
    Ok(file)
}

/// A shared lock, or none where the lock file does not exist or is not ours to open: reading a store needs no right
/// to write to it.
pub(super) fn lock_shared(root: &Path) -> Result<Option<File>, StoreError> {
    lock_shared_within(root, PATIENCE)
}

fn lock_shared_within(root: &Path, patience: Duration) -> Result<Option<File>, StoreError> {
    let path = root.join(LOCK);
    match open(root, &path, OpenOptions::new().read(true)) {
        Ok(file) => {
            wait(&file, &path, FlockOperation::NonBlockingLockShared, patience)?;
            Ok(Some(file))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(StoreError::io("open lock", &path)(error)),
    }
}

/// Opens the lock if it is a file, and of somebody who may have made it: anybody else could hold it for ever.
fn open(root: &Path, path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = layout::open_regular_with(options, path)?;
    let owner = file.metadata()?.uid();
    if !layout::is_trusted(owner) && owner != fs::metadata(root)?.uid() {
        let problem = format!("it belongs to user {owner}, who does not own the store");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(file)
}

fn wait(file: &File, path: &Path, operation: FlockOperation, patience: Duration) -> Result<(), StoreError> {
    let start = Instant::now();
    let mut is_silent = true;
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(StoreError::io("lock", path)(error.into())),
        }
        if start.elapsed() >= patience {
            let (path, holder) = (path.to_owned(), holder(file));
            return Err(StoreError::Locked { path, holder, seconds: patience.as_secs() });
        }
        if is_silent && start.elapsed() >= SILENCE {
            is_silent = false;
            let holder = holder(file);
            let holder = holder.as_deref().unwrap_or("another process");
            tracing::info!(name: "store.lock.awaited", path = %path.display(), holder);
        }
        thread::sleep(PAUSE);
    }
}

/// Who holds a lock on the file, as far as the kernel tells: not if it is in another PID namespace.
fn holder(file: &File) -> Option<String> {
    let mut locks = String::new();
    let list = File::open("/proc/locks").ok()?;
    io::Read::read_to_string(&mut io::Read::take(list, MAX_LOCKS), &mut locks).ok()?;
    let pid = holder_in(&locks, file.metadata().ok()?.ino())?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} (`{}`)", name.escape_debug()),
    })
}

/// The first process that holds a flock on an inode. The device is left out: some file systems show another one there.
///
/// # Source
/// proc(5), `/proc/locks`: number, kind, `ADVISORY`, `READ` or `WRITE`, process, device and inode, range; waiting ones
/// have `->` behind the number.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next() != Some("FLOCK") {
            return None;
        }
        let pid: u32 = words.nth(2)?.parse().ok()?;
        let found: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (found == inode && pid > 0).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ig_model::Hint as _;
    use rustix::fs::FlockOperation;

    use super::{StoreError, holder_in, wait};

    /// Scenario: the lock is held for longer than anybody waits.
    /// Guarantees: the error names the process and says what to do.
    #[test]
    fn who_holds_the_lock_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        rustix::fs::flock(file.as_file(), FlockOperation::LockExclusive).unwrap();
        let operation = FlockOperation::NonBlockingLockExclusive;
        let error = wait(&file.reopen().unwrap(), file.path(), operation, Duration::ZERO).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }) && error.hint().is_some(), "{error}");
        let holder = format!("is held by process {} (`", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
    }

    /// Scenario: the kernel's list, with other kinds of locks, a waiting process and one of another namespace.
    /// Guarantees: only who holds a flock on the inode is named.
    #[test]
    fn holders_are_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 00:1a:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 00:1a:78 0 EOF\n3: FLOCK  ADVISORY  READ 0 00:1a:79 0 EOF\n";
        assert_eq!([77, 78, 79].map(|inode| holder_in(locks, inode)), [Some(22), None, None]);
        assert_eq!(holder_in("nonsense\n4: FLOCK", 77), None);
    }
}
