//! The thread that looks: when something happened, and every few seconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{
    Extensions, Shared, Subscriber,
    debounce::Debounce,
    events::{Directories, Events, Interest, Mark},
    files_of,
    resolution::Resolution,
};
use crate::version::{Identity, Version};

/// Where no events can be had any more, how often files are compared.
const POLL: Duration = Duration::from_secs(2);
/// How long other paths wait for one that is being written without end.
const DEFERRAL: Duration = Duration::from_mins(1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between two looks without a reason.
    rescan: Duration,
    /// How long a file must stay the same that somebody seems to be writing.
    open: Duration,
    /// How long a file must stay the same of which nothing is known.
    unknown: Duration,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Look {
    shared: Arc<Shared>,
    patience: Patience,
    /// `None` where the kernel gives no events.
    events: Option<Events>,
    /// What every file was when it was last found whole.
    seen: BTreeMap<PathBuf, Seen>,
    /// Files that changed and may be incomplete, with the moment since when they are what they are.
    unfinished: BTreeMap<PathBuf, (Identity, Instant)>,
    /// Since when changes wait to be told.
    deferred: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// `None` of what is not there, and where only the version is known.
    identity: Option<Identity>,
    version: Version,
}

/// Every path that is followed, with the files it leads to.
type Files = BTreeMap<(PathBuf, Extensions), BTreeMap<PathBuf, Version>>;

impl Patience {
    pub(super) const EVENTS: Self = Self {
        rescan: Duration::from_secs(10),
        open: Duration::from_secs(10),
        unknown: Duration::from_secs(1),
    };

    pub(super) const fn polling(interval: Duration) -> Self {
        Self { rescan: interval, open: interval, unknown: interval }
    }
}

impl Look {
    pub(super) fn new(shared: Arc<Shared>, events: bool, patience: Patience) -> Self {
        let mut look = Self {
            shared,
            patience,
            events: None,
            seen: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            deferred: None,
        };
        if events {
            match Events::new(&look.shared.inbox) {
                Ok(events) => look.events = Some(events),
                Err(error) => look.degrade(&error),
            }
        }
        look
    }

    pub(super) fn run(mut self, woken: &Receiver<()>) {
        let mut pending: Option<Debounce> = None;
        let mut next = Instant::now() + self.patience.rescan;
        loop {
            let due = pending.as_ref().map_or(next, |pending| pending.due().min(next));
            let woken = woken.recv_timeout(due.saturating_duration_since(Instant::now()));
            // Acquire pairs with the release when the last handle is dropped.
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            let now = Instant::now();
            match woken {
                Ok(()) => pending.get_or_insert_with(|| Debounce::new(now)).touch(now),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if pending.as_ref().map_or(next, Debounce::due) > now {
                continue;
            }
            pending = None;
            next = self.look(now);
        }
    }

    /// Watches what the paths lead to now, compares, and tells what differs; gives the time of the next look.
    ///
    /// The order matters: a change between watching and comparing is seen by the comparison, one after them gives an
    /// event.
    pub(super) fn look(&mut self, now: Instant) -> Instant {
        let mut paths = BTreeSet::new();
        let mut told = BTreeMap::new();
        for subscriber in self.shared.subscribers().all.values() {
            paths.extend(subscriber.paths.keys().cloned());
            told.extend(subscriber.paths.values().flatten().map(|(file, version)| (file.clone(), *version)));
        }
        let marks = self.shared.inbox.next();
        let resolutions = self.watch(&paths);
        let mut files = Files::new();
        for (path, extensions) in paths {
            // A file that comes into a directory that is known was absent before.
            let absent = self.seen.contains_key(&path).then_some(Version::ABSENT);
            let behind = files_of(&path, extensions).map(|file| {
                let before = told.get(&file).copied().or(absent);
                let version = self.version(&file, resolutions.get(&file), before, now);
                (file, version)
            });
            let behind = behind.collect();
            files.insert((path, extensions), behind);
        }
        let alive = |file: &PathBuf| files.values().any(|behind| behind.contains_key(file));
        self.seen.retain(|file, _| alive(file));
        self.unfinished.retain(|file, _| alive(file));
        if self.unfinished.is_empty() {
            self.deferred = None;
            self.shared.inbox.forget(marks);
            tell(&self.shared, &files);
            return now + self.patience.rescan;
        }
        if now >= *self.deferred.get_or_insert(now) + DEFERRAL {
            tell(&self.shared, &files);
        }
        now + self.patience.unknown
    }

    /// Watches the directories that lead to `paths`; gives the way to each file.
    fn watch(&mut self, paths: &BTreeSet<(PathBuf, Extensions)>) -> BTreeMap<PathBuf, Resolution> {
        let mut wanted = Directories::default();
        let mut interest = Interest::default();
        let mut resolutions = BTreeMap::new();
        for (path, extensions) in paths {
            for file in files_of(path, *extensions) {
                let resolution = Resolution::of(&file);
                wanted.names.extend(resolution.passed.iter().cloned());
                wanted.contents.extend(resolution.last.clone());
                interest.paths.extend(resolution.names.iter().cloned());
                if let (true, Some(folder)) = (file == *path, &resolution.last) {
                    interest.folders.entry(folder.clone()).or_default().insert(*extensions);
                }
                resolutions.insert(file, resolution);
            }
        }
        // A directory may go as a whole.
        interest.paths.extend(wanted.names.union(&wanted.contents).cloned());
        self.shared.inbox.look_for(interest);
        if let Some(events) = &mut self.events
            && let Err(error) = events.watch(wanted)
        {
            self.degrade(&error);
        }
        resolutions
    }

    /// What `file` holds, or held before somebody began to write it.
    ///
    /// `told` is what to go by where the file was not seen yet: what a subscriber knows of it.
    fn version(
        &mut self,
        file: &Path,
        resolution: Option<&Resolution>,
        told: Option<Version>,
        now: Instant,
    ) -> Version {
        let Ok(metadata) = std::fs::metadata(file) else {
            self.unfinished.remove(file);
            self.seen.insert(file.to_owned(), Seen { identity: None, version: Version::ABSENT });
            return Version::ABSENT;
        };
        let identity = Identity::of(&metadata);
        let told = told.map(|version| Seen { identity: None, version });
        let before = self.seen.get(file).copied().or(told);
        if let Some(before) = before.filter(|before| before.identity == Some(identity)) {
            self.unfinished.remove(file);
            return before.version;
        }
        let version = Version::read(file);
        if let Some(before) = before
            && version != before.version
            && metadata.is_file()
            && !self.is_whole(file, identity, before, resolution, now)
        {
            return before.version;
        }
        self.unfinished.remove(file);
        self.seen.insert(file.to_owned(), Seen { identity: Some(identity), version });
        version
    }

    /// Whether a file that is another one than before is in nobody's hands any more.
    fn is_whole(
        &mut self,
        file: &Path,
        identity: Identity,
        before: Seen,
        resolution: Option<&Resolution>,
        now: Instant,
    ) -> bool {
        if before.identity.is_some_and(|before| before.is_data(&identity)) {
            // Only its owner, mode or number of links differ.
            return true;
        }
        let mark = self.shared.inbox.mark(resolution.iter().flat_map(|resolution| &resolution.names));
        let was_open = match mark {
            Some(Mark::Whole(whole)) if whole.is_data(&identity) => return true,
            Some(Mark::Whole(whole)) => whole.is_inode(&identity),
            Some(Mark::Open) => true,
            None => before.identity.is_some_and(|before| before.is_inode(&identity)),
        };
        let since = match self.unfinished.get(file) {
            Some((known, since)) if known.is_data(&identity) => *since,
            _ => now,
        };
        self.unfinished.insert(file.to_owned(), (identity, since));
        now >= since + if was_open { self.patience.open } else { self.patience.unknown }
    }

    /// Goes on without events.
    fn degrade(&mut self, error: &notify::Error) {
        self.patience = Patience::polling(POLL);
        tracing::warn!(
            name: "files.follow.degraded",
            error = %error,
            interval = ?self.patience.rescan,
            "no file events to be had, comparing files on a timer (see fs.inotify.max_user_watches)",
        );
        self.events = None;
        self.shared.polling.store(true, Ordering::Relaxed);
    }
}

/// Tells every subscriber which of its files differ from what it was told last.
fn tell(shared: &Shared, files: &Files) {
    let mut subscribers = shared.subscribers();
    for Subscriber { paths, changed, signals } in subscribers.all.values_mut() {
        for (path, known) in paths {
            // Not there if it was named after this look began; the next one is due then.
            let Some(found) = files.get(path) else { continue };
            let both = known.keys().chain(found.keys());
            changed.extend(both.filter(|file| known.get(*file) != found.get(*file)).cloned());
            known.clone_from(found);
        }
        if !changed.is_empty() {
            // A full mailbox means that its owner was told already and did not come yet.
            signals.try_send(()).ok();
        }
    }
}
