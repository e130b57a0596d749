use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ig_model::Hint as _;
use ig_model::chain;
use tempfile::TempDir;

use super::*;
use crate::Arch;
use crate::ErrorKind;
use crate::manifest::{CREATED, EBPF, EMPTY, MANIFEST, METADATA, Manifest, Platform, REF_NAME, WASM};

mod collect;
mod concurrent;
mod fsck;
mod hostile;
mod ingest;
mod interrupted;
mod listing;
mod shared;

const YAML: &[u8] = b"name: x\n";
const OBJECT: &[u8] = b"\x7fELF pretend";

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("a/store")).unwrap();
    (folder, store)
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// Stores an image with the given layers for amd64 and arm64.
fn put_image(store: &Store, tag: Option<&str>, layers: &[(&str, &[u8])]) -> Digest {
    let layers: Vec<_> =
        layers.iter().map(|(kind, content)| store.put_blob(kind, content).unwrap()).collect();
    let config = store.put_blob(METADATA, YAML).unwrap();
    put_manifest(store, tag, &Manifest::gadget(config, layers, created("2026-01-02T03:04:05Z")))
}

fn put_manifest(store: &Store, tag: Option<&str>, manifest: &Manifest) -> Digest {
    let entry = store.put_blob(MANIFEST, &to_json(manifest).unwrap()).unwrap();
    let for_arch = |arch| Descriptor {
        platform: Some(Platform::linux(arch)),
        annotations: manifest.annotations.clone(),
        ..entry.clone()
    };
    let index = Index::of(vec![for_arch(Arch::Amd64), for_arch(Arch::Arm64)], manifest.annotations.clone());
    store.put_index(&index, tag.map(name).as_ref()).unwrap()
}

fn created(text: &str) -> Annotations {
    Annotations::from([(CREATED.to_owned(), text.to_owned())])
}

fn names_in_index(store: &Store) -> Vec<Option<String>> {
    let mut names: Vec<_> =
        store.index().unwrap().manifests.iter().map(|entry| entry.ref_name().map(str::to_owned)).collect();
    names.sort();
    names
}

/// Scenario: a store is opened where nothing exists, twice.
/// Guarantees: the layout's files appear with the content and modes that other OCI programs expect.
#[test]
fn open_creates_a_layout() {
    let (_folder, store) = store();
    let root = store.path();
    Store::open(root).unwrap();
    assert_eq!(fs::metadata(root).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(root.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(
        fs::read_to_string(root.join("index.json")).unwrap(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
    );
    assert!(store.list().unwrap().is_empty());
}

/// Scenario: the folder is a layout of another version, or `oci-layout` is garbage, or the path is a file.
/// Guarantees: opening is refused, names the file and changes nothing.
#[test]
fn open_refuses_other_folders() {
    for content in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "", "\0\u{1}"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("oci-layout"), content).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("oci-layout"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(Store::open(file.path()).unwrap_err().to_string().contains("failed to create folder"));
}

/// Scenario: an image with a name is stored, resolved, loaded and listed.
/// Guarantees: everything that was put in comes out; blobs are read-only; the index lists what others expect.
#[test]
fn image_round_trips() {
    let (_folder, store) = store();
    let digest = put_image(&store, Some("trace_x:v1"), &[(EBPF, OBJECT), (WASM, b"\0asm")]);

    let image = store.resolve(&name("trace_x:v1")).unwrap();
    assert_eq!((image.digest, image.media_type.as_str()), (digest, manifest::INDEX));
    assert_eq!(image.annotations, created("2026-01-02T03:04:05Z"));

    let gadget = store.load_gadget(&name("trace_x:v1"), Arch::Arm64).unwrap();
    assert_eq!(gadget.digest, digest);
    assert_eq!(gadget.ebpf.as_deref(), Some(OBJECT));
    assert_eq!(gadget.wasm.as_deref(), Some(&b"\0asm"[..]));
    assert_eq!(gadget.metadata.as_deref(), Some("name: x\n"));
    assert!(gadget.btfgen.is_none() && gadget.warnings.is_empty());

    let listed = store.list().unwrap();
    assert_eq!(
        listed,
        [ListedImage {
            repository: "trace_x".to_owned(),
            tag: "v1".to_owned(),
            digest,
            created: Some("2026-01-02T03:04:05Z".to_owned()),
        }]
    );
    let blob = store.path().join("blobs/sha256").join(digest.hex());
    assert_eq!(fs::metadata(blob).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(fs::read_dir(store.path().join("ingest")).unwrap().count(), 0);
    let full = "ghcr.io/inspektor-gadget/gadget/trace_x:v1".to_owned();
    assert_eq!(names_in_index(&store), [None, Some(full)]);
}

/// Scenario: an unknown name.
/// Guarantees: the error names the image in full and the store; the hint says how to get it.
#[test]
fn unknown_image_says_what_to_do() {
    let (_folder, store) = store();
    let error = store.load_gadget(&name("trace_nothing"), Arch::host()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let path = store.path().display();
    assert_eq!(
        error.to_string(),
        format!("image `ghcr.io/inspektor-gadget/gadget/trace_nothing:latest` is not in the store `{path}`")
    );
    assert!(error.hint().unwrap().contains("ig image build PATH -t trace_nothing"));
}

/// Scenario: a name moves to a new image; a second name is added; an unnamed image gets a name.
/// Guarantees: names lead to the newest image; the old one stays reachable by digest, listed once without a name.
#[test]
fn names_move() {
    let (_folder, store) = store();
    let old = put_image(&store, Some("g"), &[(EBPF, b"old")]);
    let new = put_image(&store, Some("g"), &[(EBPF, b"new")]);
    assert_ne!(old, new);
    assert_eq!(store.resolve(&name("g")).unwrap().digest, new);
    assert_eq!(store.resolve(&name(&format!("g@{old}"))).unwrap().media_type, manifest::INDEX);
    assert_eq!(put_image(&store, Some("g"), &[(EBPF, b"new")]), new, "storing again changes nothing");

    store.tag(&name("g"), &name("localhost:5000/h:2")).unwrap();
    let unnamed = put_image(&store, None, &[(EBPF, b"third")]);
    store.tag(&name(&format!("x@{unnamed}")), &name("a")).unwrap();
    let listed = store.list().unwrap();
    let row = |image: &ListedImage| format!("{}:{} {}", image.repository, image.tag, image.digest == new);
    assert_eq!(
        listed.iter().map(row).collect::<Vec<_>>(),
        ["a:latest false", "g:latest true", "localhost:5000/h:2 true"]
    );
    let nameless = names_in_index(&store).iter().filter(|name| name.is_none()).count();
    assert_eq!(nameless, 4, "three manifests and the image that lost its name");
}

/// Scenario: index entries as other programs write them: signature tags, duplicate names, digest names, bad digests.
/// Guarantees: the last entry of a name counts; signatures and unusable entries are not listed.
#[test]
fn foreign_entries_are_tolerated() {
    let (_folder, store) = store();
    let first = put_image(&store, None, &[(EBPF, b"1")]);
    let last = put_image(&store, None, &[(EBPF, b"2")]);
    let entry = |digest: &str, text: &str| Descriptor {
        media_type: manifest::INDEX.to_owned(),
        digest: digest.to_owned(),
        size: 1,
        annotations: Annotations::from([(REF_NAME.to_owned(), text.to_owned())]),
        ..Descriptor::default()
    };
    layout::update_index(store.path(), |index| {
        index.manifests.push(entry(&first.to_string(), "h.x/g:1"));
        index.manifests.push(entry(&last.to_string(), "h.x/g:1"));
        index.manifests.push(entry(&last.to_string(), &format!("sha256-{}.sig", last.hex())));
        index.manifests.push(entry("sha512:zz", "h.x/bad:1"));
        index.manifests.push(entry(&first.to_string(), &format!("h.x/pulled@{first}")));
    })
    .unwrap();
    assert_eq!(store.resolve(&name("h.x/g:1")).unwrap().digest, last);
    let listed: Vec<_> = store.list().unwrap().into_iter().map(|i| (i.repository, i.tag, i.digest)).collect();
    assert_eq!(
        listed,
        [("h.x/g".to_owned(), "1".to_owned(), last), ("h.x/pulled".to_owned(), "latest".to_owned(), first),]
    );
    assert!(matches!(store.resolve(&name("h.x/bad:1")).unwrap_err(), ResolveError::Digest { .. }));
}

/// Scenario: a digest that no entry lists but whose blob exists, as signatures are looked up.
/// Guarantees: it resolves to a raw blob, which is refused as an image.
#[test]
fn raw_blobs_resolve_by_digest() {
    let (_folder, store) = store();
    let blob = store.put_blob(EBPF, b"data").unwrap();
    let image = store.resolve(&name(&format!("x@{}", blob.digest))).unwrap();
    assert_eq!((image.media_type.as_str(), image.size), ("application/octet-stream", 4));
    let error = store.load_gadget(&image.reference, Arch::Amd64).unwrap_err();
    assert!(error.to_string().ends_with("is not an image index but `application/octet-stream`"), "{error}");
}

/// Scenario: a store that the user may read but not write, such as one handed over read-only.
/// Guarantees: resolving and loading work without the lock file and create nothing.
#[test]
fn reading_needs_no_lock_file() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    fs::remove_file(store.path().join("index.json.lock")).unwrap();
    let store = Store::open(store.path()).unwrap();
    assert!(store.load_gadget(&name("g"), Arch::Amd64).is_ok());
    assert!(!store.path().join("index.json.lock").exists());
}

/// Scenario: an image without metadata, layers or annotations.
/// Guarantees: it loads, empty.
#[test]
fn empty_image_loads() {
    let (_folder, store) = store();
    put_manifest(&store, Some("g"), &Manifest::gadget(Descriptor::empty(), Vec::new(), Annotations::new()));
    let gadget = store.load_gadget(&name("g"), Arch::Amd64).unwrap();
    assert!(gadget.ebpf.is_none() && gadget.metadata.is_none() && gadget.wasm.is_none());
    assert_eq!(Descriptor::empty().media_type, EMPTY);
}
