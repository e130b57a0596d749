use std::fs;
use std::path::Path;
use std::process::Command;

use ig_model::chain;
use tempfile::TempDir;

use super::*;
use crate::manifest::{
    Annotations, Descriptor, EBPF, Index, MANIFEST, METADATA, Manifest, Platform, to_json,
};
use crate::store::{Limits, Store};
use crate::{Arch, Digest, ErrorKind, Reference};

mod hostile;

const OBJECT: &[u8] = b"\x7fELF pretend";

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn store_in(folder: &TempDir, at: &str) -> Store {
    Store::open(folder.path().join(at)).unwrap()
}

/// Stores an image under a name, signed in the given ways.
fn put_image(store: &Store, tag: &str, object: &[u8]) -> Descriptor {
    let config = store.put_blob(METADATA, b"name: x\n").unwrap();
    let layer = store.put_blob(EBPF, object).unwrap();
    let manifest = to_json(&Manifest::gadget(config, vec![layer], Annotations::new())).unwrap();
    let entry = store.put_blob(MANIFEST, &manifest).unwrap();
    let entries =
        Arch::ALL.map(|arch| Descriptor { platform: Some(Platform::linux(arch)), ..entry.clone() }).to_vec();
    let index = Index::of(entries, Annotations::new());
    store.put_index(&index, Some(&name(tag))).unwrap();
    Descriptor::of(crate::manifest::INDEX, &to_json(&index).unwrap())
}

fn put_signature(
    store: &Store,
    subject: Option<&Descriptor>,
    tag: Option<&str>,
    content: &[u8],
) -> Descriptor {
    let layer = store.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", content).unwrap();
    let config = store.put_blob("application/vnd.oci.empty.v1+json", b"{}").unwrap();
    let manifest = Manifest {
        artifact_type: "application/vnd.dev.cosign.artifact.sig.v1+json".to_owned(),
        subject: subject.cloned().map(Box::new),
        ..Manifest::gadget(config, vec![layer], Annotations::new())
    };
    let signature = store.put_blob(MANIFEST, &to_json(&manifest).unwrap()).unwrap();
    store.list_manifest(&signature, tag).unwrap();
    signature
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().expect("skopeo runs; tests/tools.sh installs it");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Scenario: two images, one signed by tag and by subject, go into a file and out of it into another store.
/// Guarantees: names, contents and signatures arrive; what was not asked for does not; the same images give the same
/// bytes, also from the other store and in another order.
#[test]
fn images_travel_with_their_signatures() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (store_in(&folder, "from"), store_in(&folder, "to"));
    let signed = put_image(&from, "a", b"object a");
    put_image(&from, "localhost:5000/b:v2", b"object b");
    put_image(&from, "stays", b"object c");
    let tag = format!("{}.sig", signed.digest.replace(':', "-"));
    let first = put_signature(&from, Some(&signed), None, b"by subject");
    put_signature(&from, Some(&first), None, b"of the signature");
    put_signature(&from, None, Some(&tag), b"by tag");
    let (file, again) = (folder.path().join("a.tar"), folder.path().join("again.tar"));
    from.export(&[name("a"), name("localhost:5000/b:v2")], &file).unwrap();

    let imported = to.import(&file).unwrap();
    assert_eq!(imported.names, ["ghcr.io/inspektor-gadget/gadget/a:latest", "localhost:5000/b:v2"]);
    let gadget = to.load_gadget(&name("a"), Arch::Arm64).unwrap();
    assert_eq!(
        (gadget.digest.to_string(), gadget.ebpf.as_deref()),
        (signed.digest.clone(), Some(&b"object a"[..]))
    );
    assert_eq!(to.list().unwrap().len(), 2);
    assert!(to.resolve_tag(&tag).unwrap().is_some());
    assert_eq!(to.referrers(signed.digest.parse().unwrap()).unwrap().len(), 1);
    assert_eq!(to.referrers(first.digest.parse().unwrap()).unwrap().len(), 1);
    assert!(!to.has_blob(Digest::of(b"object c")).unwrap());
    let report = Store::check(to.path(), to.limits(), crate::store::Repair::No).unwrap();
    assert_eq!((report.faults, report.garbage), (Vec::new(), 0));

    to.export(&[name("localhost:5000/b:v2"), name("a")], &again).unwrap();
    assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());
    let listing = run("tar", &["--numeric-owner", "-tvf", again.to_str().unwrap()]);
    assert!(listing.lines().all(|line| line.contains(" 0/0 ") && line.contains("1970-01-01")), "{listing}");
    assert!(listing.lines().all(|line| line.starts_with("-r")), "{listing}");
    let names: Vec<_> = listing.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert!(names.is_sorted() && names.ends_with(&["index.json", "oci-layout"]), "{names:?}");
}

/// Scenario: an export onto a file, a link to one, a folder, and one that fails half way.
/// Guarantees: the file is replaced whole or not at all; a link stays a link; no temporary file is left.
#[test]
fn exports_are_whole_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder, "store");
    put_image(&store, "g", OBJECT);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let (file, link) = (out.join("g.tar"), out.join("link"));
    fs::write(&file, "before").unwrap();
    std::os::unix::fs::symlink("g.tar", &link).unwrap();
    assert!(store.export(&[name("g")], &out).unwrap_err().to_string().contains("failed to write"));
    assert_eq!(store.export(&[name("missing")], &file).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");

    let blob = store.path().join("blobs/sha256").join(Digest::of(OBJECT).hex());
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"\x7fELF pretenD").unwrap();
    let error = store.export(&[name("g")], &link).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    put_image(&store, "g", OBJECT);
    store.export(&[name("g")], &link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(store_in(&folder, "other").import(&file).is_ok());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    store.export(&[name("g")], Path::new("/dev/null")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// Scenario: skopeo reads our store and our archive; we read what skopeo and GNU tar make of them.
/// Guarantees: digests survive both ways; a bare tag becomes an image's full name; long-winded tar formats are read.
#[test]
fn skopeo_reads_and_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder, "store");
    let image = put_image(&store, "localhost:5000/g:v1", OBJECT);
    let at = |path: &str| folder.path().join(path).to_str().unwrap().to_owned();
    let skopeo = |arguments: &[&str]| {
        let policy = ["--insecure-policy", "--override-arch", "amd64", "--override-os", "linux"];
        run("skopeo", &[&policy, arguments].concat())
    };
    let ours = format!("oci:{}:localhost:5000/g:v1", at("store"));
    assert_eq!(Digest::of(skopeo(&["inspect", "--raw", &ours]).as_bytes()).to_string(), image.digest);

    store.export(&[name("localhost:5000/g:v1")], Path::new(&at("ours.tar"))).unwrap();
    let archive = format!("oci-archive:{}:localhost:5000/g:v1", at("ours.tar"));
    assert_eq!(Digest::of(skopeo(&["inspect", "--raw", &archive]).as_bytes()).to_string(), image.digest);

    let theirs = format!("oci-archive:{}:mine", at("theirs.tar"));
    skopeo(&["copy", "--all", &ours, &theirs]);
    let other = store_in(&folder, "other");
    let imported = other.import(Path::new(&at("theirs.tar"))).unwrap();
    assert_eq!(imported.names, ["ghcr.io/inspektor-gadget/gadget/mine:latest"]);
    assert_eq!(other.load_gadget(&name("mine"), Arch::Amd64).unwrap().digest.to_string(), image.digest);

    for format in ["pax", "gnu", "ustar", "v7"] {
        let (tar, fresh) = (at(&format!("{format}.tar")), store_in(&folder, format));
        let format = format!("--format={format}");
        run("tar", &["-C", &at("store"), &format, "--exclude=./ingest", "-cf", &tar, "."]);
        fresh.import(Path::new(&tar)).unwrap();
        assert!(fresh.load_gadget(&name("localhost:5000/g:v1"), Arch::Arm64).is_ok(), "{format}");
    }
}

/// Scenario: an image is imported over one of the same name, twice, and into a store that has half of its blobs.
/// Guarantees: the name leads to the imported image; the second import changes nothing.
#[test]
fn imports_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (store_in(&folder, "from"), store_in(&folder, "to"));
    let image = put_image(&from, "g", OBJECT);
    let file = folder.path().join("g.tar");
    from.export(&[name("g")], &file).unwrap();
    put_image(&to, "g", b"another");
    to.put_blob(EBPF, OBJECT).unwrap();
    to.import(&file).unwrap();
    assert_eq!(to.resolve(&name("g")).unwrap().digest.to_string(), image.digest);
    let index = fs::read(to.path().join("index.json")).unwrap();
    to.import(&file).unwrap();
    assert_eq!(fs::read(to.path().join("index.json")).unwrap(), index);
}
