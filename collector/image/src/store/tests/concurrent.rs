//! Several writers and readers at once, as threads and as processes.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use super::*;

const IMAGES: usize = 12;
const CHILD_STORE: &str = "IG_TEST_STORE";
const CHILD_NAME: &str = "IG_TEST_WRITER";

fn write_images(path: PathBuf, writer: &str) {
    let store = Store::open(path).unwrap();
    for number in 0..IMAGES {
        let tag = format!("{writer}:{number}");
        let content = format!("object of {tag}");
        put_image(&store, Some(&tag), &[(EBPF, content.as_bytes()), (WASM, b"\0asm shared by all")]);
        let gadget = store.load_gadget(&name(&tag), Arch::host()).unwrap();
        assert_eq!(gadget.ebpf.as_deref(), Some(content.as_bytes()));
        put_image(&store, Some("contested"), &[(EBPF, content.as_bytes())]);
        store.load_gadget(&name("contested"), Arch::host()).unwrap();
    }
}

fn check_all(store: &Store, writers: &[&str]) {
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), writers.len() * IMAGES + 1, "no name was lost");
    for image in &listed {
        let reference = name(&format!("{}:{}", image.repository, image.tag));
        store.load_gadget(&reference, Arch::host()).unwrap();
    }
    assert_eq!(fs::read_dir(store.path().join("ingest")).unwrap().count(), 0);
    let stray = fs::read_dir(store.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with('.')
    });
    assert_eq!(stray.count(), 0, "no temporary file is left");
}

/// Scenario: four threads create the same store and fill it, moving one common name all the time.
/// Guarantees: each sees complete images only, and no name gets lost.
#[test]
fn threads_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writers = ["a", "b", "c", "d"];
    thread::scope(|scope| {
        for writer in writers {
            let path = path.clone();
            scope.spawn(move || write_images(path, writer));
        }
    });
    check_all(&Store::open(path).unwrap(), &writers);
}

/// Scenario: three processes do the same.
/// Guarantees: the same, across processes.
#[test]
fn processes_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writers = ["p", "q", "r"];
    let children: Vec<_> = writers
        .iter()
        .map(|writer| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "store::tests::concurrent::child_process_writes"])
                .env(CHILD_STORE, &path)
                .env(CHILD_NAME, writer)
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check_all(&Store::open(path).unwrap(), &writers);
}

/// Not a test by itself: the body of the processes above.
#[test]
fn child_process_writes() {
    if let (Some(path), Ok(writer)) = (env::var_os(CHILD_STORE), env::var(CHILD_NAME)) {
        write_images(path.into(), &writer);
    }
}
