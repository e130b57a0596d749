//! Removal, and what must never be removed.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::listing::{described, put_signature};
use super::*;
use crate::store::Removed;

const AT_ONCE: Duration = Duration::ZERO;
const CHILD_STORE: &str = "IG_TEST_PIN_STORE";
const CHILD_DIGEST: &str = "IG_TEST_PIN_DIGEST";

fn blob_count(store: &Store) -> usize {
    fs::read_dir(store.path().join("blobs/sha256")).unwrap().count()
}

fn has_file(store: &Store, content: &[u8]) -> bool {
    blob::path(store.path(), Digest::of(content)).exists()
}

/// Ends the holds of the value that stored an image, as the end of a process does.
fn reopen(store: Store) -> Store {
    let path = store.path().to_owned();
    drop(store);
    Store::open(path).unwrap()
}

/// Scenario: two names lead to one image, a third image shares a layer; the names go one by one.
/// Guarantees: the first removal takes only the name, the second the image, never the shared layer; then all is gone.
#[test]
fn images_go_with_their_last_name() {
    let (_folder, store) = store();
    let digest = put_image(&store, Some("a"), &[(EBPF, b"a"), (WASM, b"shared")]);
    put_image(&store, Some("other"), &[(EBPF, b"o"), (WASM, b"shared")]);
    store.tag(&name("a"), &name("b")).unwrap();
    let store = reopen(store);
    assert!(matches!(
        store.remove(&name(&format!("a@{digest}"))).unwrap_err(),
        ResolveError::Named { names, .. } if names.len() == 2
    ));
    assert_eq!(store.remove(&name("a")).unwrap(), Removed::Name);
    assert!(store.load_gadget(&name("b"), Arch::Amd64).is_ok());
    let Removed::Image(collected) = store.remove(&name("b")).unwrap() else { panic!("the image stays") };
    assert_eq!(collected.files, 3, "index, manifest, object");
    assert!(!has_file(&store, b"a") && has_file(&store, b"shared"));
    assert!(store.load_gadget(&name("other"), Arch::Amd64).is_ok());
    assert_eq!(store.remove(&name("b")).unwrap_err().kind(), ErrorKind::NotFound);
    store.remove(&name("other")).unwrap();
    assert_eq!((blob_count(&store), names_in_index(&store).len()), (0, 0));
}

/// Scenario: an image with a signature by tag, one by subject, and a signature of that signature, is removed.
/// Guarantees: all of them go, and those of another image stay.
#[test]
fn signatures_go_with_what_they_sign() {
    let (_folder, store) = store();
    let mut kept = Vec::new();
    for image in ["g", "h"] {
        let digest = put_image(&store, Some(image), &[(EBPF, image.as_bytes())]);
        let subject = described(&store, digest);
        let signature = put_signature(&store, &subject, format!("by subject {image}").as_bytes());
        store.list_manifest(&signature, None).unwrap();
        let second = put_signature(&store, &signature, format!("by signature {image}").as_bytes());
        store.list_manifest(&second, None).unwrap();
        let tagged = put_signature(&store, &Descriptor::of(EBPF, b"x"), format!("by tag {image}").as_bytes());
        store.list_manifest(&tagged, Some(&format!("sha256-{}.sig", digest.hex()))).unwrap();
        kept.push(digest);
    }
    let store = reopen(store);
    store.remove(&name("g")).unwrap();
    for way in ["subject", "signature", "tag"] {
        assert!(!has_file(&store, format!("by {way} g").as_bytes()), "{way}");
        assert!(has_file(&store, format!("by {way} h").as_bytes()), "{way}");
    }
    assert_eq!(store.referrers(kept[1]).unwrap().len(), 1);
    assert!(store.resolve_tag(&format!("sha256-{}.sig", kept[0].hex())).unwrap().is_none());
    assert!(Store::check(store.path(), store.limits(), Repair::No).unwrap().faults.is_empty());
}

/// Scenario: an image is pinned and loses its name, by removal and by another image; garbage is collected meanwhile.
/// Guarantees: it stays usable by its digest until the pin goes, also when the pin moves.
#[test]
fn pinned_images_stay() {
    let (_folder, store) = store();
    let old = put_image(&store, Some("g"), &[(EBPF, b"old")]);
    let mut pin = store.pin("collector", &[old]).unwrap();
    let new = put_image(&store, Some("g"), &[(EBPF, b"new")]);
    pin.set(&[old, new]).unwrap();
    let user = Store::open(store.path()).unwrap();
    let store = reopen(store);
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    assert_eq!(user.remove(&name("g")).unwrap(), Removed::KeptInUse);
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    for digest in [old, new] {
        assert!(store.load_gadget(&name(&format!("g@{digest}")), Arch::Amd64).is_ok());
    }
    pin.set(&[new]).unwrap();
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    assert!(!has_file(&store, b"old") && has_file(&store, b"new"));
    drop(pin);
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    assert_eq!((blob_count(&store), names_in_index(&store).len()), (0, 0));
    assert_eq!(fs::read_dir(store.path().join("pins")).unwrap().count(), 0);
    for owner in ["", "a/b", "lease", "..", "x y"] {
        assert_eq!(store.pin(owner, &[]).unwrap_err().kind(), ErrorKind::InvalidInput, "{owner}");
    }
}

/// Scenario: a process pins an image and is killed.
/// Guarantees: while it lives the image stays; afterwards nothing is left of its pin.
#[test]
fn pins_end_with_their_process() {
    let (_folder, store) = store();
    let digest = put_image(&store, None, &[(EBPF, OBJECT)]);
    let store = reopen(store);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::collect::child_process_pins", "--nocapture"])
        .env(CHILD_STORE, store.path())
        .env(CHILD_DIGEST, digest.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("pinned")), "the child pins the image");
    store.collect(AT_ONCE, Collect::Remove).unwrap();
    assert!(has_file(&store, OBJECT));
    child.kill().unwrap();
    child.wait().unwrap();
    store.collect(AT_ONCE, Collect::Remove).unwrap();
    assert_eq!(blob_count(&store), 0);
    assert_eq!(fs::read_dir(store.path().join("pins")).unwrap().count(), 0);
}

/// Not a test by itself: the process that is killed.
#[test]
fn child_process_pins() {
    let (Some(path), Ok(digest)) = (std::env::var_os(CHILD_STORE), std::env::var(CHILD_DIGEST)) else {
        return;
    };
    let _pin = Store::open(PathBuf::from(path)).unwrap().pin("child", &[digest.parse().unwrap()]).unwrap();
    println!("pinned");
    // Until the parent ends it.
    io::stdin().read_line(&mut String::new()).unwrap();
}

/// Scenario: one store value stores blobs, and finds one; before it lists them, garbage is collected by another.
/// Guarantees: they stay until they are listed or the value is gone; what was listed and removed then goes.
#[test]
fn blobs_on_their_way_stay() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(WASM, b"found")]);
    let store = reopen(store);
    let user = Store::open(store.path()).unwrap();
    assert!(store.has_blob(Digest::of(b"found")).unwrap());
    store.put_blob(EBPF, b"stored").unwrap();
    let mut writer = store.blob_writer(Digest::of(b"streamed"), 8).unwrap();
    writer.write(b"streamed").unwrap();
    user.remove(&name("g")).unwrap();
    writer.commit().unwrap();
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    for content in [&b"found"[..], b"stored", b"streamed"] {
        assert!(has_file(&store, content));
    }
    put_image(&store, Some("g"), &[(EBPF, b"stored"), (WASM, b"found")]);
    user.remove(&name("g")).unwrap();
    assert!(!has_file(&store, b"stored") && !has_file(&store, b"found"), "a listed blob is held no more");
    assert!(has_file(&store, b"streamed"));
    drop(reopen(store));
    user.collect(AT_ONCE, Collect::Remove).unwrap();
    assert_eq!(blob_count(&user), 0);
}

/// Scenario: blobs that a program without leases is storing, beside an image that is removed.
/// Guarantees: the image's blobs go at once, the others only when they are old; a dry run takes nothing.
#[test]
fn young_strangers_are_left_alone() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let store = reopen(store);
    fs::write(blob::path(store.path(), Digest::of(b"theirs")), b"theirs").unwrap();
    let Removed::Image(collected) = store.remove(&name("g")).unwrap() else { panic!("the image stays") };
    assert_eq!((collected.files, collected.kept), (4, 1));
    assert!(has_file(&store, b"theirs"));
    let dry = store.collect(AT_ONCE, Collect::DryRun).unwrap();
    assert_eq!((dry.files, dry.bytes, dry.kept), (1, 6, 0));
    assert!(has_file(&store, b"theirs"));
    assert_eq!(store.collect(AT_ONCE, Collect::Remove).unwrap(), dry);
    assert_eq!(blob_count(&store), 0);
}

/// Scenario: images are stored, loaded, renamed and removed by several threads while others collect garbage.
/// Guarantees: whatever has just been listed loads, and the store is sound in the end.
#[test]
fn removal_and_storing_at_once_do_no_harm() {
    let (_folder, store) = store();
    let path = store.path().to_owned();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let path = &path;
            scope.spawn(move || {
                let store = Store::open(path).unwrap();
                for round in 0..20 {
                    let own = format!("w{writer}:{round}");
                    let content = format!("{}", round % 3);
                    put_image(&store, Some(&own), &[(EBPF, content.as_bytes()), (WASM, b"shared")]);
                    let gadget = store.load_gadget(&name(&own), Arch::Amd64).unwrap();
                    assert_eq!(gadget.ebpf.as_deref(), Some(content.as_bytes()));
                    store.remove(&name(&own)).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let store = Store::open(&path).unwrap();
            for _ in 0..20 {
                store.collect(AT_ONCE, Collect::Remove).unwrap();
            }
        });
    });
    drop(store);
    let store = Store::open(&path).unwrap();
    store.collect(AT_ONCE, Collect::Remove).unwrap();
    assert_eq!((blob_count(&store), names_in_index(&store).len()), (0, 0));
}
