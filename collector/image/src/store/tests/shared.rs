//! Stores that others may reach, and locks that others made or hold.

use std::os::unix::fs::{chown, symlink};

use rustix::fs::FlockOperation;

use super::*;
use crate::access::{Access as ImageAccess, PullPolicy};
use crate::auth::Keychain;
use crate::registry::{Registry, RegistryOptions};
use crate::store::Repair;
use crate::trust::{Policy, Verifier};

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Scenario: the lock is a link to a file that does not exist, a link to one that does, a pipe, a folder, or belongs to
/// a user who does not own the store.
/// Guarantees: reading and writing end at once with the reason; nothing appears behind a link.
#[test]
fn locks_of_others_are_not_followed() {
    let (folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let lock = store.path().join("index.json.lock");
    let elsewhere = folder.path().join("elsewhere");
    let refused = |reason: &str| {
        for error in
            [store.index().unwrap_err(), store.list_manifest(&Descriptor::empty(), None).unwrap_err()]
        {
            assert!(chain(&error).contains(reason), "{}", chain(&error));
        }
    };
    fs::remove_file(&lock).unwrap();
    symlink(&elsewhere, &lock).unwrap();
    refused("it is a symbolic link");
    assert!(!elsewhere.exists());
    fs::write(&elsewhere, "").unwrap();
    refused("it is a symbolic link");
    fs::remove_file(&lock).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &lock, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    refused("it is not a regular file");
    fs::remove_file(&lock).unwrap();
    if is_root() {
        fs::write(&lock, "").unwrap();
        chown(&lock, Some(NOBODY), None).unwrap();
        refused("it belongs to user 65534, who does not own the store");
    }
}

/// Scenario: a store that everybody may write to, with and without the sticky bit; one that a group may write to.
/// Guarantees: the first two are refused with what helps, for reading as well; the third is taken.
#[test]
fn stores_open_to_everybody_are_refused() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    for mode in [0o777, 0o1777, 0o702] {
        fs::set_permissions(store.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = Store::open(store.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        assert!(error.hint().unwrap().contains("chmod o-w"), "{error}");
        Store::open_read_only(store.path()).unwrap_err();
        Store::check(store.path(), store.limits(), Repair::No).unwrap_err();
    }
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    Store::open(store.path()).unwrap();
}

/// Scenario: root works in a store of another user, whose folder of pins is a link to a folder of others.
/// Guarantees: it is read; every change is refused with the reason; the files behind the link stay.
#[test]
fn stores_of_others_are_only_read() {
    if !is_root() {
        return;
    }
    let (folder, store) = store();
    let digest = put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let precious = folder.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "").unwrap();
    let path = store.path().to_owned();
    drop(store);
    fs::remove_dir_all(path.join("pins")).unwrap();
    symlink(&precious, path.join("pins")).unwrap();
    chown(&path, Some(NOBODY), None).unwrap();
    let theirs = Store::open(&path).unwrap();
    assert_eq!(theirs.resolve(&name("g")).unwrap().digest, digest);
    let read_only = |error: StoreError| {
        assert!(matches!(error, StoreError::ReadOnly { .. }) && error.hint().is_some(), "{error}");
    };
    read_only(theirs.collect(std::time::Duration::ZERO, Collect::Remove).unwrap_err());
    read_only(theirs.put_blob(EBPF, b"x").unwrap_err());
    read_only(theirs.pin("collector", &[digest]).unwrap_err());
    read_only(theirs.record_build(digest).unwrap_err());
    read_only(Store::check(&path, theirs.limits(), Repair::Yes).unwrap_err());
    assert!(matches!(theirs.remove(&name("g")), Err(ResolveError::Store(StoreError::ReadOnly { .. }))));
    assert!(precious.join("file").exists());
}

/// Scenario: another process keeps the lock for good; images are looked up; then it lets go.
/// Guarantees: the first look waits a while and answers, the others no longer wait; once the lock is free it is taken
/// again.
#[test]
fn a_held_lock_stops_no_reader() {
    let (_folder, store) = store();
    let digest = put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let held = File::open(store.path().join("index.json.lock")).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    let knows = || store.is_held.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(store.resolve(&name("g")).unwrap().digest, digest);
        assert!(knows());
    }
    rustix::fs::flock(&held, FlockOperation::Unlock).unwrap();
    store.resolve(&name("g")).unwrap();
    assert!(!knows());
}

/// Scenario: another process keeps the lock; an image is acquired on an executor of one thread.
/// Guarantees: the executor goes on meanwhile.
#[test]
fn a_held_lock_does_not_block_the_executor() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let held = File::open(store.path().join("index.json.lock")).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    let registry = Registry::new(RegistryOptions::default(), Keychain::default());
    let verifier = Verifier::new(Policy::new(None, []).unwrap());
    let access = ImageAccess::new(store, registry, verifier, "/".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let went_on = runtime.block_on(async {
        let image = name("g");
        // Cancel-safe: nothing is fetched.
        tokio::select! {
            biased; // a blocked executor would end the acquisition first
            _ = access.acquire(&image, PullPolicy::Never, &()) => false,
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => true,
        }
    });
    assert!(went_on);
}
