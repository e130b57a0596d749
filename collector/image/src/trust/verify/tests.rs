use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::trust::testing::{NAME, attach, flag, key, put_image, store_with_image, verifier, with_keys};
use crate::trust::{Settings, SigningKey, sign};

fn refusal(settings: Settings, store: &Store, image: &ImageDescriptor) -> VerifyError {
    verifier(settings).verify(store, image).unwrap_err()
}

fn payload_for(digest: &str) -> Vec<u8> {
    serde_json::to_vec(&json!({"critical": {"image": {"docker-manifest-digest": digest}}})).unwrap()
}

/// A layer with a payload and its signature by `key`.
fn layer(store: &Store, key: &SigningKey, payload: &[u8]) -> Descriptor {
    let signature = STANDARD.encode(key.sign(payload).unwrap());
    let annotations = [(cosign::SIGNATURE.to_owned(), signature)].into();
    Descriptor { annotations, ..store.put_blob(cosign::PAYLOAD, payload).unwrap() }
}

fn bundle(
    store: &Store,
    key: &SigningKey,
    payload_type: &str,
    payload: &[u8],
    signatures: usize,
) -> Descriptor {
    let signature =
        json!({"sig": STANDARD.encode(key.sign(&cosign::authenticated(payload_type, payload)).unwrap())});
    let document = json!({"dsseEnvelope": {
        "payload": STANDARD.encode(payload), "payloadType": payload_type, "signatures": vec![signature; signatures],
    }});
    store.put_blob(cosign::BUNDLE, &serde_json::to_vec(&document).unwrap()).unwrap()
}

fn statement(predicate: &str, subjects: &[&str]) -> Vec<u8> {
    let subjects: Vec<_> = subjects.iter().map(|hex| json!({"digest": {"sha256": hex}})).collect();
    let statement =
        json!({"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": predicate});
    serde_json::to_vec(&statement).unwrap()
}

/// Scenario: nobody signed; nothing to check with; verification switched off; not an index.
/// Guarantees: each has its own answer, and the proof says that nothing was checked.
#[test]
fn without_signatures_there_is_no_trust() {
    let (_folder, store, image) = store_with_image();
    let (_, public) = key();
    let unsigned = refusal(with_keys(&[&public]), &store, &image);
    assert!(matches!(unsigned, VerifyError::Unsigned { .. }) && unsigned.fetching_may_help());
    assert!(unsigned.to_string().contains(&image.digest.to_string()), "{unsigned}");
    let none = refusal(with_keys(&[]), &store, &image);
    assert!(none.to_string().contains("no verification method is available") && !none.fetching_may_help());
    let off = Settings { verify: Some(flag(false)), ..Settings::default() };
    let proof = verifier(off).verify(&store, &image).unwrap();
    assert_eq!(proof.basis, Basis::None { rule: "--test".to_owned() });
    let manifest = ImageDescriptor { media_type: manifest::MANIFEST.to_owned(), ..image };
    assert!(matches!(refusal(with_keys(&[&public]), &store, &manifest), VerifyError::NotAnIndex { .. }));
}

/// Scenario: signatures by the right key that are about another image, of the wrong kind, or say something else.
/// Guarantees: none counts, and each is named with its reason.
#[test]
fn signatures_for_something_else_do_not_count() {
    let (private, public) = key();
    let (other, hex) = (Digest::of(b"other").to_string(), Digest::of(b"other").hex());
    let legacy = |layers: &dyn Fn(&Store, &ImageDescriptor) -> Vec<Descriptor>| {
        let (_folder, store, image) = store_with_image();
        attach(&store, &image, "", layers(&store, &image), Some(&legacy_tag(image.digest)));
        refusal(with_keys(&[&public]), &store, &image).to_string()
    };
    let referring = |kind: &str, layers: &dyn Fn(&Store, &ImageDescriptor) -> Vec<Descriptor>| {
        let (_folder, store, image) = store_with_image();
        attach(&store, &image, kind, layers(&store, &image), None);
        refusal(with_keys(&[&public]), &store, &image).to_string()
    };
    let bundled = |kind: &'static str, payload: &dyn Fn(&ImageDescriptor) -> Vec<u8>, count: usize| {
        referring(cosign::BUNDLE, &|store, image| vec![bundle(store, &private, kind, &payload(image), count)])
    };
    let sign_it = cosign::PREDICATE;
    let of = |image: &ImageDescriptor| image.digest.hex();
    let cases = [
        (
            legacy(&|store, _| vec![layer(store, &private, &payload_for(&other))]),
            "it is for `sha256:".to_owned(),
        ),
        (legacy(&|store, _| vec![layer(store, &private, b"{}")]), "its payload is malformed".to_owned()),
        (
            legacy(&|store, _| {
                vec![layer(
                    store,
                    &private,
                    format!("{{\"critical\":{{\"image\":{}", "[".repeat(200_000)).as_bytes(),
                )]
            }),
            "its payload is malformed".to_owned(),
        ),
        (
            legacy(&|store, _| vec![store.put_blob(cosign::PAYLOAD, b"{}").unwrap()]),
            "has no signature".to_owned(),
        ),
        (legacy(&|_, _| Vec::new()), "it has 0 layers".to_owned()),
        (
            legacy(&|store, image| {
                vec![Descriptor {
                    media_type: "text/x".to_owned(),
                    ..layer(store, &private, &payload_for(&image.digest.to_string()))
                }]
            }),
            "a layer is of the unknown kind `text/x`".to_owned(),
        ),
        (
            legacy(&|store, image| {
                let mut layer = layer(store, &private, &payload_for(&image.digest.to_string()));
                layer.annotations.insert(cosign::SIGNATURE.to_owned(), "?".to_owned());
                vec![layer]
            }),
            "not base64".to_owned(),
        ),
        (
            legacy(&|store, _| vec![layer(store, &private, &vec![b' '; 10 << 20])]),
            "it has 10485760 bytes, more than the 1048576 allowed".to_owned(),
        ),
        (
            bundled("text/plain", &|image| statement(sign_it, &[&of(image)]), 1),
            "of the kind `text/plain`".to_owned(),
        ),
        (
            bundled(cosign::STATEMENT, &|image| statement("https://slsa.dev/x", &[&of(image)]), 1),
            "does not approve".to_owned(),
        ),
        (
            bundled(cosign::STATEMENT, &|image| statement(sign_it, &[&hex, &of(image)]), 1),
            format!("it is for `sha256:{hex}`"),
        ),
        (bundled(cosign::STATEMENT, &|_| statement(sign_it, &[]), 1), "it is for ``".to_owned()),
        (
            bundled(cosign::STATEMENT, &|image| statement(sign_it, &[&of(image)]), 2),
            "has 2 signatures".to_owned(),
        ),
        (
            bundled(cosign::STATEMENT, &|image| statement(sign_it, &[&of(image)]), 0),
            "has 0 signatures".to_owned(),
        ),
        (bundled(cosign::STATEMENT, &|_| b"[]".to_vec(), 1), "its payload is malformed".to_owned()),
        (
            referring(cosign::BUNDLE, &|store, _| vec![store.put_blob(cosign::BUNDLE, b"{}").unwrap()]),
            "no DSSE envelope".to_owned(),
        ),
        (
            referring(cosign::BUNDLE, &|store, _| vec![store.put_blob(cosign::BUNDLE, b"x").unwrap()]),
            "malformed".to_owned(),
        ),
        (
            referring(notation::ARTIFACT, &|store, _| vec![store.put_blob("x", b"x").unwrap()]),
            "notation is not configured".to_owned(),
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(&expected), "expected {expected}: {error}");
    }
}

/// Scenario: a broken legacy signature and a foreign bundle stand beside a good signature of another format.
/// Guarantees: the good one is found; what is broken hides nothing.
#[test]
fn broken_signatures_hide_nothing() {
    let (_folder, store, image) = store_with_image();
    let (private, public) = key();
    attach(&store, &image, "", Vec::new(), Some(&legacy_tag(image.digest)));
    sign(&store, &image, &key().0, SignatureFormat::Bundle, 0).unwrap();
    sign(&store, &image, &private, SignatureFormat::Oci11, 0).unwrap();
    let proof = verifier(with_keys(&[&key().1, &public])).verify(&store, &image).unwrap();
    assert!(matches!(proof.basis, Basis::Cosign { format: SignatureFormat::Oci11, .. }));
}

/// Scenario: an image is signed, then its name moves to another image.
/// Guarantees: the new image is not trusted by the old signature, and the proof of the old one names the old digest.
#[test]
fn proofs_follow_the_digest() {
    let (_folder, store, old) = store_with_image();
    let (private, public) = key();
    sign(&store, &old, &private, SignatureFormat::Legacy, 0).unwrap();
    let new = put_image(&store, NAME, b"another object");
    let verifier = verifier(with_keys(&[&public]));
    assert!(verifier.verify(&store, &new).is_err());
    let proof = verifier.verify(&store, &old).unwrap();
    assert_eq!(proof.digest, old.digest);
    let json = serde_json::to_value(&proof).unwrap();
    assert_eq!(json["digest"], old.digest.to_string());
    assert_eq!((&json["basis"]["method"], &json["basis"]["format"]), (&json!("cosign"), &json!("legacy")));
    assert_eq!(json["basis"]["keyFrom"], "--test");
}

/// Scenario: three hundred foreign signatures refer to an image.
/// Guarantees: a bounded number is tried, the message stays short and says how many there are.
#[test]
fn many_signatures_are_bounded() {
    let (_folder, store, image) = store_with_image();
    for index in 0..300 {
        let layer = store.put_blob(cosign::BUNDLE, format!("{index}").as_bytes()).unwrap();
        attach(&store, &image, cosign::BUNDLE, vec![layer], None);
    }
    let error = refusal(with_keys(&[&key().1]), &store, &image).to_string();
    assert!(error.ends_with("and 280 more") && error.len() < 8000, "{} {error}", error.len());
}

/// Scenario: each byte of every blob of a signature changes on disk, one at a time.
/// Guarantees: the image is not trusted, and nothing panics.
#[test]
fn damaged_blobs_are_not_trusted() {
    for format in [SignatureFormat::Legacy, SignatureFormat::Bundle] {
        let (_folder, store, image) = store_with_image();
        let (private, public) = key();
        let signed = sign(&store, &image, &private, format, 0).unwrap();
        let verifier = verifier(with_keys(&[&public]));
        let manifest: Manifest =
            serde_json::from_slice(&store.read_blob(signed.signature, 1 << 20).unwrap()).unwrap();
        for digest in [signed.signature.to_string(), manifest.layers[0].digest.clone()] {
            let path = store.path().join("blobs/sha256").join(&digest["sha256:".len()..]);
            let content = std::fs::read(&path).unwrap();
            let write = |content: &[u8]| {
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, content).unwrap();
            };
            for at in (0..content.len()).step_by(3) {
                let mut changed = content.clone();
                changed[at] ^= 1;
                write(&changed);
                assert!(verifier.verify(&store, &image).is_err(), "{format:?} byte {at}");
            }
            write(&content);
            verifier.verify(&store, &image).unwrap();
        }
    }
}
