use super::*;
use crate::trust::testing::{key, store_with_image, verifier, with_keys};
use crate::trust::{Basis, Proof};

const FORMATS: [SignatureFormat; 3] =
    [SignatureFormat::Legacy, SignatureFormat::Oci11, SignatureFormat::Bundle];

/// Scenario: an image is signed in each format and verified with the public half, and with another key.
/// Guarantees: the proof names image, digest, format and key; another key is refused.
#[test]
fn signed_images_verify() {
    for format in FORMATS {
        let (_folder, store, image) = store_with_image();
        let (private, public) = key();
        let signed = sign(&store, &image, &private, format, 1_800_000_000).unwrap();
        assert_eq!(signed.tag.is_some(), format == SignatureFormat::Legacy);
        let proof: Proof = verifier(with_keys(&[&public])).verify(&store, &image).unwrap();
        assert_eq!((proof.digest, &proof.image), (image.digest, &image.reference));
        let Basis::Cosign { format: found, signature, key: by, .. } = proof.basis else {
            panic!("not cosign")
        };
        assert_eq!((found, signature, by), (format, signed.signature, private.public().fingerprint()));
        let other = verifier(with_keys(&[&key().1])).verify(&store, &image).unwrap_err();
        assert!(other.to_string().contains("none of the 1 configured public keys made it"), "{other}");
    }
}

/// Scenario: two people sign one image in the legacy format, one of them twice.
/// Guarantees: the signatures of both count, each alone and whichever stands first.
#[test]
fn two_people_can_sign() {
    let (_folder, store, image) = store_with_image();
    let ((first, first_public), (second, second_public)) = (key(), key());
    for private in [&first, &second, &first] {
        sign(&store, &image, private, SignatureFormat::Legacy, 0).unwrap();
    }
    for public in [first_public, second_public] {
        verifier(with_keys(&[&public])).verify(&store, &image).unwrap();
    }
    let listed = store.resolve_tag(&legacy_tag(image.digest)).unwrap().unwrap();
    let manifest = read_manifest(&store, &listed).unwrap().1;
    assert_eq!(manifest.layers.len(), 3);
}

/// Scenario: documents as cosign writes them are compared with ours.
/// Guarantees: keys, their order and the media types are the same.
#[test]
fn documents_have_the_form_of_cosign() {
    let (_folder, store, image) = store_with_image();
    sign(&store, &image, &key().0, SignatureFormat::Legacy, 0).unwrap();
    let listed = store.resolve_tag(&legacy_tag(image.digest)).unwrap().unwrap();
    let manifest = read_manifest(&store, &listed).unwrap().1;
    assert_eq!(
        (manifest.config.media_type.as_str(), manifest.media_type.as_str()),
        (CONFIG, manifest::MANIFEST)
    );
    let payload = store.read_blob(manifest.layers[0].digest.parse().unwrap(), 10_000).unwrap();
    let expected = format!(
        "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"registry.example/team/gadget\"}},\"image\":\
         {{\"docker-manifest-digest\":\"{}\"}},\"type\":\"cosign container image signature\"}},\"optional\":null}}",
        image.digest
    );
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
}

/// Scenario: what is to be signed is a manifest and not an index; the tag is taken by something broken.
/// Guarantees: a clear refusal, and nothing is stored.
#[test]
fn only_indexes_are_signed() {
    let (_folder, store, image) = store_with_image();
    let manifest = ImageDescriptor { media_type: manifest::MANIFEST.to_owned(), ..image.clone() };
    for format in FORMATS {
        assert!(matches!(sign(&store, &manifest, &key().0, format, 0), Err(SignError::NotAnIndex { .. })));
    }
    assert!(store.referrers(image.digest).unwrap().is_empty());
}
