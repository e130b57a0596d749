//! Archives that are damaged, or made to do damage.

use ig_model::Hint as _;
use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::manifest::REF_NAME;

/// An archive in the making.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a member whose name and announced size are taken as they are.
    fn raw(mut self, kind: EntryType, name: &[u8], size: u64, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(EntryType::Regular, name.as_bytes(), content.len() as u64, content)
    }

    fn blob(self, content: &[u8]) -> Self {
        self.file(&format!("blobs/sha256/{}", Digest::of(content).hex()), content)
    }

    /// Adds what makes it a layout with the given entries.
    fn layout(self, entries: Vec<Descriptor>) -> Self {
        let index = to_json(&Index::of(entries, Annotations::new())).unwrap();
        self.file("index.json", &index).file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn tagged(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor {
        annotations: Annotations::from([(REF_NAME.to_owned(), "h.x/g:1".to_owned())]),
        ..Descriptor::of(media_type, content)
    }
}

/// A sound image of one manifest without layers.
fn sound() -> (Vec<u8>, Descriptor) {
    let manifest = to_json(&Manifest::gadget(Descriptor::empty(), Vec::new(), Annotations::new())).unwrap();
    let entry = tagged(MANIFEST, &manifest);
    (manifest, entry)
}

/// Imports bytes into a fresh store with an image in it; a refusal must leave the store sound and its index alone.
fn import(content: &[u8], limits: &Limits) -> Result<Imported, ArchiveError> {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder, "store").with_limits(limits.clone());
    put_image(&store, "before", OBJECT);
    let file = folder.path().join("hostile.tar");
    fs::write(&file, content).unwrap();
    let index = fs::read(store.path().join("index.json")).unwrap();
    let outcome = store.import(&file);
    if outcome.is_err() {
        assert_eq!(fs::read(store.path().join("index.json")).unwrap(), index);
    }
    assert!(store.load_gadget(&name("before"), Arch::Amd64).is_ok());
    let report = Store::check(store.path(), store.limits(), crate::store::Repair::No).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing appears beside the store");
    outcome
}

fn refusal(content: &[u8]) -> String {
    let error = import(content, &Limits::default()).unwrap_err();
    let text = chain(&error);
    assert!(!text.contains(['\u{1b}', '\n']), "{text}");
    text
}

/// Scenario: links, devices, pipes, names that lead out, doubled, nameless and binary ones, in an otherwise sound image.
/// Guarantees: each is refused by name and reason before anything is stored.
#[test]
fn hostile_members_are_refused() {
    let (manifest, entry) = sound();
    let image = || Tar::new().blob(&manifest).blob(b"{}").layout(vec![entry.clone()]);
    assert_eq!(import(&image().bytes(), &Limits::default()).unwrap().names, ["h.x/g:1"]);
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::new(b'Z'),
    ] {
        let text = refusal(&image().raw(kind, b"blobs/sha256/x", 0, b"").bytes());
        assert!(text.contains("`blobs/sha256/x` that is not a regular file"), "{text}");
    }
    for outside in ["../etc/passwd", "/etc/passwd", "blobs/../../x", "..", ".", "./"] {
        let text = refusal(&image().file(outside, b"x").bytes());
        assert!(text.contains(&format!("`{outside}` that leads out of the archive")), "{text}");
    }
    assert!(refusal(&image().file("./index.json", b"{}").bytes()).contains("stands in it twice"));
    assert!(refusal(&image().raw(EntryType::Regular, b"\xff\xfe", 0, b"").bytes()).contains("not text"));
    assert!(refusal(&image().file("\u{1b}[2J/..", b"").bytes()).contains("\\u{1b}[2J"));
    assert!(
        refusal(&image().raw(EntryType::XHeader, b"x", 12, b"12 size=999\n").bytes()).contains("too large")
    );
    assert!(
        refusal(&image().raw(EntryType::XHeader, b"x", 5, b"hello").bytes()).contains("malformed header")
    );
    let link = b"19 linkpath=/etc/x\n";
    let link = image().raw(EntryType::XHeader, b"x", link.len() as u64, link);
    assert!(refusal(&link.bytes()).contains("not a regular file"));
}

/// Scenario: members that announce more than there is, more than is allowed, more members and more bytes than allowed.
/// Guarantees: each limit holds and says how to raise it where that makes sense.
#[test]
fn limits_hold() {
    let (manifest, entry) = sound();
    let image = || Tar::new().blob(&manifest).blob(b"{}").layout(vec![entry.clone()]);
    for size in [1 << 40, u64::MAX >> 1] {
        let text = refusal(&image().raw(EntryType::Regular, b"x", size, b"").bytes());
        assert!(text.contains("is cut short") || text.contains("malformed header"), "{text}");
    }
    let with = |change: fn(&mut Limits), content: &[u8]| {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = import(content, &limits).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("--max-")), "{error}");
        chain(&error)
    };
    let many = (0..30).fold(image(), |tar, n| tar.file(&format!("f{n}"), b""));
    assert!(with(|limits| limits.count = 20, &many.bytes()).contains("more than 20 members"));
    let large = image().file("large", &[0; 5000]).bytes();
    assert!(with(|limits| limits.blob = 4999, &large).contains("`large` that is too large"));
    let small = with(|limits| limits.total = 100, &image().bytes());
    assert!(small.contains("more than 100 bytes"), "{small}");
    let mut huge = manifest.clone();
    huge.resize(5 << 20, b' ');
    let huge = Tar::new().blob(&huge).blob(b"{}").layout(vec![tagged(MANIFEST, &huge)]);
    assert!(refusal(&huge.bytes()).contains("5242880 bytes, more than the 4194304 allowed"));
}

/// Scenario: blobs with wrong digest, wrong size, missing; documents that are not JSON; no names, bad names; no layout.
/// Guarantees: each is an error that names what is wrong.
#[test]
fn unusable_images_are_refused() {
    let (manifest, entry) = sound();
    let blobs = || Tar::new().blob(&manifest).blob(b"{}");
    assert!(
        refusal(&Tar::new().blob(&manifest).layout(vec![entry.clone()]).bytes()).contains("is not usable")
    );
    let path = format!("blobs/sha256/{}", Digest::of(&manifest).hex());
    let mut flipped = manifest.clone();
    flipped[5] ^= 1;
    let wrong = Tar::new().file(&path, &flipped).blob(b"{}").layout(vec![entry.clone()]);
    assert!(refusal(&wrong.bytes()).contains("is damaged"));
    let wrong = Descriptor { size: 7, ..entry.clone() };
    assert!(refusal(&blobs().layout(vec![wrong]).bytes()).contains("expected 7"));
    let circle = Descriptor { media_type: crate::manifest::INDEX.to_owned(), ..entry.clone() };
    assert!(
        import(&blobs().layout(vec![circle]).bytes(), &Limits::default()).is_ok(),
        "an index is not a manifest"
    );
    let text = b"not json";
    let garbage = Tar::new().blob(text).layout(vec![tagged(MANIFEST, text)]);
    assert!(refusal(&garbage.bytes()).contains("is malformed"));
    let nameless = Descriptor { annotations: Annotations::new(), ..entry.clone() };
    assert!(refusal(&blobs().layout(vec![nameless]).bytes()).contains("no image with a name"));
    let mut odd = entry.clone();
    odd.annotations.insert(REF_NAME.to_owned(), "UP CASE\u{1b}".to_owned());
    assert!(import(&blobs().layout(vec![odd]).bytes(), &Limits::default()).is_err());
    assert!(refusal(&blobs().bytes()).contains("has no `oci-layout`"));
    assert!(
        refusal(&blobs().file("oci-layout", b"{\"imageLayoutVersion\":\"9\"}").bytes())
            .contains("version `9`")
    );
    let deep = "[".repeat(50_000);
    let deep = Tar::new()
        .file("index.json", deep.as_bytes())
        .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    assert!(refusal(&deep.bytes()).contains("`index.json` of archive"));
}

/// Scenario: files that are not tar: empty, compressed, text, a folder, a pipe, a missing one.
/// Guarantees: the error says what it is, at once.
#[test]
fn other_files_are_named() {
    for (content, what) in [
        (&b""[..], "is empty"),
        (b"\x1f\x8b\x08\0", "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"BZh9", "compressed with bzip2"),
    ] {
        let error = import(content, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(what) && error.hint().is_some(), "{error}");
    }
    assert!(import(&[b'x'; 5000], &Limits::default()).is_err());
    assert!(refusal(&[0; 10240]).contains("has no `oci-layout`"));
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder, "store");
    assert!(store.import(folder.path()).unwrap_err().to_string().contains("is a folder"));
    assert_eq!(store.import(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(store.import(&pipe).unwrap_err().to_string().contains("not a regular file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: a sound archive with some bytes changed and its end cut off.
    /// Guarantees: it is imported or refused, never a panic; a refusal leaves the store as it was.
    #[test]
    fn damaged_archives_are_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let (manifest, entry) = sound();
        let mut content = Tar::new().blob(&manifest).blob(b"{}").layout(vec![entry]).bytes();
        for (at, value) in changes {
            let at = at.index(content.len());
            content[at] = value;
        }
        if is_cut {
            content.truncate(cut.index(content.len()));
        }
        drop(import(&content, &Limits::default()));
        drop(check(&content, &Limits::default()));
    }
}

/// Scenario: an archive names an image by the digest of another one, beside a tag or without; then by its own.
/// Guarantees: the first two are refused, by name and true digest, before a blob is stored; the last is an image.
#[test]
fn images_named_by_the_digest_of_another_are_refused() {
    let (manifest, entry) = sound();
    let other = Digest::of(b"what an administrator allowed");
    let named = |name: &str| {
        let annotations = Annotations::from([(REF_NAME.to_owned(), name.to_owned())]);
        let entry = Descriptor { annotations, ..entry.clone() };
        Tar::new().blob(&manifest).blob(b"{}").layout(vec![entry]).bytes()
    };
    for name in [format!("h.x/g@{other}"), format!("h.x/g:v1@{other}")] {
        let text = refusal(&named(&name));
        let expected = format!("`{name}` cannot be the name of an image with digest {}", entry.digest);
        assert_eq!(text, expected);
    }
    let own = format!("h.x/g@{}", entry.digest);
    assert_eq!(import(&named(&own), &Limits::default()).unwrap().names, [own]);
}
