//! Servers that are slow, wrong, hostile or broken.

use crate::*;

const MIB: usize = 1 << 20;

fn chain(error: &RegistryError) -> String {
    ig_model::chain(error)
}

/// Scenario: the connection breaks in the middle of a layer, twice; the server can go on in the middle.
/// Guarantees: each try asks for what is missing only, and the blob is whole.
#[test]
fn broken_transfers_go_on_where_they_were() {
    let layer = noise(3 * MIB);
    let content = layer.clone();
    let digest = Digest::of(&layer);
    let (server, image) = faulty(&layer, move |request, _| {
        if !request.is("GET", &digest.to_string()) {
            return Reply::Good;
        }
        let start = request.header("range").map_or(0, |range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        if start >= 2 * MIB {
            return Reply::Good;
        }
        let head = if start == 0 {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())
        } else {
            let (last, all) = (content.len() - 1, content.len());
            format!(
                "HTTP/1.1 206 X\r\nContent-Range: bytes {start}-{last}/{all}\r\nContent-Length: {}\r\n\r\n",
                all - start
            )
        };
        Reply::Raw(vec![Step::Send(head.into_bytes()), Step::Send(content[start..start + MIB].to_vec())])
    });
    let (_folder, store, pulled) = pull(&server).unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(store.read_blob(digest, u64::MAX).unwrap(), layer);
    let ranges: Vec<_> = server
        .asked("GET", &digest.to_string())
        .iter()
        .map(|request| request.header("range").unwrap_or("none").to_owned())
        .collect();
    assert_eq!(ranges, ["none", &format!("bytes={MIB}-"), &format!("bytes={}-", 2 * MIB)]);
}

/// Scenario: the connection breaks once; the server sends from the beginning again, refuses the range, or answers
/// with another range.
/// Guarantees: the first two end with the whole blob, the third is told by name and leaves no blob.
#[test]
fn servers_without_ranges_start_again() {
    for answer in ["whole", "refused", "other"] {
        let layer = noise(MIB);
        let content = layer.clone();
        let digest = Digest::of(&layer);
        let (server, _image) = faulty(&layer, move |request, before| {
            if !request.is("GET", &digest.to_string()) {
                return Reply::Good;
            }
            match (before, request.header("range")) {
                (0, _) => Reply::announced(content.len(), Step::Send(content[..MIB / 2].to_vec())),
                (_, Some(_)) if answer == "refused" => Reply::status(416),
                (_, Some(_)) if answer == "other" => {
                    Reply::Whole(206, vec![("Content-Range", "bytes 7-9/10".to_owned())], vec![0; 3])
                }
                _ => Reply::Whole(200, Vec::new(), content.clone()),
            }
        });
        match pull(&server) {
            Ok((_folder, store, _)) if answer != "other" => {
                assert_eq!(store.read_blob(digest, u64::MAX).unwrap(), layer, "{answer}");
            }
            Err(error) if answer == "other" => assert!(chain(&error).contains("another range"), "{error}"),
            other => panic!("{answer}: {:?}", other.map(|pulled| pulled.2)),
        }
    }
}

/// Scenario: a layer whose bytes are others, which is shorter, longer or endless, or announced with 10 GB.
/// Guarantees: each ends with an error that says so, without a try that cannot help, and no blob is stored.
#[test]
fn wrong_layers_are_refused() {
    type Make = fn(Vec<u8>) -> Reply;
    let cases: [(&str, Make, &str, usize); 6] = [
        (
            "other bytes",
            |mut content| {
                content[100] ^= 1;
                Reply::Whole(200, Vec::new(), content)
            },
            "has other content, of digest",
            1,
        ),
        (
            "shorter",
            |content| Reply::Whole(200, Vec::new(), content[1..].to_vec()),
            "announced 9999 bytes, expected 10000",
            1,
        ),
        (
            "longer",
            |mut content| {
                content.push(0);
                Reply::Whole(200, Vec::new(), content)
            },
            "announced 10001 bytes, expected 10000",
            1,
        ),
        (
            "10 GB",
            |content| Reply::announced(10_000_000_000, Step::Send(content)),
            "announced 10000000000 bytes",
            1,
        ),
        (
            "endless",
            |content| {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                let chunk =
                    [format!("{:x}\r\n", content.len()).into_bytes(), content, b"\r\n".to_vec()].concat();
                Reply::Raw(vec![Step::Send(head), Step::Endless(chunk)])
            },
            "goes on after the 10000 bytes announced",
            1,
        ),
        ("cut", |content| Reply::announced(10_000, Step::Send(content[..5].to_vec())), "", 3),
    ];
    for (case, reply, expected, tries) in cases {
        let layer = noise(10_000);
        let (content, digest) = (layer.clone(), Digest::of(&layer));
        let (server, _image) = faulty(&layer, move |request, _| {
            if request.is("GET", &digest.to_string()) { reply(content.clone()) } else { Reply::Good }
        });
        let (_folder, store) = store();
        let result = block(registry(&server).pull(&name(&server), &store, PullOptions::default(), &()));
        let error = result.unwrap_err();
        assert!(chain(&error).contains(expected), "{case}: {}", chain(&error));
        assert_eq!(server.asked("GET", &digest.to_string()).len(), tries, "{case}");
        assert_no_blob(store.path(), digest);
        assert!(store.resolve(&name(&server)).is_err(), "{case}");
    }
}

/// Scenario: the server says nothing after the request, or nothing more in the middle of a layer.
/// Guarantees: the pull ends with an error that tells for how long there was nothing.
#[test]
fn stalls_end() {
    let layer = noise(MIB);
    let digest = Digest::of(&layer).to_string();
    for part in ["/manifests/v1".to_owned(), digest] {
        let matched = part.clone();
        let (server, _image) = faulty(&layer, move |request, _| match () {
            () if !request.is("GET", &matched) => Reply::Good,
            () if request.path.contains("/blobs/") => Reply::announced(MIB, Step::Stall),
            () => Reply::Raw(vec![Step::Stall]),
        });
        let (_folder, store) = store();
        let error =
            block(hasty(&server).pull(&name(&server), &store, PullOptions::default(), &())).unwrap_err();
        assert!(chain(&error).contains("neither sent nor took a byte"), "{part}: {}", chain(&error));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

/// Scenario: a layer that trickles in, within a time for the whole image that is shorter.
/// Guarantees: the pull ends when the time for the whole is up.
#[test]
fn the_whole_has_a_deadline() {
    let layer = noise(MIB);
    let digest = Digest::of(&layer).to_string();
    let (server, _image) = faulty(&layer, move |request, _| {
        if request.is("GET", &digest) { Reply::announced(MIB, Step::Stall) } else { Reply::Good }
    });
    let mut options = options(&server);
    options.patience.whole = Duration::from_millis(300);
    options.patience.idle = Duration::from_secs(3600);
    let (_folder, store) = store();
    let registry = Registry::new(options, Keychain::default());
    let error = block(registry.pull(&name(&server), &store, PullOptions::default(), &())).unwrap_err();
    assert!(error.to_string().contains("the transfer is not done after"), "{error}");
}

/// Scenario: each kind of answer that may pass, once, at each kind of request; then the good one.
/// Guarantees: the pull succeeds, and each request was repeated once.
#[test]
fn passing_failures_are_retried() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (server, image) = faulty(b"layer", move |request, before| {
            let matters = request.method == "GET" && !request.path.contains("referrers");
            if matters && before == 0 { Reply::header(status, "Retry-After", "0") } else { Reply::Good }
        });
        let (_folder, store, pulled) = pull(&server).unwrap();
        assert_eq!(pulled.digest, image.digest(), "{status}");
        assert_eq!(server.asked("GET", "/manifests/v1").len(), 2, "{status}");
        assert_eq!(store.load_gadget(&name(&server), Arch::Amd64).unwrap().ebpf.unwrap(), b"layer");
    }
}

/// Scenario: a registry that asks for a wait of a day; one that always fails; one that says no.
/// Guarantees: the first is not waited for, the second asked as often as set, the third once; the reason is told, in
/// the registry's words without control characters.
#[test]
fn lasting_failures_end_the_pull() {
    type Make = Box<dyn Fn() -> Reply + Send + Sync>;
    let body = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"slow \\u001b[31m down\"}]}";
    let cases: [(Make, usize, &str); 4] = [
        (
            Box::new(move || Reply::Whole(429, vec![("Retry-After", "86400".to_owned())], body.into())),
            1,
            "slow  [31m down",
        ),
        (Box::new(|| Reply::status(503)), 3, "503"),
        (
            Box::new(|| Reply::Whole(400, Vec::new(), b"<html>long page</html>".to_vec())),
            1,
            "400 Bad Request",
        ),
        (Box::new(|| Reply::status(404)), 1, "failed to perform \"FetchReference\" on source"),
    ];
    for (reply, tries, expected) in cases {
        let (server, _image) = faulty(b"layer", move |_, _| reply());
        let error = pull(&server).map(|_| ()).unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
        assert_eq!(server.asked("GET", "/manifests/v1").len(), tries, "{expected}");
    }
}

/// Scenario: error answers without end.
/// Guarantees: they are read up to a bound; the error is the status.
#[test]
fn endless_errors_are_bounded() {
    let (server, _image) = faulty(b"layer", |_, _| {
        let head = b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
        Reply::Raw(vec![Step::Send(head), Step::Endless(chunk)])
    });
    let error = pull(&server).map(|_| ()).unwrap_err();
    assert!(chain(&error).contains("400"), "{}", chain(&error));
}

/// Scenario: a manifest of 100 MB, announced or endless; a document whose digest is another than announced or asked.
/// Guarantees: nothing beyond the bound is read, and neither is believed.
#[test]
fn wrong_documents_are_refused() {
    type Make = fn() -> Reply;
    let cases: [(Make, &str); 5] = [
        (|| Reply::announced(100 << 20, Step::Stall), "more than the 4194304 bytes allowed"),
        (
            || {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                let chunk = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
                Reply::Raw(vec![Step::Send(head), Step::Endless(chunk)])
            },
            "more than the 4194304 bytes allowed",
        ),
        (
            || {
                let digest = Digest::of(b"other").to_string();
                Reply::Whole(200, vec![("Docker-Content-Digest", digest)], b"{}".to_vec())
            },
            "delivered content of digest",
        ),
        (|| Reply::Whole(200, Vec::new(), b"<html>".to_vec()), "is malformed"),
        (|| Reply::Whole(200, Vec::new(), b"[".repeat(1 << 20)), "is malformed"),
    ];
    for (reply, expected) in cases {
        let (server, _image) =
            faulty(
                b"layer",
                move |request, _| {
                    if request.is("GET", "/manifests/v1") { reply() } else { Reply::Good }
                },
            );
        let error = pull(&server).map(|_| ()).unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

/// Scenario: indexes that name themselves, that lie in each other without end, that describe a layer of 10 GB, that
/// are a manifest as well, or of an unknown kind.
/// Guarantees: each is refused with its reason before a layer is fetched, and nothing gets a name.
#[test]
fn hostile_graphs_are_refused() {
    let self_index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"DIGEST","size":300}]}"#;
    let claimed = Digest::of(b"claimed").to_string();
    let itself = self_index.replace("DIGEST", &claimed);
    let layer = |size: &str| {
        format!(
            r#"{{"config":{{"mediaType":"x","digest":"{claimed}","size":2}},"layers":[{{"mediaType":"y","digest":"{}","size":{size}}}]}}"#,
            Digest::of(b"layer")
        )
    };
    let both = format!(
        r#"{{"manifests":[{{"digest":"{claimed}","size":1}}],"config":{{"digest":"{claimed}","size":1}}}}"#
    );
    let cases = [
        (itself, "delivered content of digest"),
        (layer("10000000000"), "has 10000000000 bytes, more than the 536870912 allowed"),
        (layer("-1"), "is malformed"),
        (both, "is an index and a manifest at once"),
        ("{}".to_owned(), "is neither an index nor a manifest"),
        (
            r#"{"mediaType":"text/plain"}"#.to_owned(),
            "expected the media type of an index or manifest, got another",
        ),
        (self_index.replace("DIGEST", "sha256:../../x"), "a descriptor of image"),
    ];
    for (document, expected) in cases {
        let server = Server::plain({
            let document = document.clone();
            move |request, _| {
                if request.path.contains("/manifests/sha256:") {
                    return Reply::Whole(
                        200,
                        vec![("Content-Type", INDEX.to_owned())],
                        document.clone().into_bytes(),
                    );
                }
                Reply::Good
            }
        });
        server.put_manifest(Some("v1"), "application/octet-stream", document.as_bytes());
        let error = pull(&server).map(|_| ()).unwrap_err();
        assert!(chain(&error).contains(expected), "{document}: {}", chain(&error));
        assert!(server.asked("GET", "/blobs/").is_empty(), "{document}");
    }

    let server = Server::plain(|_, _| Reply::Good);
    let mut inner = Image::with_layer(b"layer").index;
    for _ in 0..20 {
        let outer = Index::of(vec![Descriptor::of(INDEX, &inner)], Annotations::new());
        server.put_manifest(None, INDEX, &inner);
        inner = to_json(&outer).unwrap();
    }
    server.put_manifest(Some("v1"), INDEX, &inner);
    let error = pull(&server).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("too many levels"), "{error}");
}

/// Scenario: layers of unknown media types, an empty one, and a config that lies in its descriptor and nowhere else.
/// Guarantees: all are copied as they are.
#[test]
fn unknown_media_types_are_copied() {
    let server = Server::plain(|_, _| Reply::Good);
    let layers = vec![Descriptor::of("application/x-unknown", b"odd"), Descriptor::of("", b"")];
    let manifest = to_json(&Manifest::gadget(Descriptor::empty(), layers, Annotations::new())).unwrap();
    let index = Index::of(vec![Descriptor::of(MANIFEST, &manifest)], Annotations::new());
    server.put_blob(b"odd");
    server.put_blob(b"");
    server.put_manifest(None, MANIFEST, &manifest);
    server.put_manifest(Some("v1"), INDEX, &to_json(&index).unwrap());
    let (_folder, store, _) = pull(&server).unwrap();
    for content in [&b"odd"[..], b"", b"{}"] {
        assert_eq!(store.read_blob(Digest::of(content), 10).unwrap(), content);
    }
}
