//! Stores that were hurt, and what is left of them.

use super::listing::{described, put_signature};
use super::*;
use crate::store::{Fault, Repair, Report};

fn check(store: &Store, repair: Repair) -> Report {
    Store::check(store.path(), store.limits(), repair).unwrap()
}

fn texts(report: &Report) -> Vec<String> {
    report.faults.iter().map(ToString::to_string).collect()
}

/// The store is sound, and nothing was lost on the way.
fn assert_sound(store: &Store) {
    let report = check(store, Repair::No);
    assert!(report.faults.is_empty(), "{:?}", texts(&report));
}

/// Two images that share a layer, one of them with both kinds of signatures.
fn filled() -> (TempDir, Store, Digest) {
    let (folder, store) = store();
    let digest = put_image(&store, Some("a"), &[(EBPF, b"object a"), (WASM, b"shared")]);
    put_image(&store, Some("b"), &[(EBPF, b"object b"), (WASM, b"shared")]);
    let image = described(&store, digest);
    let signature = put_signature(&store, &image, b"signed");
    store.list_manifest(&signature, None).unwrap();
    let payload = format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"{digest}"}}}}}}"#);
    let layer =
        store.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes()).unwrap();
    let manifest = Manifest::gadget(Descriptor::empty(), vec![layer], Annotations::new());
    let tagged = store.put_blob(MANIFEST, &to_json(&manifest).unwrap()).unwrap();
    store.list_manifest(&tagged, Some(&signature_tag(digest))).unwrap();
    (folder, store, digest)
}

fn signature_tag(digest: Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// Scenario: a store that nothing happened to, and a folder that is not a store.
/// Guarantees: the first has no fault and a repair changes nothing; the second is refused and stays as it is.
#[test]
fn sound_stores_stay_as_they_are() {
    let (folder, store, _) = filled();
    let before = fs::read(store.path().join("index.json")).unwrap();
    let report = check(&store, Repair::Yes);
    assert_eq!((report.images, report.blobs, report.garbage), (3, 13, 0), "{:?}", texts(&report));
    assert!(report.faults.is_empty() && !report.has_losses());
    assert_eq!(fs::read(store.path().join("index.json")).unwrap(), before);
    assert!(Store::check(folder.path(), store.limits(), Repair::Yes).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Scenario: index.json is cut at each of its bytes, as a torn write leaves it.
/// Guarantees: the repair keeps every entry that stands whole and every blob, finds the signature's name again, says
/// which images lost theirs, and leaves a sound store.
#[test]
fn torn_indexes_are_rebuilt() {
    let (_folder, store, signed) = filled();
    let path = store.path().join("index.json");
    let whole = fs::read(&path).unwrap();
    let blobs = check(&store, Repair::No).blobs;
    for cut in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let report = check(&store, Repair::Yes);
        assert!(matches!(report.faults[0], Fault::Index { .. }), "{:?}", texts(&report));
        let lost = report.faults.iter().filter(|fault| matches!(fault, Fault::Nameless { .. })).count();
        let names = store.list().unwrap();
        assert_eq!(names.len() + lost, 2, "cut at {cut}: {:?}", texts(&report));
        assert_eq!(report.has_losses(), lost > 0);
        for image in &names {
            assert!(store.load_gadget(&name(&image.repository), Arch::Amd64).is_ok());
        }
        assert!(store.resolve_tag(&signature_tag(signed)).unwrap().is_some(), "cut at {cut}");
        assert_eq!(store.referrers(signed).unwrap().len(), 1);
        let after = check(&store, Repair::No);
        assert!(after.faults.is_empty(), "{:?}", texts(&after));
        assert_eq!(after.blobs, blobs, "no blob is lost");
    }
}

/// Scenario: index.json is missing, garbage, a link, or larger than any index.
/// Guarantees: the images are there without names, can be named again as the report says, and the link's target stays.
#[test]
fn lost_indexes_are_rebuilt() {
    let (folder, store, signed) = filled();
    let path = store.path().join("index.json");
    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    for damage in ["missing", "garbage", "link", "huge"] {
        fs::remove_file(&path).unwrap();
        match damage {
            "garbage" => fs::write(&path, "\0\0\0\0").unwrap(),
            "link" => std::os::unix::fs::symlink(&victim, &path).unwrap(),
            "huge" => File::create(&path).unwrap().set_len(1 << 40).unwrap(),
            _ => {}
        }
        let report = check(&store, Repair::Yes);
        assert!(report.has_losses(), "{damage}");
        let nameless: Vec<_> = report
            .faults
            .iter()
            .filter(|fault| matches!(fault, Fault::Nameless { digest, .. } if *digest == signed.to_string()))
            .collect();
        assert_eq!(nameless.len(), 1, "{damage}: {:?}", texts(&report));
        assert!(nameless[0].remedy().contains(&format!("ig image tag image@{signed} NAME")));
        store.tag(&name(&format!("image@{signed}")), &name("again")).unwrap();
        assert!(store.load_gadget(&name("again"), Arch::Arm64).is_ok());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_sound(&store);
    }
}

/// Scenario: each blob in turn has a flipped bit, is cut short, missing, a folder's link, or a pipe.
/// Guarantees: the check says which image is hurt, the repair leaves a sound store in which the other image loads, and
/// storing the image again restores it.
#[test]
fn damaged_blobs_cost_only_their_images() {
    for turn in 0..13 {
        let (_folder, store, _) = filled();
        let folder = fs::read_dir(store.path().join("blobs/sha256")).unwrap();
        let mut blobs: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        blobs.sort();
        let path = &blobs[turn];
        let content = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        match turn % 4 {
            0 => {
                let mut flipped = content.clone();
                flipped[content.len() / 2] ^= 1;
                fs::write(path, flipped).unwrap();
            }
            1 => fs::write(path, &content[..content.len() / 2]).unwrap(),
            2 => hostile::make_pipe(path),
            _ => {}
        }
        let found = check(&store, Repair::No);
        assert!(!found.faults.is_empty() && !found.is_repaired);
        let report = check(&store, Repair::Yes);
        assert_eq!(texts(&report), texts(&found), "a repair finds what a check finds");
        assert_sound(&store);
        for image in store.list().unwrap() {
            assert!(store.load_gadget(&name(&image.repository), Arch::Amd64).is_ok());
        }
        put_image(&store, Some("a"), &[(EBPF, b"object a"), (WASM, b"shared")]);
        put_image(&store, Some("b"), &[(EBPF, b"object b"), (WASM, b"shared")]);
        assert_sound(&store);
    }
}

/// Scenario: the part of an image for the other architecture is damaged.
/// Guarantees: the image stays, because this machine can run it, and the report says that it is incomplete.
#[test]
fn images_that_run_here_stay() {
    let (_folder, store) = store();
    let entry = |arch, object: &[u8]| {
        let layer = store.put_blob(EBPF, object).unwrap();
        let config = store.put_blob(METADATA, YAML).unwrap();
        let manifest = to_json(&Manifest::gadget(config, vec![layer], Annotations::new())).unwrap();
        Descriptor { platform: Some(Platform::linux(arch)), ..store.put_blob(MANIFEST, &manifest).unwrap() }
    };
    let (here, there) = match Arch::host() {
        Arch::Amd64 => (Arch::Amd64, Arch::Arm64),
        Arch::Arm64 => (Arch::Arm64, Arch::Amd64),
    };
    let entries = vec![entry(here, b"here"), entry(there, b"there")];
    store.put_index(&Index::of(entries, Annotations::new()), Some(&name("g"))).unwrap();
    fs::remove_file(blob::path(store.path(), Digest::of(b"there"))).unwrap();
    let report = check(&store, Repair::Yes);
    assert!(report.has_losses() && texts(&report).iter().any(|text| text.contains("image `ghcr.io/")));
    assert!(store.load_gadget(&name("g"), here).is_ok() && store.load_gadget(&name("g"), there).is_err());
}

/// Scenario: leftovers of killed writers, a name that stands twice, an entry with a malformed digest.
/// Guarantees: they are told and taken away; a hostile name cannot act on a terminal.
#[test]
fn odd_entries_and_leftovers_are_cleared() {
    let (_folder, store, digest) = filled();
    fs::write(store.path().join(".index.json.abc"), "{").unwrap();
    let twice = Descriptor {
        annotations: Annotations::from([(REF_NAME.to_owned(), name("a").to_string())]),
        ..described(&store, digest)
    };
    let hostile = Descriptor {
        digest: "sha256:\u{1b}[2J".to_owned(),
        annotations: Annotations::from([(REF_NAME.to_owned(), "\u{1b}]0;x\u{7}".to_owned())]),
        ..twice.clone()
    };
    layout::update_index(store.path(), |index| index.manifests.extend([twice, hostile])).unwrap();
    let report = check(&store, Repair::Yes);
    let text = texts(&report).join("\n");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
    assert!(text.contains("stands in the index twice") && text.contains(".index.json.abc"), "{text}");
    assert_eq!(store.resolve(&name("a")).unwrap().digest, digest);
    assert_sound(&store);
}

/// Scenario: `oci-layout` is missing, torn, or of another version.
/// Guarantees: the first two are written anew, the last is left alone.
#[test]
fn layout_files_are_written_anew() {
    let (_folder, store, _) = filled();
    let path = store.path().join("oci-layout");
    for damage in [None, Some(""), Some("{\"imageLayou")] {
        fs::remove_file(&path).unwrap();
        if let Some(text) = damage {
            fs::write(&path, text).unwrap();
        }
        assert!(!check(&store, Repair::Yes).has_losses());
        Store::open(store.path()).unwrap();
        assert_sound(&store);
    }
    fs::write(&path, r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(Store::check(store.path(), store.limits(), Repair::Yes).is_err());
    assert!(fs::read_to_string(&path).unwrap().contains("2.0.0"));
}
