use std::{
    cell::Cell,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};

use super::{
    Changed, Followed, Follower, Handle, Shared, Subscription, again_after_panics,
    look::{Look, Patience},
};
use crate::FileVersion;

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The next change; what was told must be what differs.
async fn next(subscription: &mut Subscription) -> Changed {
    let changed = tokio::time::timeout(PATIENCE, subscription.changed());
    changed.await.expect("a change is told").expect("the thread lives")
}

/// Waits until exactly `paths` were told, in one or several times.
async fn told<const N: usize>(subscription: &mut Subscription, paths: [&Path; N]) {
    let mut all = Changed::default();
    while all.paths().count() < N {
        all.merge(next(subscription).await);
    }
    assert!(all.paths().eq(paths), "{all}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn link(&self, target: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        symlink(target, &path).unwrap();
        path
    }

    /// Gives `name` another content in one step.
    fn replace(&self, name: &str, text: &str) {
        let other = self.write(&format!("tmp/{name}"), text);
        fs::rename(other, self.path(name)).unwrap();
    }
}

fn follow(path: &Path) -> Subscription {
    Follower::start().unwrap().subscribe([Followed::file(path)])
}

#[tokio::test]
async fn tells_a_save_in_place_and_a_rename_over() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "1");
    let mut subscription = follow(&path);
    fs::write(&path, "2").unwrap();
    told(&mut subscription, [&path]).await;
    folder.replace("config.yaml", "3");
    told(&mut subscription, [&path]).await;
    fs::write(&path, "4").unwrap();
    told(&mut subscription, [&path]).await;
}

#[tokio::test]
async fn tells_a_file_that_appears_vanishes_and_comes_back() {
    let folder = Folder::new();
    let path = folder.path("sub/config.yaml");
    let mut subscription = follow(&path);
    folder.write("sub/config.yaml", "1");
    told(&mut subscription, [&path]).await;
    fs::remove_dir_all(folder.path("sub")).unwrap();
    told(&mut subscription, [&path]).await;
    folder.write("sub/config.yaml", "1");
    told(&mut subscription, [&path]).await;
}

/// Scenario: what the kubelet does when a ConfigMap changes: a new directory, then a rename of the link to it.
/// Guarantees: the swap is told, twice in a row, for the file and for the directory.
#[tokio::test]
async fn tells_the_symlink_swap_of_a_config_map() {
    for whole_directory in [false, true] {
        let folder = Folder::new();
        folder.write("..2024_01/config.yaml", "1");
        folder.link("..2024_01", "..data");
        let path = folder.link("..data/config.yaml", "config.yaml");
        let followed = if whole_directory { path.parent().unwrap() } else { &path };
        let followed = Followed::documents(followed, &["yaml"]);
        let mut subscription = Follower::start().unwrap().subscribe([followed]);
        for (version, text) in [("..2024_02", "2"), ("..2024_03", "3")] {
            folder.write(&format!("{version}/config.yaml"), text);
            folder.link(version, "..data_tmp");
            fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
            told(&mut subscription, [&path]).await;
        }
    }
}

#[tokio::test]
async fn tells_a_change_behind_a_link_that_moved() {
    let folder = Folder::new();
    folder.write("one/config.yaml", "1");
    folder.write("two/config.yaml", "2");
    let path = folder.link("one/config.yaml", "config.yaml");
    let mut subscription = follow(&path);
    folder.link("two/config.yaml", "next");
    fs::rename(folder.path("next"), &path).unwrap();
    told(&mut subscription, [&path]).await;
    folder.write("two/config.yaml", "3");
    told(&mut subscription, [&path]).await;
}

/// Scenario: documents of a directory come, change and go; hidden files and others come as well.
/// Guarantees: each document is told by its own name, nothing else is.
#[tokio::test]
async fn tells_which_documents_of_a_directory_differ() {
    let folder = Folder::new();
    let first = folder.write("conf/a.yaml", "1");
    let documents = Followed::documents(folder.path("conf"), &["yaml", "yml"]);
    let mut subscription = Follower::start().unwrap().subscribe([documents]);
    folder.write("conf/README", "not a document");
    folder.write("conf/.hidden.yaml", "not one either");
    let second = folder.write("conf/b.yml", "2");
    told(&mut subscription, [&second]).await;
    fs::write(&first, "3").unwrap();
    fs::remove_file(&second).unwrap();
    told(&mut subscription, [&first, &second]).await;
}

/// Scenario: further files are named by what was read of them; one changed between being read and being named, one
/// did not; then the list is given anew without the first, and at last with one that was removed meanwhile.
/// Guarantees: what changed in between is told, what did not is not; a path that is named no more is not followed.
#[tokio::test]
async fn follows_on_from_what_was_read() {
    let folder = Folder::new();
    let (base, token, key) = (folder.write("a", "1"), folder.write("b", "new"), folder.write("c", "same"));
    let mut subscription = follow(&base);
    subscription.also([FileVersion::of(&token, b"old").into(), FileVersion::of(&key, b"same").into()]).await;
    told(&mut subscription, [&token]).await;
    subscription.also([FileVersion::of(&key, b"same").into()]).await;
    fs::write(&token, "nobody looks").unwrap();
    fs::write(&base, "2").unwrap();
    told(&mut subscription, [&base]).await;
    fs::remove_file(&key).unwrap();
    told(&mut subscription, [&key]).await;
    let gone = folder.path("gone");
    subscription.also([FileVersion::of(&gone, b"read before it was removed").into()]).await;
    told(&mut subscription, [&gone]).await;
}

/// Scenario: two subscribers of one follower name one file in common and one each.
/// Guarantees: each is told of its own files.
#[tokio::test]
async fn every_subscriber_is_told_of_its_own() {
    let folder = Folder::new();
    let [common, left, right] = ["common", "left", "right"].map(|name| folder.write(name, "1"));
    let follower = Follower::start().unwrap();
    let mut one = follower.subscribe([&common, &left].map(Followed::file));
    let mut two = follower.subscribe([&common, &right].map(Followed::file));
    drop(follower);
    for path in [&common, &left, &right] {
        fs::write(path, "2").unwrap();
    }
    told(&mut one, [&common, &left]).await;
    told(&mut two, [&common, &right]).await;
}

/// Scenario: a file is touched, written with what it held, and replaced by an equal one; then it changes.
/// Guarantees: only the last is told. What is compared is the content, so there is nothing to wait for in between.
#[tokio::test]
async fn equal_content_is_no_change() {
    let folder = Folder::new();
    let (path, other) = (folder.write("file", "same"), folder.write("other", "1"));
    let mut subscription = Follower::start().unwrap().subscribe([&path, &other].map(Followed::file));
    File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::write(&path, "same").unwrap();
    folder.replace("file", "same");
    fs::write(&other, "2").unwrap();
    told(&mut subscription, [&other]).await;
}

/// Scenario: a file is created, and another rewritten, by somebody who writes a part and keeps them open; meanwhile
/// a third file is replaced. Then the writers go on and close.
/// Guarantees: whenever a file is told, it is whole.
#[tokio::test]
async fn a_file_that_is_told_is_whole() {
    let folder = Folder::new();
    let old = folder.write("conf/a.yaml", "old");
    let third = folder.write("third", "1");
    let documents = Followed::documents(folder.path("conf"), &["yaml"]);
    let follower = Follower::start().unwrap();
    let mut subscription = follower.subscribe([documents, Followed::file(&third)]);
    // Once this was told, the directories are watched.
    fs::write(&third, "2").unwrap();
    told(&mut subscription, [&third]).await;
    let new = folder.path("conf/b.yaml");
    let mut writers = [File::create(&old).unwrap(), File::create(&new).unwrap()];
    for writer in &mut writers {
        writer.write_all(b"first half, ").unwrap();
    }
    folder.replace("third", "3");
    for mut writer in writers {
        writer.write_all(b"second half").unwrap();
    }
    let mut all = Changed::default();
    while all.paths().count() < 3 {
        let changed = next(&mut subscription).await;
        for path in changed.paths().filter(|path| *path != third) {
            assert_eq!(fs::read_to_string(path).unwrap(), "first half, second half");
        }
        all.merge(changed);
    }
    assert!(all.paths().eq([&old, &new, &third]), "{all}");
}

/// The thread's work without the thread: events and time come from the test.
struct Steps {
    look: Look,
    shared: Arc<Shared>,
    start: Instant,
    subscription: Subscription,
    _woken: Receiver<()>,
}

impl Steps {
    fn new(paths: impl IntoIterator<Item = Followed>) -> Self {
        let (wake, woken) = sync_channel(1);
        let shared = Arc::new(Shared::new(wake, false));
        let follower = Follower(Arc::new(Handle { shared: Arc::clone(&shared) }));
        let subscription = follower.subscribe(paths);
        let look = Look::new(Arc::clone(&shared), false, Patience::EVENTS);
        let mut steps = Self { look, shared, start: Instant::now(), subscription, _woken: woken };
        assert_eq!(steps.at(0), "");
        steps
    }

    fn event(&self, kind: EventKind, path: &Path) {
        self.shared.inbox.take(Ok(Event::new(kind).add_path(path.to_owned())));
    }

    /// Looks so many seconds after the start; the names of the files that were told.
    fn at(&mut self, seconds: u64) -> String {
        self.look.look(self.start + Duration::from_secs(seconds));
        if self.subscription.signals.try_recv().is_err() {
            return String::new();
        }
        let changed = self.subscription.changed_now().unwrap();
        let names = changed.paths().map(|path| path.file_name().unwrap().to_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    }
}

const CREATED: EventKind = EventKind::Create(CreateKind::File);
const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const RENAMED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

/// Scenario: one file is created and one rewritten, in parts with seconds in between; a third is replaced meanwhile.
/// Guarantees: nothing is told until the last was closed; then all are.
#[test]
fn what_is_open_defers_everything_until_it_is_closed() {
    let folder = Folder::new();
    let [old, third] = ["a", "c"].map(|name| folder.write(name, "1"));
    let new = folder.path("b");
    let mut steps = Steps::new([&old, &new, &third].map(Followed::file));
    fs::write(&new, "part").unwrap();
    steps.event(CREATED, &new);
    fs::write(&old, "part").unwrap();
    folder.replace("c", "2");
    steps.event(RENAMED, &third);
    assert_eq!(steps.at(1), "");
    fs::write(&new, "part and more").unwrap();
    assert_eq!(steps.at(9), "");
    steps.event(CLOSED, &new);
    assert_eq!(steps.at(10), "", "the old one is open");
    fs::write(&old, "part and more").unwrap();
    steps.event(CLOSED, &old);
    assert_eq!(steps.at(11), "a b c");
}

/// Scenario: a file is closed, and opened again by somebody who writes a part before the first look; nobody ever
/// closes it.
/// Guarantees: the part is not told for having been preceded by a close; it is once it did not change for ten seconds.
#[test]
fn what_is_never_closed_is_told_after_ten_seconds() {
    let folder = Folder::new();
    let path = folder.write("a", "1");
    let mut steps = Steps::new([Followed::file(&path)]);
    fs::write(&path, "whole").unwrap();
    steps.event(CLOSED, &path);
    fs::write(&path, "a part").unwrap();
    assert_eq!(steps.at(1), "");
    fs::write(&path, "a larger part").unwrap();
    assert_eq!(steps.at(10), "");
    assert_eq!(steps.at(19), "");
    assert_eq!(steps.at(20), "a");
}

/// Scenario: a file is written without end, another changes meanwhile.
/// Guarantees: the other is told after a minute.
#[test]
fn what_is_written_without_end_holds_up_the_others_for_a_minute() {
    let folder = Folder::new();
    let [log, other] = ["a", "b"].map(|name| folder.write(name, "1"));
    let mut steps = Steps::new([&log, &other].map(Followed::file));
    folder.replace("b", "2");
    steps.event(RENAMED, &other);
    for second in 1..=60 {
        fs::write(&log, "line\n".repeat(second)).unwrap();
        assert_eq!(steps.at(second as u64), "", "{second}");
    }
    fs::write(&log, "line\n".repeat(61)).unwrap();
    assert_eq!(steps.at(61), "b");
}

/// Scenario: a file became another one, and no event told how: its directory was swapped, or events were lost.
/// Guarantees: it is told once it was the same for a second; at once if it is gone.
#[test]
fn what_nothing_is_known_of_is_told_after_a_second() {
    let folder = Folder::new();
    let path = folder.write("a", "1");
    let mut steps = Steps::new([Followed::file(&path)]);
    folder.replace("a", "2");
    assert_eq!(steps.at(1), "");
    assert_eq!(steps.at(2), "a");
    fs::remove_file(&path).unwrap();
    assert_eq!(steps.at(2), "a");
}

/// Scenario: the neighbours of a followed file, of a missing directory and of a link on the way are opened, read and
/// closed ten thousand times; those of the missing directory and the link are written as well.
/// Guarantees: not one event reaches this process for it. Events come in order, so the change that follows is told
/// after all that could have come before it.
#[tokio::test]
async fn what_others_read_costs_nothing() {
    let folder = Folder::new();
    let path = folder.write("real/file", "1");
    folder.link("real/file", "link");
    let neighbours = [folder.write("real/neighbour", "1"), folder.write("neighbour", "1"), path.clone()];
    fs::create_dir(folder.path("elsewhere")).unwrap();
    let paths = [folder.path("link"), folder.path("missing/file")];
    let follower = Follower::start().unwrap();
    let mut subscription = follower.subscribe(paths.iter().map(Followed::file));
    let replace = |text: &str| {
        folder.write("elsewhere/new", text);
        fs::rename(folder.path("elsewhere/new"), &path).unwrap();
    };
    replace("2");
    told(&mut subscription, [&paths[0]]).await;
    let mut content = String::new();
    for round in 0..10_000 {
        let neighbour = &neighbours[round % neighbours.len()];
        content.clear();
        File::open(neighbour).unwrap().read_to_string(&mut content).unwrap();
        if round % 100 == 0 {
            fs::write(&neighbours[1], &content).unwrap();
        }
    }
    replace("3");
    told(&mut subscription, [&paths[0]]).await;
    let events = follower.events();
    assert!(events <= 2, "{events} events, at most one for each of two changes");
}

/// Scenario: no events are to be had.
/// Guarantees: a change is told nevertheless, once the file was the same in two looks.
#[tokio::test]
async fn polling_tells_as_well() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "1");
    let follower = Follower::polling(Duration::from_millis(5)).unwrap();
    assert!(follower.is_polling());
    let mut subscription = follower.subscribe([Followed::file(&path)]);
    fs::write(&path, "22").unwrap();
    told(&mut subscription, [&path]).await;
    fs::remove_file(&path).unwrap();
    told(&mut subscription, [&path]).await;
}

/// Scenario: the thread that follows panics three times in a row.
/// Guarantees: each panic is told and the work begun anew, until it ends by itself or nobody needs it any more.
#[test]
fn a_panic_does_not_end_following() {
    let (told, work) = (Cell::new(0), Cell::new(0));
    let stop = AtomicBool::new(false);
    let panic_until = |last: u32| {
        work.set(work.get() + 1);
        assert!(work.get() >= last, "as it was told");
    };
    again_after_panics(&stop, |_| told.set(told.get() + 1), || panic_until(3));
    assert_eq!((told.get(), work.get()), (2, 3));
    stop.store(true, Ordering::Release);
    again_after_panics(&stop, |_| told.set(told.get() + 1), || panic_until(u32::MAX));
    assert_eq!((told.get(), work.get()), (3, 4));
}
