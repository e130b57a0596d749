//! Tells which of the paths that somebody named lead to other contents now.
//!
//! Editors write in place, tools rename a new file over the old one, Kubernetes swaps a symbolic link two levels
//! away. So directories are watched, not files: the one a file is in, and every one that holds a link on the way to
//! it. Events only say "look": after a moment of quiet the files' identities (device, inode, size, times) are
//! compared, and what differs is read and compared by its hash, so that a file that was only touched is not a change.
//! Events that get lost, and file systems that send none, cost time and nothing else, because the same comparison is
//! also made every few seconds.
//!
//! # What is still being written
//! A change is told when the file is whole: it was closed after writing, or got its name by a rename. A file that
//! differs without either is held to be in somebody's hands, and nothing is told, of other paths neither, until it is
//! closed or did not change for ten seconds. Where the kernel sends no events, a file must be the same in two looks.
//!
//! # What it costs
//! Opening, reading and writing what lies beside a followed file sends no event. See [`events`].

mod debounce;
mod events;
mod look;
mod resolution;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use thiserror::Error;
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::version::{FileVersion, Version};
use events::Inbox;
use look::{Look, Patience};

/// Follows paths on a thread of its own, which ends with the last handle and subscription. Clones are the same.
#[derive(Clone, Debug)]
pub struct Follower(Arc<Handle>);

/// One subscriber's paths, and what became of them; they are followed until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    handle: Arc<Handle>,
    number: u64,
    /// What was named first, and stays.
    base: Vec<Followed>,
    signals: mpsc::Receiver<()>,
}

/// A path to follow. It need not exist.
#[derive(Clone, Debug)]
pub struct Followed {
    path: PathBuf,
    extensions: Extensions,
    version: Option<Version>,
}

/// The paths that lead to other contents than before, as absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed(BTreeSet<PathBuf>);

/// The thread that follows could not be started.
#[derive(Debug, Error)]
#[error("failed to start following files")]
pub struct FollowError(#[source] io::Error);

/// Which files of a directory count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extensions(&'static [&'static str]);

/// Ends the thread when nobody needs it any more.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

/// What the thread and its users both see.
#[derive(Debug)]
struct Shared {
    inbox: Arc<Inbox>,
    stop: AtomicBool,
    polling: AtomicBool,
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    all: BTreeMap<u64, Subscriber>,
    next: u64,
    /// The thread has ended, so nobody will ever be told anything.
    ended: bool,
}

#[derive(Debug)]
struct Subscriber {
    /// Each path with the files it led to when they were last told about.
    paths: BTreeMap<(PathBuf, Extensions), BTreeMap<PathBuf, Version>>,
    changed: BTreeSet<PathBuf>,
    signals: mpsc::Sender<()>,
}

impl Follower {
    /// Starts to follow.
    ///
    /// Where the kernel has no more watches to give, files are compared every two seconds instead, and a warning is
    /// logged.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start() -> Result<Self, FollowError> {
        Self::start_noting(|_| {})
    }

    /// The same, with somebody to tell of panics of the thread, which goes on after each.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start_noting(on_panic: impl Fn(&(dyn Any + Send)) + Send + 'static) -> Result<Self, FollowError> {
        Self::with(true, Patience::EVENTS, on_panic)
    }

    /// Starts to follow without asking the kernel for events, by comparing every `interval`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn polling(interval: Duration) -> Result<Self, FollowError> {
        Self::with(false, Patience::polling(interval), |_| {})
    }

    /// Follows these paths from what they lead to now, or from the version they come with.
    ///
    /// Subscribe before the first reading: a change between the two is then told, not missed.
    pub fn subscribe(&self, paths: impl IntoIterator<Item = Followed>) -> Subscription {
        let base: Vec<_> = paths.into_iter().collect();
        let (sender, signals) = mpsc::channel(1);
        let subscriber =
            Subscriber { paths: known(&base, &BTreeMap::new()), changed: BTreeSet::new(), signals: sender };
        let mut subscribers = self.0.shared.subscribers();
        let number = subscribers.next;
        subscribers.next += 1;
        if !subscribers.ended {
            subscribers.all.insert(number, subscriber);
        }
        drop(subscribers);
        self.0.shared.inbox.nudge();
        Subscription { handle: Arc::clone(&self.0), number, base, signals }
    }

    /// Whether files are compared on a timer only.
    pub fn is_polling(&self) -> bool {
        // Relaxed: a report for people, ordered with nothing.
        self.0.shared.polling.load(Ordering::Relaxed)
    }

    /// How many file events reached this process.
    pub fn events(&self) -> u64 {
        self.0.shared.inbox.count()
    }

    fn with(
        events: bool,
        patience: Patience,
        on_panic: impl Fn(&(dyn Any + Send)) + Send + 'static,
    ) -> Result<Self, FollowError> {
        let (wake, woken) = sync_channel(1);
        let shared = Arc::new(Shared::new(wake, !events));
        let looked = Arc::clone(&shared);
        let thread = thread::Builder::new().name("files".to_owned());
        let work = move || {
            again_after_panics(&looked.stop, on_panic, || {
                Look::new(Arc::clone(&looked), events, patience).run(&woken);
            });
            let mut subscribers = looked.subscribers();
            subscribers.ended = true;
            subscribers.all.clear();
        };
        thread.spawn(work).map_err(FollowError)?;
        Ok(Self(Arc::new(Handle { shared })))
    }
}

/// Does `work` until it returns. After a panic it begins anew, with pauses that grow; what changed meanwhile is told then,
/// because what was told last is kept elsewhere.
fn again_after_panics(stop: &AtomicBool, on_panic: impl Fn(&(dyn Any + Send)), work: impl Fn()) {
    const LONGEST: Duration = Duration::from_mins(1);
    let mut pause = Duration::from_millis(100);
    while let Err(panic) = catch_unwind(AssertUnwindSafe(&work)) {
        on_panic(panic.as_ref());
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(LONGEST);
        // Acquire pairs with the release when the last handle is dropped.
        if stop.load(Ordering::Acquire) {
            return;
        }
    }
}

impl Subscription {
    /// Waits until followed paths lead to other contents, and tells which. Changes while nobody waits are told
    /// together. `None` after the thread died.
    ///
    /// # Cancel safety
    /// Cancel safe: what changed is either returned or still there for the next call.
    pub async fn changed(&mut self) -> Option<Changed> {
        loop {
            let open = self.signals.recv().await.is_some();
            match self.changed_now() {
                None if open => {}
                changed => return changed,
            }
        }
    }

    /// What changed and was not returned yet, if anything did.
    fn changed_now(&self) -> Option<Changed> {
        let mut subscribers = self.handle.shared.subscribers();
        let own = subscribers.all.get_mut(&self.number)?;
        Some(Changed(std::mem::take(&mut own.changed))).filter(|changed| !changed.is_empty())
    }

    /// Follows these paths as well, instead of those given here before.
    ///
    /// A path that comes with a version is followed from that version: if it leads to something else by now, that is
    /// told.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it open whether they are followed.
    pub async fn also(&self, paths: impl IntoIterator<Item = Followed>) {
        let mut all = self.base.clone();
        // The base goes on from what was told last, whatever it came with.
        for followed in &mut all {
            followed.version = None;
        }
        all.extend(paths);
        let (handle, number) = (Arc::clone(&self.handle), self.number);
        // Looking at what is new may wait for a disk. A panic leaves the paths as they were.
        drop(spawn_blocking(move || handle.shared.follow(number, &all)).await);
    }
}

/// What is known of the files behind `all`: the version they came with, else what was told before, else what is there.
fn known(
    all: &[Followed],
    before: &BTreeMap<(PathBuf, Extensions), BTreeMap<PathBuf, Version>>,
) -> BTreeMap<(PathBuf, Extensions), BTreeMap<PathBuf, Version>> {
    let known = all.iter().map(|Followed { path, extensions, version }| {
        let key = (path.clone(), *extensions);
        let files = match (version, before.get(&key)) {
            (Some(version), _) => BTreeMap::from([(path.clone(), *version)]),
            (None, Some(files)) => files.clone(),
            (None, None) => {
                files_of(path, *extensions).map(|file| (file.clone(), Version::read(&file))).collect()
            }
        };
        (key, files)
    });
    known.collect()
}

/// `path` itself, and if it is a directory the files in it that count.
fn files_of(path: &Path, extensions: Extensions) -> impl Iterator<Item = PathBuf> {
    let entries = (!extensions.0.is_empty()).then(|| std::fs::read_dir(path).ok()).flatten();
    let entries = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(path.to_owned()).chain(entries.filter(move |entry| extensions.cover(entry)))
}

impl Followed {
    /// A file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::documents(path, &[])
    }

    /// A file, or a directory of which the files with these extensions count, but for hidden ones.
    pub fn documents(path: impl AsRef<Path>, extensions: &'static [&'static str]) -> Self {
        Self { path: absolute(path.as_ref()), extensions: Extensions(extensions), version: None }
    }
}

impl From<FileVersion> for Followed {
    fn from(file: FileVersion) -> Self {
        Self { version: file.version, ..Self::file(file.path) }
    }
}

/// A relative path must keep meaning the same file.
fn absolute(path: &Path) -> PathBuf {
    // Fails for an empty path, which leads nowhere either way.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Changed {
    /// The paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `path` is among them.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(&absolute(path))
    }

    /// Adds what changed later.
    pub fn merge(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", path.display())?;
        }
        Ok(())
    }
}

impl Extensions {
    fn cover(self, path: &Path) -> bool {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(OsStr::to_str);
        !hidden && extension.is_some_and(|extension| self.0.contains(&extension))
    }
}

impl Shared {
    fn new(wake: SyncSender<()>, polling: bool) -> Self {
        Self {
            inbox: Arc::new(Inbox::new(wake)),
            stop: AtomicBool::new(false),
            polling: AtomicBool::new(polling),
            subscribers: Mutex::default(),
        }
    }

    /// Replaces the paths of a subscriber.
    fn follow(&self, subscriber: u64, all: &[Followed]) {
        // What is new is looked at without the lock: that may take time.
        let before = {
            let subscribers = self.subscribers();
            subscribers.all.get(&subscriber).map(|own| own.paths.clone()).unwrap_or_default()
        };
        let paths = known(all, &before);
        if let Some(own) = self.subscribers().all.get_mut(&subscriber) {
            own.paths = paths;
        }
        self.inbox.nudge();
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.handle.shared.subscribers().all.remove(&self.number);
        self.handle.shared.inbox.nudge();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Release pairs with the acquire in `Look::run`; the mailbox would order it as well, were it not full.
        self.shared.stop.store(true, Ordering::Release);
        self.shared.inbox.nudge();
    }
}
