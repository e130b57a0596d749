//! Maps that objects share by name, with and without a bpffs to share them in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ig_loader::{ErrorKind, Loaded, Loader, Object};

use crate::compile;

const OBJECT: &str = "IG_TEST_PINNED_OBJECT";
const ROOT: &str = "/sys/fs/bpf";
const ALWAYS: &str = "ig_test_always";
const OPTION: &str = "ig_test_option";

/// Runs a test of this binary in a mount namespace of its own, in which `mount` is where bpffs belongs.
fn within(mount: &str, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("pinned.o");
    fs::write(&object, compile::compile("pinned")).unwrap();
    let script = format!("mount {mount} {ROOT} && exec \"$0\" \"$@\"");
    let run = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(OBJECT, &object)
        .output()
        .expect("unshare(1) is part of util-linux");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

fn given() -> Option<Object> {
    let path = PathBuf::from(std::env::var_os(OBJECT)?);
    Some(Object::parse("pinned", &fs::read(path).unwrap()).unwrap())
}

fn load(object: &Object, with_option: bool) -> Loaded {
    let mut loader = Loader::new(object);
    loader.set_variable("with_option", &[u8::from(with_option)]).unwrap();
    loader.load().unwrap_or_else(|error| panic!("{error:?}"))
}

fn set(loaded: &Loaded, map: &str, value: u64) {
    let map = loaded.map(map).unwrap();
    map.update(&0_u32.to_ne_bytes(), &value.to_ne_bytes()).unwrap();
}

fn get(loaded: &Loaded, map: &str) -> Option<u64> {
    let mut value = [0; 8];
    loaded.map(map).unwrap().lookup(&0_u32.to_ne_bytes(), &mut value).ok()?;
    Some(u64::from_ne_bytes(value))
}

fn is_pinned(map: &str) -> bool {
    Path::new(ROOT).join(map).exists()
}

/// Loads twice, without the option and with it: both loads share what is to be shared, and nothing else.
fn share(object: &Object) {
    let first = load(object, false);
    set(&first, ALWAYS, 42);
    set(&first, OPTION, 1);
    drop(first);
    let second = load(object, false);
    assert_eq!(get(&second, ALWAYS), Some(42), "what is pinned outlives the programs that use it");
    assert_eq!((get(&second, OPTION), second.map(OPTION).unwrap().max_entries()), (None, 1));

    let third = load(object, true);
    set(&third, OPTION, 2);
    let fourth = load(object, true);
    assert_eq!((get(&fourth, OPTION), fourth.map(OPTION).unwrap().max_entries()), (Some(2), 8));
}

/// Scenario: the file system that pins live in is not mounted; an object that shares two maps, one where an option is
/// on, is loaded again and again.
/// Guarantees: it loads, its loads in one process share the maps as they would by pins, and without the option a map is
/// neither shared nor as large.
#[test]
fn without_bpffs_the_process_shares() {
    within("-t tmpfs none", "pins::in_a_process_without_bpffs");
}

/// Not a test by itself: the body of the one above, in its namespace.
#[test]
fn in_a_process_without_bpffs() {
    let Some(object) = given() else { return };
    share(&object);
    assert!(!is_pinned(ALWAYS) && !is_pinned(OPTION));
}

/// Scenario: the same with a bpffs; then another process loads the object, then one whose map of that name differs.
/// Guarantees: the maps are pinned under their names, the optional one only once the option is on; other processes share
/// them; a map that does not fit is refused.
#[test]
fn with_bpffs_everybody_shares() {
    within("-t bpf none", "pins::in_a_process_with_bpffs");
}

/// Not a test by itself: the body of the one above, in its namespace.
#[test]
fn in_a_process_with_bpffs() {
    let Some(object) = given() else { return };
    drop(load(&object, false));
    assert!(is_pinned(ALWAYS) && !is_pinned(OPTION));
    share(&object);
    assert!(is_pinned(OPTION));
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pins::in_another_process", "--nocapture"])
        .env(OTHER, "yes")
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));

    let mut loader = Loader::new(&object);
    loader.set_max_entries(ALWAYS, 9).unwrap();
    let error = loader.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains(ALWAYS) && error.to_string().contains("number of entries"), "{error}");
}

const OTHER: &str = "IG_TEST_PINNED_OTHER";

/// Not a test by itself: the other process of the one above.
#[test]
fn in_another_process() {
    if std::env::var_os(OTHER).is_some() {
        assert_eq!(get(&load(&given().unwrap(), true), ALWAYS), Some(42));
    }
}

/// Scenario: a bpffs that may not be written to.
/// Guarantees: the process shares among its own.
#[test]
fn a_read_only_bpffs_is_as_good_as_none() {
    within("-o ro -t bpf none", "pins::in_a_process_without_bpffs");
}
