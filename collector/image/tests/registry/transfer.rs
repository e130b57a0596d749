//! What a good registry and a good client make of each other.

use std::sync::Mutex;

use crate::*;

const SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// A document of the given artifact type about `subject`, as bytes.
fn signature(server: &Server, subject: &Image, artifact_type: &str, payload: &[u8]) -> Vec<u8> {
    server.put_blob(payload);
    server.put_blob(b"{}");
    let mut manifest = Manifest::gadget(
        Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"),
        vec![Descriptor::of("application/x-signature", payload)],
        Annotations::new(),
    );
    artifact_type.clone_into(&mut manifest.artifact_type);
    manifest.subject = Some(Box::new(Descriptor::of(INDEX, &subject.index)));
    let content = to_json(&manifest).unwrap();
    server.put_manifest(None, MANIFEST, &content);
    content
}

fn entry(content: &[u8], artifact_type: &str) -> Descriptor {
    Descriptor { artifact_type: artifact_type.to_owned(), ..Descriptor::of(MANIFEST, content) }
}

/// Scenario: an image is pulled, pulled again, and pulled under a second name.
/// Guarantees: it loads for both architectures; blobs that are there do not move again; the steps add up.
#[test]
fn what_is_there_is_not_fetched_again() {
    let layer = noise(1 << 20);
    let (server, image) = faulty(&layer, |_, _| Reply::Good);
    let (_folder, store) = store();
    let registry = registry(&server);
    let steps = Mutex::new(Vec::new());
    let record = |event: TransferEvent| steps.lock().unwrap().push(event);
    let first = block(registry.pull(&name(&server), &store, PullOptions::default(), &record)).unwrap();
    assert_eq!((first.digest, first.signatures, first.warnings.len()), (image.digest(), 0, 0));
    for arch in Arch::ALL {
        assert_eq!(store.load_gadget(&name(&server), arch).unwrap().ebpf.unwrap(), layer);
    }
    let last = steps.lock().unwrap().iter().rev().find_map(|event| match event {
        TransferEvent::Moved { done, .. } => Some(*done),
        _ => None,
    });
    assert!(last.is_some());
    let finished =
        steps.lock().unwrap().iter().filter(|e| matches!(e, TransferEvent::Finished { .. })).count();
    assert_eq!(finished, 2, "the layer and the metadata");

    let before = server.asked("GET", "/blobs/").len();
    let other = Reference::parse(&format!("{}@{}", name(&server).repository(), image.digest())).unwrap();
    block(registry.pull(&other, &store, PullOptions::default(), &())).unwrap();
    assert_eq!(server.asked("GET", "/blobs/").len(), before);
    assert_eq!(store.list().unwrap().len(), 2);
    assert_eq!(block(registry.resolve(&name(&server))).unwrap(), image.digest());
    assert_eq!(server.asked("HEAD", "/manifests/v1").len(), 1);
}

/// Scenario: a blob in the store has a flipped bit; the image is pulled again.
/// Guarantees: the blob is fetched anew and is intact afterwards.
#[test]
fn pulling_repairs_a_damaged_blob() {
    let layer = noise(1000);
    let (server, _image) = faulty(&layer, |_, _| Reply::Good);
    let (_folder, store, _) = pull(&server).unwrap();
    let digest = Digest::of(&layer);
    let path = store.path().join("blobs/sha256").join(digest.hex());
    let mut damaged = layer.clone();
    damaged[3] ^= 4;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &damaged).unwrap();
    block(registry(&server).pull(&name(&server), &store, PullOptions::default(), &())).unwrap();
    assert_eq!(store.read_blob(digest, 1000).unwrap(), layer);
}

/// Scenario: an earlier try left bytes that are not the beginning of the blob.
/// Guarantees: the blob is fetched from the beginning once more, and is whole.
#[test]
fn a_wrong_beginning_is_given_up() {
    let layer = noise(100_000);
    let (server, _image) = faulty(&layer, |_, _| Reply::Good);
    let (_folder, store) = store();
    let digest = Digest::of(&layer);
    let mut writer = store.blob_writer(digest, layer.len() as u64).unwrap();
    writer.write(&vec![7; 50_000]).unwrap();
    drop(writer);
    block(registry(&server).pull(&name(&server), &store, PullOptions::default(), &())).unwrap();
    assert_eq!(store.read_blob(digest, u64::MAX).unwrap(), layer);
    assert_eq!(server.asked("GET", &digest.to_string()).len(), 2);
}

/// Scenario: a mirror that is down, one that has other bytes for a layer, then the registry.
/// Guarantees: each is asked in its turn, and what one has wrong comes from the next.
#[test]
fn mirrors_fall_back() {
    let layer = noise(10_000);
    let (server, image) = faulty(&layer, |_, _| Reply::Good);
    let digest = Digest::of(&layer);
    let wrong = Server::plain(move |request, _| {
        if request.is("GET", &digest.to_string()) {
            return Reply::Whole(200, Vec::new(), vec![0; 10_000]);
        }
        Reply::Good
    });
    image.put(&wrong);
    let mut options = options(&server);
    options.insecure.push(wrong.host());
    options.insecure.push("127.0.0.1:1".to_owned());
    options.mirrors.add(&server.host(), "127.0.0.1:1").unwrap();
    options.mirrors.add(&server.host(), &format!("{}/cache", wrong.host())).unwrap();
    let (_folder, store) = store();
    let registry = Registry::new(options, Keychain::default());
    block(registry.pull(&name(&server), &store, PullOptions::default(), &())).unwrap();
    assert_eq!(store.read_blob(digest, u64::MAX).unwrap(), layer);
    assert_eq!(wrong.asked("GET", "/v2/cache/a/gadget/manifests/v1").len(), 1);
    assert_eq!(server.asked("GET", "/manifests/v1").len(), 0);
    assert_eq!(server.asked("GET", &digest.to_string()).len(), 1);
}

/// Scenario: an image with a signature of every kind; the registry lists referrers in two pages, or only a tag does.
/// Guarantees: all signatures are copied, other referrers are not; the store knows them as referrers.
#[test]
fn all_signatures_are_copied() {
    for pages in [true, false] {
        let listed: Arc<Mutex<Vec<Descriptor>>> = Arc::default();
        let shown = Arc::clone(&listed);
        let server = Server::plain(move |request, _| {
            if !request.path.contains("/referrers/") || !pages {
                return Reply::Good;
            }
            let all = shown.lock().unwrap().clone();
            let (first, second) = all.split_at(2);
            let mut headers = vec![("Content-Type", INDEX.to_owned())];
            let page = if request.path.contains("last=") {
                second
            } else {
                headers.push(("Link", format!("<{}?last=2>; rel=\"next\"", request.path)));
                first
            };
            Reply::Whole(200, headers, to_json(&Index::of(page.to_vec(), Annotations::new())).unwrap())
        });
        let image = Image::with_layer(b"layer");
        image.put(&server);
        let hex = image.digest().hex();
        let legacy = signature(&server, &image, "", b"legacy");
        server.put_manifest(Some(&format!("sha256-{hex}.sig")), MANIFEST, &legacy);
        let mut entries = Vec::new();
        for (kind, payload) in
            [(SIGNATURE, "one"), ("text/sbom", "sbom"), (BUNDLE, "two"), (NOTATION, "three")]
        {
            entries.push(entry(&signature(&server, &image, kind, payload.as_bytes()), kind));
        }
        listed.lock().unwrap().clone_from(&entries);
        let index = to_json(&Index::of(entries, Annotations::new())).unwrap();
        server.put_manifest(Some(&format!("sha256-{hex}")), INDEX, &index);

        let (_folder, store, pulled) = pull(&server).unwrap();
        assert_eq!((pulled.signatures, pulled.warnings), (4, Vec::<String>::new()), "pages: {pages}");
        let mut kinds: Vec<_> =
            store.referrers(image.digest()).unwrap().into_iter().map(|found| found.artifact_type).collect();
        kinds.sort();
        kinds.retain(|kind| kind.starts_with("application/vnd.dev") || kind == NOTATION);
        assert_eq!(kinds, [NOTATION, SIGNATURE, BUNDLE]);
        assert!(store.resolve_tag(&format!("sha256-{hex}.sig")).unwrap().is_some());
        assert!(store.read_blob(Digest::of(b"sbom"), 100).is_err());
    }
}

/// Scenario: a signature's layer is missing on the registry; the list of referrers is garbage.
/// Guarantees: the image is there, and what failed is told as a warning.
#[test]
fn failing_signatures_only_warn() {
    let server = Server::plain(|request, _| {
        if request.path.contains("/referrers/") {
            return Reply::Whole(200, vec![("Content-Type", INDEX.to_owned())], b"[]".to_vec());
        }
        if request.is("GET", &Digest::of(b"legacy").to_string()) { Reply::status(404) } else { Reply::Good }
    });
    let image = Image::with_layer(b"layer");
    image.put(&server);
    let legacy = signature(&server, &image, "", b"legacy");
    server.put_manifest(Some(&format!("sha256-{}.sig", image.digest().hex())), MANIFEST, &legacy);
    let (_folder, store, pulled) = pull(&server).unwrap();
    assert_eq!((pulled.signatures, pulled.warnings.len()), (0, 2), "{:?}", pulled.warnings);
    assert!(store.load_gadget(&name(&server), Arch::Amd64).is_ok());
}

/// Scenario: an image with signatures is pulled from one registry and pushed to another that keeps no list.
/// Guarantees: image, signatures and the list under a tag are there byte by byte; a second push sends no blob.
#[test]
fn pushed_images_are_the_same() {
    let layer = noise(300_000);
    let (source, image) = faulty(&layer, |_, _| Reply::Good);
    let bundle = signature(&source, &image, BUNDLE, b"bundle");
    let index = to_json(&Index::of(vec![entry(&bundle, BUNDLE)], Annotations::new())).unwrap();
    let fallback = format!("sha256-{}", image.digest().hex());
    source.put_manifest(Some(&fallback), INDEX, &index);
    let (_folder, store, pulled) = pull(&source).unwrap();
    assert_eq!(pulled.signatures, 1);

    let target = Server::plain(|_, _| Reply::Good);
    store.tag(&name(&source), &name(&target)).unwrap();
    let push = || block(registry(&target).push(&name(&target), &store, PushOptions::default(), &())).unwrap();
    let pushed = push();
    assert_eq!((pushed.digest, pushed.signatures), (image.digest(), 1));
    assert_eq!(target.manifest("v1").unwrap(), image.index);
    assert_eq!(target.manifest(&Digest::of(&image.manifest).to_string()).unwrap(), image.manifest);
    assert_eq!(target.blob(Digest::of(&layer)).unwrap(), layer);
    assert_eq!(target.manifest(&Digest::of(&bundle).to_string()).unwrap(), bundle);
    let list: Index = serde_json::from_slice(&target.manifest(&fallback).unwrap()).unwrap();
    assert_eq!(list.manifests[0].artifact_type, BUNDLE);
    let uploads = target.asked("PUT", "/blobs/uploads/").len();
    push();
    assert_eq!(target.asked("PUT", "/blobs/uploads/").len(), uploads);
    let (_other, again, pulled) = pull(&target).unwrap();
    assert_eq!((pulled.digest, pulled.signatures), (image.digest(), 1));
    assert!(again.load_gadget(&name(&target), Arch::Arm64).is_ok());
}

/// Scenario: a registry that wants the upload elsewhere, that fails in between, that stores something else, or that
/// refuses; an image that is not stored.
/// Guarantees: no byte goes elsewhere; what passes is tried again; the rest is told.
#[test]
fn pushes_are_as_careful() {
    type Fault = fn(&Request, usize) -> Reply;
    let cases: [(Fault, Option<&str>); 5] = [
        (
            |request, _| {
                if request.method == "POST" {
                    return Reply::header(202, "Location", "https://elsewhere.example/upload?token=secret");
                }
                Reply::Good
            },
            Some("wants the upload at `https://elsewhere.example/upload`, which is refused"),
        ),
        (
            |request, before| {
                if matches!(request.method.as_str(), "PUT" | "POST" | "HEAD") && before == 0 {
                    return Reply::status(503);
                }
                Reply::Good
            },
            None,
        ),
        (
            |request, _| {
                if request.is("PUT", "/manifests/") {
                    return Reply::header(201, "Docker-Content-Digest", "sha256:other");
                }
                Reply::Good
            },
            Some("under digest sha256:other"),
        ),
        (
            |request, _| {
                if request.method == "POST" { Reply::status(403) } else { Reply::Good }
            },
            Some("refuses access to `a/gadget`"),
        ),
        (
            |request, _| {
                if request.is("PUT", "/blobs/") { Reply::Raw(vec![Step::Stall]) } else { Reply::Good }
            },
            Some("neither sent nor took a byte"),
        ),
    ];
    for (fault, expected) in cases {
        let (source, _image) = faulty(&noise(1000), |_, _| Reply::Good);
        let (_folder, store, _) = pull(&source).unwrap();
        let target = Server::plain(fault);
        store.tag(&name(&source), &name(&target)).unwrap();
        let stalls = expected.is_some_and(|text| text.contains("neither sent nor took"));
        let registry = if stalls { hasty(&target) } else { registry(&target) };
        let result = block(registry.push(&name(&target), &store, PushOptions::default(), &()));
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let text = ig_model::chain(&error);
                assert!(text.contains(expected) && !text.contains("secret"), "{text}");
                assert!(target.manifest("v1").is_none());
            }
            (result, expected) => panic!("{expected:?}: {result:?}"),
        }
    }
    let server = Server::plain(|_, _| Reply::Good);
    let (_folder, store) = store();
    let error =
        block(registry(&server).push(&name(&server), &store, PushOptions::default(), &())).unwrap_err();
    assert!(ig_model::chain(&error).contains("failed to perform \"Resolve\" on source"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Scenario: the futures are handed to a runtime of several threads.
/// Guarantees: they can be; this is a matter of types.
#[test]
fn transfers_can_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    let server = Server::plain(|_, _| Reply::Good);
    let (registry, name, (_folder, store)) = (registry(&server), name(&server), store());
    movable(&registry.pull(&name, &store, PullOptions::default(), &()));
    movable(&registry.push(&name, &store, PushOptions::default(), &()));
    movable(&registry.resolve(&name));
}
