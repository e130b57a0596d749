//! Notices that documents may have changed.
//!
//! Editors write in place, tools rename a new file over the old one, Kubernetes swaps a symbolic link two levels
//! away. So directories are watched, not files: the one the document is in, and every one that holds a link on the
//! way to it. Events only say "look": after a moment of quiet the documents' identities (device, inode, size, times)
//! are compared, and a signal is given if one of them differs. Events that get lost, and file systems that send none,
//! cost time and nothing else, because the same comparison is also made every few seconds.
//!
//! A signal means "may have changed". Whoever receives it loads the documents and compares
//! [`Loaded::hash`](crate::runtime::Loaded::hash).

mod debounce;
mod paths;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc;

use debounce::Debounce;
use paths::{Fingerprint, directories, fingerprint};

/// How often documents are compared where events arrive: for those that got lost.
const RESCAN: Duration = Duration::from_secs(10);
/// How often documents are compared where no events can be had.
const POLL: Duration = Duration::from_secs(2);

/// Signals that documents may have changed; stops watching when dropped.
#[derive(Debug)]
pub struct Watcher {
    changes: mpsc::Receiver<()>,
    shared: Arc<Shared>,
    wake: SyncSender<()>,
}

/// The watching thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("failed to start watching {}", .path.display())]
pub struct WatchError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// What the thread and the [`Watcher`] both see.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    polling: AtomicBool,
    /// Files besides the documents themselves.
    also: Mutex<Vec<PathBuf>>,
}

impl Watcher {
    /// Watches a document file or a directory of them, which need not exist yet.
    ///
    /// Create the watcher before the first load: a change between the two is then signalled, not missed. Where the
    /// kernel has no more watches to give, documents are compared every two seconds instead, and a warning is logged.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, WatchError> {
        Self::start(&path.into(), Mode { events: true, poll: POLL })
    }

    /// Watches without asking the kernel for events, by comparing every `interval`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn polling(path: impl Into<PathBuf>, interval: Duration) -> Result<Self, WatchError> {
        Self::start(&path.into(), Mode { events: false, poll: interval })
    }

    /// Waits for the next signal. Changes while nobody waits give one signal. `None` after the thread died.
    ///
    /// # Cancel safety
    /// Cancel safe: a signal is either returned or still there for the next call.
    pub async fn changed(&mut self) -> Option<()> {
        self.changes.recv().await
    }

    /// Watches these files as well, instead of the ones given before; made for
    /// [`Loaded::referenced`](crate::runtime::Loaded::referenced).
    ///
    /// A list that differs from the one before gives a signal: the files may have changed between being read and
    /// being watched.
    pub fn also(&self, files: Vec<PathBuf>) {
        *self.shared.also.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.nudge();
    }

    /// Whether documents are compared on a timer only.
    pub fn is_polling(&self) -> bool {
        // Relaxed: a report for people, ordered with nothing.
        self.shared.polling.load(Ordering::Relaxed)
    }

    fn start(path: &Path, mode: Mode) -> Result<Self, WatchError> {
        // A relative path must keep meaning the same file.
        let path = std::path::absolute(path).map_err(|cause| WatchError { path: path.to_owned(), cause })?;
        let (signals, changes) = mpsc::channel(1);
        let (wake, woken) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let mut watch = Watch::new(path.clone(), mode, Arc::clone(&shared), wake.clone(), signals);
        watch.refresh();
        let thread = thread::Builder::new().name("config-watch".to_owned());
        thread.spawn(move || watch.run(&woken)).map_err(|cause| WatchError { path, cause })?;
        Ok(Self { changes, shared, wake })
    }

    /// Makes the thread look around. If its mailbox is full it is about to anyway.
    fn nudge(&self) {
        self.wake.try_send(()).ok();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Release pairs with the acquire in `Watch::run`; the mailbox would order it as well, were it not full.
        self.shared.stop.store(true, Ordering::Release);
        self.nudge();
    }
}

#[derive(Clone, Copy, Debug)]
struct Mode {
    events: bool,
    poll: Duration,
}

/// What the thread owns.
struct Watch {
    path: PathBuf,
    mode: Mode,
    shared: Arc<Shared>,
    signals: mpsc::Sender<()>,
    /// `None` where the kernel gives no events.
    events: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    also: Vec<PathBuf>,
    known: Fingerprint,
}

impl Watch {
    fn new(
        path: PathBuf,
        mode: Mode,
        shared: Arc<Shared>,
        wake: SyncSender<()>,
        signals: mpsc::Sender<()>,
    ) -> Self {
        let events = mode.events.then(|| {
            // The handler runs on notify's thread. A full mailbox means that a look is due already.
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.map_or(true, |event| matters(event.kind)) {
                    wake.try_send(()).ok();
                }
            })
        });
        let mut watch = Self {
            path,
            mode,
            shared,
            signals,
            events: None,
            watched: BTreeSet::new(),
            also: Vec::new(),
            known: Fingerprint::default(),
        };
        match events.transpose() {
            Ok(events) => {
                watch.shared.polling.store(events.is_none(), Ordering::Relaxed);
                watch.events = events;
            }
            Err(error) => watch.degrade(&error),
        }
        watch
    }

    fn run(mut self, woken: &Receiver<()>) {
        let mut pending: Option<Debounce> = None;
        loop {
            let now = Instant::now();
            let wait = match &pending {
                Some(pending) => pending.due().saturating_duration_since(now),
                None if self.events.is_none() => self.mode.poll,
                None => RESCAN,
            };
            let woken = woken.recv_timeout(wait);
            // Acquire pairs with the release in `Watcher::drop`.
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            let now = Instant::now();
            match woken {
                Ok(()) => pending.get_or_insert_with(|| Debounce::new(now)).touch(now),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if pending.as_ref().is_some_and(|pending| now < pending.due()) {
                continue;
            }
            pending = None;
            if self.refresh() && self.signals.try_send(()) == Err(mpsc::error::TrySendError::Closed(())) {
                return;
            }
        }
    }

    /// Watches what the paths lead to now, then compares; says whether something differs from the last time.
    ///
    /// The order matters: a change between the two steps is seen by the comparison, one after them gives an event.
    fn refresh(&mut self) -> bool {
        let also = self.shared.also.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.also = also;
        let mut wanted = directories(&self.path);
        for path in &self.also {
            wanted.extend(directories(path));
        }
        for directory in self.watched.difference(&wanted) {
            if let Some(events) = &mut self.events {
                // Fails where the directory is gone, and the watch with it.
                events.unwatch(directory).ok();
            }
        }
        for directory in &wanted {
            // Also the ones that are watched: one that was removed and made anew has lost its watch.
            if let Err(error) = self.watch(directory) {
                self.degrade(&error);
                break;
            }
        }
        self.watched = wanted;
        let paths = std::iter::once(&self.path).chain(&self.also);
        let known = fingerprint(paths.map(PathBuf::as_path));
        let differs = known != self.known;
        self.known = known;
        differs
    }

    fn watch(&mut self, directory: &Path) -> notify::Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        match events.watch(directory, RecursiveMode::NonRecursive) {
            // Gone since the list was made; what is above it is watched.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => Ok(()),
            Err(notify::Error { kind: notify::ErrorKind::Io(error), .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Goes on without events.
    fn degrade(&mut self, error: &notify::Error) {
        tracing::warn!(
            name: "config.watch.degraded",
            path = %self.path.display(),
            error = %error,
            interval = ?self.mode.poll,
            "no file events to be had, comparing files on a timer (see fs.inotify.max_user_watches)",
        );
        self.events = None;
        self.shared.polling.store(true, Ordering::Relaxed);
    }
}

/// Whether an event may mean new content. Opening and reading do not, and we cause those ourselves.
fn matters(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
