//! Killed, and out of space, at each step: strace stops the very call that is named, in a process of its own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use ig_model::Hint as _;

use super::*;
use crate::store::{Fault, Repair};

const CHILD_STORE: &str = "IG_TEST_INTERRUPTED_STORE";
const CHILD_ACTION: &str = "IG_TEST_INTERRUPTED_ACTION";
/// The calls by which a store is changed.
const CALLS: [&str; 8] = ["openat", "write", "fsync", "rename", "renameat2", "unlink", "ftruncate", "fchmod"];
/// More calls of each kind than the test harness makes in its main thread, which strace counts by itself.
const WARM_UP: usize = 40;

/// What the child does to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Store,
    Remove,
    Import,
    Repair,
}

impl Action {
    const ALL: [Self; 4] = [Self::Store, Self::Remove, Self::Import, Self::Repair];

    fn run(self, store: &Path) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Store => {
                let store = Store::open(store)?;
                let mut writer = store.blob_writer(Digest::of(b"streamed"), 8)?;
                writer.write(b"streamed".get(usize::try_from(writer.offset())?..).unwrap_or_default())?;
                writer.commit()?;
                let layer = store.put_blob(EBPF, b"streamed")?;
                let config = store.put_blob(METADATA, YAML)?;
                let manifest = Manifest::gadget(config, vec![layer], Annotations::new());
                let entry = store.put_blob(MANIFEST, &to_json(&manifest)?)?;
                let entry = Descriptor { platform: Some(Platform::linux(Arch::host())), ..entry };
                store.put_index(&Index::of(vec![entry], Annotations::new()), Some(&name("new")))?;
            }
            Self::Remove => {
                let store = Store::open(store)?;
                if store.resolve(&name("old")).is_ok() {
                    store.remove(&name("old"))?;
                }
            }
            Self::Import => {
                Store::open(store)?.import(&store.with_extension("tar"))?;
            }
            Self::Repair => {
                Store::check(store, &Limits::default(), Repair::Yes)?;
            }
        }
        Ok(())
    }
}

/// A store with two images; for a repair, with a torn index and a damaged blob.
fn prepare(action: Action) -> (TempDir, PathBuf) {
    let (folder, store) = store();
    put_image(&store, Some("old"), &[(EBPF, b"old object"), (WASM, b"shared")]);
    put_image(&store, Some("kept"), &[(EBPF, b"kept object"), (WASM, b"shared")]);
    let path = store.path().to_owned();
    if action == Action::Import {
        put_image(&store, Some("new"), &[(EBPF, b"imported")]);
        store.export(&[name("new")], &path.with_extension("tar")).unwrap();
        store.remove(&name("new")).unwrap();
    }
    drop(store);
    if action == Action::Repair {
        let index = fs::read(path.join("index.json")).unwrap();
        fs::write(path.join("index.json"), &index[..index.len() - 2]).unwrap();
        hostile::overwrite(&blob::path(&path, Digest::of(b"old object")), b"torn");
    }
    (folder, path)
}

/// Runs the child under strace. The marks it leaves say how far it came.
fn strace(action: Action, path: &Path, options: &[&str]) -> Vec<String> {
    let output = Command::new("strace")
        .args(["-f", "-qq"])
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::interrupted::child_process_acts"])
        .env(CHILD_STORE, path)
        .env(CHILD_ACTION, format!("{action:?}"))
        .output()
        .expect("strace runs; tests/tools.sh installs it");
    let marks = path.with_extension("marks");
    let found = ["begun", "done", "refused", "panicked"]
        .into_iter()
        .filter(|mark| fs::symlink_metadata(marks.join(mark)).is_ok());
    let found: Vec<String> = found.map(str::to_owned).collect();
    assert!(!found.contains(&"panicked".to_owned()), "{action:?} {options:?}: {output:?}");
    found
}

/// How many calls of each kind the child made before it began, and when it was done.
fn count_calls(action: Action) -> BTreeMap<&'static str, (usize, usize)> {
    let (folder, path) = prepare(action);
    let log = folder.path().join("log");
    let traced = format!("trace=symlink,{}", CALLS.join(","));
    let marks = strace(action, &path, &["-o", log.to_str().unwrap(), "-e", &traced]);
    assert_eq!(marks, ["begun", "done"], "{action:?}");
    let log = fs::read_to_string(&log).unwrap();
    let thread = log.lines().find(|line| line.contains("symlink(")).unwrap().split(' ').next().unwrap();
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    let mut has_begun = false;
    for line in log.lines().filter(|line| line.split(' ').next() == Some(thread)) {
        let call = line.split_once(' ').unwrap().1.trim_start();
        if call.starts_with("symlink(") {
            has_begun = true;
        }
        for kind in CALLS {
            if call.starts_with(&format!("{kind}(")) {
                let (before, all) = counts.entry(kind).or_default();
                *all += 1;
                *before += usize::from(!has_begun);
            }
        }
    }
    counts
}

/// The store is usable and holds what it held, or what the action would have made of it.
fn assert_usable(action: Action, path: &Path, context: &str) {
    let store = Store::open(path).unwrap();
    if action == Action::Repair {
        assert!(action.run(path).is_ok(), "{context}: a second repair ends the first one's work");
    }
    for image in store.list().unwrap() {
        let image = name(&format!("{}:{}", image.repository, image.tag));
        assert!(store.load_gadget(&image, Arch::host()).is_ok(), "{context}: {image}");
    }
    assert!(store.load_gadget(&name("kept"), Arch::host()).is_ok(), "{context}");
    let report = Store::check(path, store.limits(), Repair::No).unwrap();
    let hurt: Vec<_> =
        report.faults.iter().filter(|fault| !matches!(fault, Fault::Leftover { .. })).collect();
    assert!(hurt.is_empty(), "{context}: {hurt:?}");
}

/// Then the same action succeeds, and after a collection nothing is left of the accident.
fn assert_recovers(action: Action, path: &Path, context: &str) {
    action.run(path).unwrap_or_else(|error| panic!("{context}: {error}"));
    let store = Store::open(path).unwrap();
    store.collect(Duration::ZERO, Collect::Remove).unwrap();
    let names: Vec<String> = store.list().unwrap().into_iter().map(|image| image.repository).collect();
    let expected: &[&str] = match action {
        Action::Store | Action::Import => &["kept", "new", "old"],
        Action::Remove | Action::Repair => &["kept"],
    };
    assert_eq!(names, expected, "{context}");
    let report = Store::check(path, store.limits(), Repair::No).unwrap();
    assert_eq!((report.faults, report.garbage), (Vec::new(), 0), "{context}");
    assert_eq!(fs::read_dir(path.join("pins")).map_or(0, Iterator::count), 0, "{context}");
}

/// Lets `fault` happen at each call of each kind while the action is under way.
fn at_each_step(fault: &str, calls: &[&str]) {
    for action in Action::ALL {
        let mut steps = 0;
        for (call, (before, all)) in count_calls(action) {
            // Most files are only opened for reading; some of them are enough.
            let stride = if call == "openat" { 4 } else { 1 };
            for nth in (before + 1..=all).step_by(stride) {
                if !calls.contains(&call) {
                    continue;
                }
                let (_folder, path) = prepare(action);
                let injected = format!("inject={call}:{fault}:when={nth}");
                strace(action, &path, &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &injected]);
                let context = format!("{action:?} with {injected}");
                assert_usable(action, &path, &context);
                assert_recovers(action, &path, &context);
                steps += 1;
            }
        }
        println!("{action:?}: {fault} at {steps} steps");
        assert!(steps > 3, "{action:?} has steps");
    }
}

/// Scenario: a process that stores, removes, imports or repairs is killed at each call that changes the store.
/// Guarantees: the store stays usable, other images load, nothing damaged is listed, and the next try completes.
#[test]
fn killed_at_each_step() {
    // To be killed at an open is to be killed before the call that follows.
    at_each_step("signal=KILL", CALLS.get(1..).unwrap());
}

/// Scenario: the disk is full at each of those calls.
/// Guarantees: an error instead of a panic, and the same.
#[test]
fn out_of_space_at_each_step() {
    at_each_step("error=ENOSPC", &["openat", "write", "fsync", "rename", "renameat2", "ftruncate"]);
}

/// Not a test by itself: the process that is traced.
#[test]
fn child_process_acts() {
    let (Some(path), Ok(action)) = (std::env::var_os(CHILD_STORE), std::env::var(CHILD_ACTION)) else {
        return;
    };
    let path = PathBuf::from(path);
    let action = Action::ALL.into_iter().find(|known| format!("{known:?}") == action).unwrap();
    let marks = path.with_extension("marks");
    fs::create_dir(&marks).unwrap();
    let scratch = path.with_extension("scratch");
    for _ in 0..WARM_UP {
        fs::write(&scratch, "x").unwrap();
    }
    let mark = |name: &str| std::os::unix::fs::symlink("here", marks.join(name)).unwrap();
    mark("begun");
    match catch_unwind(AssertUnwindSafe(|| action.run(&path).is_ok())) {
        Ok(true) => mark("done"),
        Ok(false) => mark("refused"),
        Err(_) => mark("panicked"),
    }
}

/// Scenario: a store on a disk of 256 KiB, and a blob that does not fit.
/// Guarantees: the error says so with a hint, the images that are there load, and the rest fits again afterwards.
#[test]
fn full_disks_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(folder.path())
        .status()
        .expect("mount runs");
    assert!(mounted.success(), "this test mounts a file system, which takes root");
    let unmount = Unmount(folder.path().to_owned());
    let store = Store::open(folder.path().join("store")).unwrap();
    put_image(&store, Some("kept"), &[(EBPF, OBJECT)]);
    let large = vec![7; 300 << 10];
    let digest = Digest::of(&large);
    let mut writer = store.blob_writer(digest, large.len() as u64).unwrap();
    let error = large.chunks(4096).find_map(|chunk| writer.write(chunk).err()).expect("the disk is full");
    assert!(error.hint().unwrap().contains("free space"), "{error}");
    assert!(store.put_blob(EBPF, &large).is_err());
    assert!(store.put_blob(EBPF, &[1; 8192]).is_err(), "nothing fits any more");
    assert!(store.tag(&name("kept"), &name("other")).is_err());
    drop(writer);
    assert!(store.load_gadget(&name("kept"), Arch::host()).is_ok());
    let partial = store.path().join("ingest").join(format!("{}_resume", digest.hex()));
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
    File::open(&partial).unwrap().set_modified(yesterday).unwrap();
    store.collect(GRACE, Collect::Remove).unwrap();
    put_image(&store, Some("other"), &[(EBPF, b"fits again")]);
    let report = Store::check(store.path(), store.limits(), Repair::No).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    drop(unmount);
}

/// Unmounts, also when the test fails.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
