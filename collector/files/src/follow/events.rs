//! What the kernel tells about directories: names that come and go, and files that were closed after writing.
//!
//! There are two watchers because a watcher has one mask. Neither asks for opens, reads or single writes, so that
//! whoever reads a file next to a followed one, or writes to it, costs nothing; a parent of something missing is not
//! even asked about files that are closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

use notify::{
    Config, Event, EventKind, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::Extensions;
use crate::version::Identity;

/// Names that appear, disappear and are replaced.
const NAMES: EventKindMask =
    EventKindMask::CREATE.union(EventKindMask::REMOVE).union(EventKindMask::MODIFY_NAME);
/// And files that were closed after writing, or got another mode.
const CONTENTS: EventKindMask = NAMES.union(EventKindMask::ACCESS_CLOSE).union(EventKindMask::MODIFY_META);

/// The directories to watch.
#[derive(Debug, Default)]
pub(super) struct Directories {
    /// For names alone.
    pub(super) names: BTreeSet<PathBuf>,
    /// For names and contents.
    pub(super) contents: BTreeSet<PathBuf>,
}

/// The paths about which an event is worth a look.
#[derive(Debug, Default)]
pub(super) struct Interest {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Directories of which every file with such an extension matters.
    pub(super) folders: BTreeMap<PathBuf, BTreeSet<Extensions>>,
}

/// Both watchers.
#[derive(Debug)]
pub(super) struct Events {
    names: Watched,
    contents: Watched,
}

#[derive(Debug)]
struct Watched {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
}

/// What the events told since the last look.
#[derive(Debug)]
pub(super) struct Inbox {
    told: Mutex<Told>,
    wake: SyncSender<()>,
    /// Every event that reached this process.
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Told {
    interest: Interest,
    marks: BTreeMap<PathBuf, (u64, Mark)>,
    /// The number of the next mark.
    next: u64,
}

/// What is known about whoever writes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was created by opening it, and was not closed since.
    Open,
    /// It was closed after writing or got its name as a whole; what it was at that moment.
    Whole(Identity),
}

impl Events {
    pub(super) fn new(inbox: &Arc<Inbox>) -> notify::Result<Self> {
        let watched = |mask| {
            let inbox = Arc::clone(inbox);
            // The handler runs on notify's thread.
            let handler = move |event: notify::Result<Event>| inbox.take(event);
            let watcher = RecommendedWatcher::new(handler, Config::default().with_event_kinds(mask))?;
            Ok::<_, notify::Error>(Watched { watcher, directories: BTreeSet::new() })
        };
        Ok(Self { names: watched(NAMES)?, contents: watched(CONTENTS)? })
    }

    /// Watches these directories and no others.
    ///
    /// # Errors
    /// The kernel has no more watches to give.
    pub(super) fn watch(&mut self, mut wanted: Directories) -> notify::Result<()> {
        // Whoever tells about contents tells about names as well.
        wanted.names.retain(|directory| !wanted.contents.contains(directory));
        self.names.set(wanted.names)?;
        self.contents.set(wanted.contents)
    }
}

impl Watched {
    fn set(&mut self, wanted: BTreeSet<PathBuf>) -> notify::Result<()> {
        for directory in self.directories.difference(&wanted) {
            // Fails where the directory is gone, and the watch with it.
            self.watcher.unwatch(directory).ok();
        }
        for directory in &wanted {
            // Also the ones that are watched: one that was removed and made anew has lost its watch.
            match self.watcher.watch(directory, RecursiveMode::NonRecursive) {
                Err(error) if is_exhausted(&error) => return Err(error),
                // Gone since the list was made, and what is above it is watched; or not ours to read.
                Ok(()) | Err(_) => {}
            }
        }
        self.directories = wanted;
        Ok(())
    }
}

/// Whether no watch can be had for any directory.
fn is_exhausted(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => {
            !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied)
        }
        _ => false,
    }
}

impl Inbox {
    pub(super) fn new(wake: SyncSender<()>) -> Self {
        Self { told: Mutex::default(), wake, count: AtomicU64::new(0) }
    }

    /// Makes the thread look around. If its mailbox is full it is about to anyway.
    pub(super) fn nudge(&self) {
        self.wake.try_send(()).ok();
    }

    /// Takes notice of these paths from now on.
    pub(super) fn look_for(&self, interest: Interest) {
        self.lock().interest = interest;
    }

    /// How many events reached this process.
    pub(super) fn count(&self) -> u64 {
        // Relaxed: a number for people, ordered with nothing.
        self.count.load(Ordering::Relaxed)
    }

    /// The last that was told about any of `names`, the newest first.
    pub(super) fn mark<'n>(&self, names: impl IntoIterator<Item = &'n PathBuf>) -> Option<Mark> {
        let told = self.lock();
        let marks = names.into_iter().filter_map(|name| told.marks.get(name));
        marks.max_by_key(|(number, _)| *number).map(|(_, mark)| *mark)
    }

    /// The number that the next mark will have.
    pub(super) fn next(&self) -> u64 {
        self.lock().next
    }

    /// Forgets the marks before `number`.
    pub(super) fn forget(&self, number: u64) {
        self.lock().marks.retain(|_, (made, _)| *made >= number);
    }

    /// Takes an event.
    pub(super) fn take(&self, event: notify::Result<Event>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let matters = match event {
            // Events were lost.
            Err(_) => true,
            Ok(event) if event.need_rescan() => true,
            Ok(event) => self.note(&event),
        };
        if matters {
            self.nudge();
        }
    }

    /// Marks the paths of an event; says whether it matters.
    fn note(&self, event: &Event) -> bool {
        let mut told = self.lock();
        let mut matters = false;
        for path in &event.paths {
            if !told.interest.covers(path) {
                continue;
            }
            matters = true;
            let mark = match event.kind {
                EventKind::Create(_) => Some(Mark::Open),
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
                    fs::metadata(path).ok().map(|metadata| Mark::Whole(Identity::of(&metadata)))
                }
                _ => None,
            };
            if let Some(mark) = mark {
                let number = told.next;
                told.next += 1;
                told.marks.insert(path.clone(), (number, mark));
            }
        }
        matters
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interest {
    fn covers(&self, path: &Path) -> bool {
        self.paths.contains(path)
            || path
                .parent()
                .and_then(|parent| self.folders.get(parent))
                .is_some_and(|extensions| extensions.iter().any(|extensions| extensions.cover(path)))
    }
}
