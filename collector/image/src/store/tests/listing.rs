//! Content that is listed after it was stored: pulled images, signatures, documents made to do damage.

use super::*;
use crate::store::Limits;

pub(super) const SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// Stores a manifest about `subject`, as signatures are, and describes it.
pub(super) fn put_signature(store: &Store, subject: &Descriptor, content: &[u8]) -> Descriptor {
    let layer = store.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", content).unwrap();
    let manifest = Manifest {
        artifact_type: SIGNATURE.to_owned(),
        subject: Some(Box::new(subject.clone())),
        ..Manifest::gadget(Descriptor::empty(), vec![layer], Annotations::new())
    };
    store.put_blob("application/vnd.oci.empty.v1+json", b"{}").unwrap();
    store.put_blob(MANIFEST, &to_json(&manifest).unwrap()).unwrap()
}

pub(super) fn described(store: &Store, digest: Digest) -> Descriptor {
    let size = fs::metadata(blob::path(store.path(), digest)).unwrap().len();
    Descriptor {
        media_type: manifest::INDEX.to_owned(),
        digest: digest.to_string(),
        size,
        ..Descriptor::default()
    }
}

/// Scenario: an image is stored blob by blob, then listed under a name, with a signature of each kind.
/// Guarantees: it loads, each kind of signature is found, the index has what other programs expect.
#[test]
fn listed_images_load_with_their_signatures() {
    let (_folder, store) = store();
    let digest = put_image(&store, None, &[(EBPF, OBJECT)]);
    let image = described(&store, digest);
    store.list_manifest(&image, Some(&name("g").to_string())).unwrap();
    assert_eq!(store.load_gadget(&name("g"), Arch::Arm64).unwrap().digest, digest);

    let referrer = put_signature(&store, &image, b"one");
    store.list_manifest(&referrer, None).unwrap();
    let tag = format!("sha256-{}.sig", digest.hex());
    let tagged = put_signature(&store, &Descriptor::of(EBPF, b"other"), b"two");
    store.list_manifest(&tagged, Some(&tag)).unwrap();

    let found = store.referrers(digest).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].digest.as_str(), found[0].artifact_type.as_str()),
        (referrer.digest.as_str(), SIGNATURE)
    );
    assert_eq!(store.resolve_tag(&tag).unwrap().unwrap().digest, tagged.digest);
    assert_eq!(store.resolve_tag("sha256-0.sig").unwrap(), None);
    assert_eq!(store.list().unwrap().len(), 1, "signatures are not listed");
    let nameless = names_in_index(&store).into_iter().filter(Option::is_none).count();
    assert_eq!(nameless, 2, "the manifest that both architectures share, and the signature");
}

/// Scenario: an image is stored, listed and tagged under a name with another image's digest in it, then such an entry is
/// planted, as another program may; the image that the digest means comes afterwards.
/// Guarantees: the first three are refused; the planted name leads nowhere, is told and taken away by a check, and
/// never stands before the right image. A name with the image's own digest is taken.
#[test]
fn a_digest_in_a_name_is_that_of_what_it_leads_to() {
    let (_folder, store) = store();
    let evil = put_image(&store, Some("g:v1"), &[(EBPF, b"evil")]);
    let good = Digest::of(b"not here yet");
    let lie = name(&format!("h.x/g:v1@{good}"));
    let refused = |error: StoreError| assert!(matches!(error, StoreError::Misnamed { .. }), "{error}");
    refused(store.put_index(&Index::of(Vec::new(), Annotations::new()), Some(&lie)).unwrap_err());
    refused(store.list_manifest(&described(&store, evil), Some(&lie.to_string())).unwrap_err());
    match store.tag(&name("g:v1"), &lie).unwrap_err() {
        ResolveError::Store(error) => refused(error),
        other => panic!("{other}"),
    }
    assert!(matches!(store.resolve(&lie), Err(ResolveError::NotFound { .. })));
    store.tag(&name("g:v1"), &name(&format!("g@{evil}"))).unwrap();

    let plant = |lie: &Reference| {
        let annotations = Annotations::from([(REF_NAME.to_owned(), lie.to_string())]);
        let entry = Descriptor { annotations, ..described(&store, evil) };
        layout::update_index(store.path(), |index| index.manifests.push(entry)).unwrap();
    };
    plant(&lie);
    let error = store.load_gadget(&lie, Arch::Amd64).unwrap_err();
    assert!(chain(&error).contains(&format!("is another image, of digest {evil}")), "{error}");
    assert!(error.hint().unwrap().contains("ig image rm"), "{error}");
    let report = Store::check(store.path(), store.limits(), Repair::Yes).unwrap();
    assert_eq!(report.faults, [Fault::Misnamed { name: lie.to_string(), digest: evil.to_string() }]);
    assert!(matches!(store.resolve(&lie), Err(ResolveError::NotFound { .. })));

    let good = put_image(&store, None, &[(EBPF, b"good")]);
    let lie = name(&format!("h.x/g:v1@{good}"));
    plant(&lie);
    assert_eq!(store.resolve(&lie).unwrap().digest, good);
    store.remove(&lie).unwrap();
    assert_eq!(store.resolve(&name("g:v1")).unwrap().digest, evil);
}

/// Scenario: referrers of another digest, of another size, malformed ones, missing ones.
/// Guarantees: only what is truly about the image is answered, and nothing fails.
#[test]
fn referrers_are_what_they_say() {
    let (_folder, store) = store();
    let digest = put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let image = described(&store, digest);
    let wrong_size = put_signature(&store, &Descriptor { size: 1, ..image.clone() }, b"1");
    let other = put_signature(&store, &Descriptor::of(manifest::INDEX, b"other"), b"2");
    let malformed = store.put_blob(MANIFEST, b"{\"subject\":7}").unwrap();
    let missing = Descriptor::of(MANIFEST, b"never stored");
    layout::update_index(store.path(), |index| {
        index.manifests.extend([wrong_size, other, malformed, missing]);
    })
    .unwrap();
    assert!(store.referrers(digest).unwrap().is_empty());
    let good = put_signature(&store, &image, b"3");
    store.list_manifest(&good, None).unwrap();
    assert_eq!(store.referrers(digest).unwrap().len(), 1);
}

/// Scenario: a blob is missing, cut short, or announced with two sizes; malformed digests; a document of 100 MB.
/// Guarantees: listing is refused, says which blob, and changes nothing.
#[test]
fn incomplete_images_are_not_listed() {
    let (_folder, store) = store();
    let object = store.put_blob(EBPF, OBJECT).unwrap();
    let config = store.put_blob(METADATA, YAML).unwrap();
    let before = fs::read(store.path().join("index.json")).unwrap();
    let refused = |layers: Vec<Descriptor>| {
        let manifest = Manifest::gadget(config.clone(), layers, Annotations::new());
        let manifest = store.put_blob(MANIFEST, &to_json(&manifest).unwrap()).unwrap();
        let error = store.list_manifest(&manifest, Some("h.x/g:1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        chain(&error)
    };
    let missing = Descriptor::of(EBPF, b"missing");
    assert!(refused(vec![object.clone(), missing.clone()]).contains(&missing.digest));
    assert!(refused(vec![Descriptor { size: 11, ..object.clone() }]).contains("has 12 bytes, expected 11"));
    let both = vec![object.clone(), Descriptor { size: 13, ..object.clone() }];
    assert!(refused(both).contains("is described with 12 and with 13 bytes"));
    let escape = Descriptor { digest: "sha256:../../x\u{1b}[2J".to_owned(), ..object };
    let text = refused(vec![escape]);
    assert!(text.contains("is not a digest") && text.contains("\\u{1b}"), "{text}");
    let huge = Descriptor { size: 100 << 20, ..missing };
    let huge = Descriptor { media_type: MANIFEST.to_owned(), ..huge };
    let error = chain(&store.list_manifest(&huge, None).unwrap_err());
    assert!(error.contains("104857600 bytes, more than the 4194304 allowed"), "{error}");
    assert_eq!(fs::read(store.path().join("index.json")).unwrap(), before);
}

/// Scenario: an index that lists itself under a made-up digest, one that lists one manifest 50,000 times, and one with
/// more manifests than a walk visits.
/// Guarantees: all end; what is merely repeated is visited once.
#[test]
fn walks_end() {
    let (_folder, store) = store();
    let manifest = to_json(&Manifest::gadget(Descriptor::empty(), Vec::new(), Annotations::new())).unwrap();
    store.put_blob(EMPTY, b"{}").unwrap();
    let entry = store.put_blob(MANIFEST, &manifest).unwrap();
    let store_index = |entries: Vec<Descriptor>| {
        let content = to_json(&Index::of(entries, Annotations::new())).unwrap();
        store.put_blob(manifest::INDEX, &content).unwrap()
    };
    // The index's own file says it is the one that the index lists: only a wrong digest makes a circle.
    let fake =
        Descriptor { media_type: manifest::INDEX.to_owned(), ..Descriptor::of(manifest::INDEX, b"circle") };
    let circle = to_json(&Index::of(vec![fake.clone()], Annotations::new())).unwrap();
    let path = blob::path(store.path(), fake.digest.parse().unwrap());
    fs::write(&path, &circle).unwrap();
    let fake = Descriptor { size: circle.len() as u64, ..fake };
    assert!(chain(&store.list_manifest(&fake, None).unwrap_err()).contains("is damaged"));
    layout::try_update_index(store.path(), |index| list_entry(index, fake, Some("h.x/circle:1"))).unwrap();
    assert!(store.load_gadget(&name("h.x/circle:1"), Arch::Amd64).is_err());
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(store.referrers(entry.digest.parse().unwrap()).unwrap().is_empty());
    store.remove(&name("h.x/circle:1")).unwrap();

    let limits = Limits { count: 100, document: 64 << 20, ..Limits::default() };
    let store = store.clone().with_limits(limits);
    let same: Vec<_> = (0..50).map(|_| entry.clone()).collect();
    store.list_manifest(&store_index(same), None).unwrap();
    let others = (0..200).map(|n: u32| Descriptor::of(MANIFEST, &n.to_le_bytes())).collect();
    let error = store.list_manifest(&store_index(others), None).unwrap_err();
    assert!(chain(&error).contains("it leads to more than 100 blobs"), "{}", chain(&error));
}

/// Scenario: a store of somebody else, complete, without its lock, without its index, and not a store at all.
/// Guarantees: a complete one can be read and nothing in it changes; the others are refused.
#[test]
fn read_only_stores_are_never_written() {
    let (folder, store) = store();
    let digest = put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let image = described(&store, digest);
    let path = store.path().to_owned();
    drop(store);
    let listing = || {
        let mut names: Vec<_> = walk_files(&path);
        names.sort();
        (names, fs::read(path.join("index.json")).unwrap())
    };
    let before = listing();
    let theirs = Store::open_read_only(&path).unwrap();
    assert!(theirs.load_gadget(&name("g"), Arch::Amd64).is_ok() && theirs.has_blob(digest).unwrap());
    assert_eq!(theirs.list().unwrap().len(), 1);
    theirs.export(&[name("g")], &folder.path().join("g.tar")).unwrap();
    let refusals = [
        theirs.put_blob(EBPF, b"x").unwrap_err().to_string(),
        theirs.list_manifest(&image, None).unwrap_err().to_string(),
        theirs.tag(&name("g"), &name("h")).unwrap_err().to_string(),
        theirs.remove(&name("g")).unwrap_err().to_string(),
        theirs.collect(GRACE, Collect::Remove).unwrap_err().to_string(),
        theirs.blob_writer(Digest::of(b"x"), 1).unwrap_err().to_string(),
        theirs.pin("run", &[]).unwrap_err().to_string(),
        theirs.import(&folder.path().join("g.tar")).unwrap_err().to_string(),
    ];
    for refusal in refusals {
        assert!(refusal.ends_with("is open for reading only"), "{refusal}");
    }
    assert_eq!(listing(), before);
    for file in ["index.json.lock", "index.json", "oci-layout"] {
        fs::remove_file(path.join(file)).unwrap();
        assert!(Store::open_read_only(&path).is_err(), "{file}");
        assert!(!path.join(file).exists());
    }
}

fn walk_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk_files(&path));
        }
        found.push(path);
    }
    found
}
