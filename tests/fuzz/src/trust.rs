//! Signatures, keys and policies: they come with images, from administrators and from other programs.

use std::hint::black_box;

use ig_config::policy;
use ig_image::trust::notation::{DistinguishedName, Envelope, Notation, TrustPolicy};
use ig_image::trust::{Bundle, PublicKey, SigningKey};

use super::text;

/// A policy that every envelope is judged by, far enough to read its certificates.
const POLICY: &str = r#"{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],
    "signatureVerification":{"level":"audit"},"trustStores":["ca:x"],"trustedIdentities":["*"]}]}"#;

/// An image-policy document.
pub(crate) fn image_policy(bytes: &[u8]) {
    text(bytes, |text| match policy::parse("policy.yaml", text) {
        Ok(policy) => drop(black_box(policy)),
        Err(error) => {
            assert!(!error.faults.is_empty(), "a refusal has a reason");
            for fault in &error.faults {
                black_box(fault.long());
            }
        }
    });
}

/// Envelopes of notation, bundles of cosign, certificates.
pub(crate) fn signature(bytes: &[u8]) {
    for media_type in ["application/jose+json", "application/cose"] {
        drop(black_box(Envelope::parse(media_type, bytes)));
    }
    drop(black_box(Bundle::parse(bytes)));
    drop(black_box(Notation::new(&[bytes.to_vec()], POLICY)));
}

/// Public keys and private ones; a sealed key is opened only as far as it needs no derivation.
pub(crate) fn signing_key(bytes: &[u8]) {
    text(bytes, |text| {
        if let Ok(key) = PublicKey::from_pem(text) {
            let again = PublicKey::from_pem(&key.to_pem());
            assert!(again.is_ok_and(|again| again == key), "a key reads back as written");
        }
        drop(black_box(SigningKey::from_pem(text, None)));
    });
    drop(black_box(PublicKey::from_spki(bytes)));
}

/// Trust policy documents and names; a name that was accepted is within itself.
pub(crate) fn trust_policy(bytes: &[u8]) {
    text(bytes, |text| {
        drop(black_box(TrustPolicy::parse(text)));
        if let Ok(name) = DistinguishedName::parse(text) {
            assert!(name.is_within(&name), "a name contains its own attributes");
        }
    });
}
