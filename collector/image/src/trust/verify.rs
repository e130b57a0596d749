//! Is this image to be trusted? Finds its signatures in the store and tries each.
//!
//! Whoever can write to a registry can attach signatures to an image. So one that is broken, foreign or wrong is
//! noted and the next one tried; only a good one decides. How many are looked at is bounded.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use super::cosign::{self, Bundle, clip};
use super::key::KeyAlgorithm;
use super::notation::{self, Target};
use super::policy::Policy;
use crate::manifest::{self, Descriptor, Index, Manifest};
use crate::store::BlobError;
use crate::{Digest, ImageDescriptor, Reference, Store, StoreError};

mod error;
#[cfg(test)]
mod tests;

pub use error::{Attempt, AttemptError, Attempts, VerifyError};

/// Most bytes of a manifest of a signature.
const MAX_MANIFEST: u64 = 1 << 20;
/// Most bytes of a payload, bundle or envelope; real ones have a few thousand.
const MAX_DOCUMENT: u64 = 1 << 20;
/// Most signature manifests looked at for one image, and most layers in each.
const MAX_SIGNATURES: usize = 100;

/// Checks images against a policy.
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: Policy,
}

/// Why an image may run, and which image that is: load it by this digest and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The full name it was asked for by.
    #[serde(serialize_with = "text")]
    pub image: Reference,
    /// Digest of its index: what the signature is about.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
    /// What speaks for it.
    pub basis: Basis,
}

/// What speaks for an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "method", rename_all = "lowercase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Basis {
    /// The policy asks for no signature.
    None {
        /// The setting that says so.
        rule: String,
    },
    /// It was built on this machine, into this store.
    BuiltHere {
        /// The setting that lets such images run.
        rule: String,
    },
    /// A signature by a key.
    Cosign {
        /// How it is stored.
        format: SignatureFormat,
        /// Digest of the signature's manifest.
        #[serde(serialize_with = "text")]
        signature: Digest,
        /// SHA-256 of the key.
        #[serde(serialize_with = "text")]
        key: Digest,
        /// What kind of key it is.
        #[serde(serialize_with = "text")]
        algorithm: KeyAlgorithm,
        /// Where the key is configured.
        key_from: String,
    },
    /// A signature by a certificate.
    Notation {
        /// How the envelope is encoded.
        format: &'static str,
        /// Digest of the signature's manifest.
        #[serde(serialize_with = "text")]
        signature: Digest,
        /// Subject of the signer's certificate.
        subject: String,
        /// SHA-256 of the signer's certificate.
        #[serde(serialize_with = "text")]
        certificate: Digest,
        /// SHA-256 of the trusted certificate in its chain.
        #[serde(serialize_with = "optional_text")]
        trusted: Option<Digest>,
        /// The statement of the trust policy that accepts it.
        statement: String,
        /// The statement's level.
        level: &'static str,
        /// Checks that failed or were left out, and that the policy does not enforce.
        not_enforced: Vec<String>,
    },
}

/// How a cosign signature is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    /// A manifest tagged `sha256-<hex>.sig`.
    Legacy,
    /// A manifest that refers to the image.
    Oci11,
    /// A sigstore bundle in a manifest that refers to the image.
    Bundle,
}

/// One signature manifest.
struct Candidate {
    kind: Kind,
    descriptor: Descriptor,
}

#[derive(Clone, Copy)]
enum Kind {
    Cosign(SignatureFormat),
    Notation,
}

impl Verifier {
    /// Checks by the rules of `policy`, whose keys and certificates were checked when it was made.
    pub fn new(policy: Policy) -> Self {
        Self { policy }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Checks that the image may run: its name and digest by the rules, its signature by the signatures in the store.
    ///
    /// # Errors
    /// [`VerifyError`]; where [`VerifyError::fetching_may_help`], the store may lack a signature that a registry has.
    pub fn verify(&self, store: &Store, image: &ImageDescriptor) -> Result<Proof, VerifyError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.verify_at(store, image, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
    }

    /// [`Verifier::verify`] at the time `now`, in seconds since 1970: certificates have a time.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_at(&self, store: &Store, image: &ImageDescriptor, now: i64) -> Result<Proof, VerifyError> {
        let ImageDescriptor { reference, media_type, digest, .. } = image;
        self.policy.may_run(reference, *digest)?;
        let proof = |basis| Proof { image: reference.clone(), digest: *digest, basis };
        let required = self.policy.requires_signatures();
        if !required.value {
            return Ok(proof(Basis::None { rule: required.origin.to_string() }));
        }
        if let Some(rule) = self.policy.trusts_local_builds()
            && store.was_built_here(*digest)
        {
            return Ok(proof(Basis::BuiltHere { rule: rule.to_string() }));
        }
        let named = || Box::new(reference.clone());
        if self.policy.keys.is_empty() && self.policy.notation.is_none() {
            let required = Box::new(required.origin.clone());
            return Err(VerifyError::NoMethod { reference: named(), required });
        }
        if media_type != manifest::INDEX {
            return Err(VerifyError::NotAnIndex { reference: named(), media_type: clip(media_type) });
        }
        let (candidates, more) = candidates(store, *digest)?;
        if candidates.is_empty() {
            return Err(VerifyError::Unsigned { reference: named(), digest: *digest });
        }
        let mut attempts = Attempts::beside(more);
        for candidate in candidates {
            let result = match candidate.kind {
                Kind::Cosign(format) => self.try_cosign(store, *digest, &candidate.descriptor, format),
                Kind::Notation => self.try_notation(store, image, &candidate.descriptor, now),
            };
            match result {
                Ok(basis) => return Ok(proof(basis)),
                Err(error) => attempts.push(&candidate, error),
            }
        }
        Err(VerifyError::Untrusted { reference: named(), digest: *digest, attempts })
    }

    fn try_cosign(
        &self,
        store: &Store,
        image: Digest,
        descriptor: &Descriptor,
        format: SignatureFormat,
    ) -> Result<Basis, AttemptError> {
        let keys = &self.policy.keys;
        if keys.is_empty() {
            return Err(AttemptError::NotConfigured("a public key"));
        }
        let (signature, manifest) = read_manifest(store, descriptor)?;
        if manifest.layers.is_empty() || manifest.layers.len() > MAX_SIGNATURES {
            return Err(AttemptError::Layers(manifest.layers.len()));
        }
        let mut last = AttemptError::Layers(0);
        for layer in &manifest.layers {
            let verified = match format {
                SignatureFormat::Legacy | SignatureFormat::Oci11 => self.try_payload(store, layer, image),
                SignatureFormat::Bundle => self.try_bundle(store, layer, image),
            };
            match verified.map(|place| keys.get(place)) {
                Ok(Some(key)) => {
                    return Ok(Basis::Cosign {
                        format,
                        signature,
                        key: key.value.fingerprint(),
                        algorithm: key.value.algorithm(),
                        key_from: key.origin.to_string(),
                    });
                }
                Ok(None) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn try_payload(&self, store: &Store, layer: &Descriptor, image: Digest) -> Result<usize, AttemptError> {
        if layer.media_type != cosign::PAYLOAD {
            return Err(AttemptError::LayerKind(clip(&layer.media_type)));
        }
        let signature = layer.annotations.get(cosign::SIGNATURE).ok_or(AttemptError::NoSignature)?;
        let payload = read(store, layer, MAX_DOCUMENT)?.1;
        cosign::verify_payload(&payload, signature, &self.policy.keys, image)
    }

    fn try_bundle(&self, store: &Store, layer: &Descriptor, image: Digest) -> Result<usize, AttemptError> {
        if layer.media_type != cosign::BUNDLE {
            return Err(AttemptError::LayerKind(clip(&layer.media_type)));
        }
        let content = read(store, layer, MAX_DOCUMENT)?.1;
        Bundle::parse(&content).map_err(AttemptError::Document)?.verify(&self.policy.keys, image)
    }

    fn try_notation(
        &self,
        store: &Store,
        image: &ImageDescriptor,
        descriptor: &Descriptor,
        now: i64,
    ) -> Result<Basis, AttemptError> {
        let notation = self.policy.notation.as_ref().ok_or(AttemptError::NotConfigured("notation"))?;
        let (signature, manifest) = read_manifest(store, descriptor)?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(AttemptError::Layers(manifest.layers.len()));
        };
        let envelope = read(store, layer, MAX_DOCUMENT)?.1;
        let target = Target {
            reference: &image.reference,
            media_type: &image.media_type,
            digest: image.digest,
            size: image.size,
        };
        let accepted = notation.verify(target, &layer.media_type, &envelope, now)?;
        Ok(Basis::Notation {
            format: accepted.format.name(),
            signature,
            subject: accepted.subject,
            certificate: accepted.certificate,
            trusted: accepted.trusted,
            statement: accepted.statement,
            level: accepted.level,
            not_enforced: accepted.not_enforced,
        })
    }
}

/// The tag of an image's legacy signatures.
pub fn legacy_tag(image: Digest) -> String {
    format!("sha256-{}.sig", image.hex())
}

/// The signatures of an image, and how many there are beyond those.
fn candidates(store: &Store, image: Digest) -> Result<(Vec<Candidate>, usize), StoreError> {
    let mut found = Vec::new();
    let legacy = store.resolve_tag(&legacy_tag(image))?;
    found.extend(
        legacy.map(|descriptor| Candidate { kind: Kind::Cosign(SignatureFormat::Legacy), descriptor }),
    );
    let mut referrers = store.referrers(image)?;
    // Where a registry keeps no list of referrers, clients keep one under this tag.
    if let Some(list) = store.resolve_tag(&format!("sha256-{}", image.hex()))?
        && let Ok((_, content)) = read(store, &list, MAX_MANIFEST)
        && let Ok(list) = serde_json::from_slice::<Index>(&content)
    {
        referrers.extend(list.manifests);
    }
    let mut seen = std::collections::BTreeSet::new();
    let of_kind = referrers.into_iter().filter_map(|descriptor| {
        let kind = match descriptor.artifact_type.as_str() {
            cosign::ARTIFACT => Kind::Cosign(SignatureFormat::Oci11),
            cosign::BUNDLE => Kind::Cosign(SignatureFormat::Bundle),
            notation::ARTIFACT => Kind::Notation,
            _ => return None,
        };
        seen.insert(descriptor.digest.clone()).then_some(Candidate { kind, descriptor })
    });
    found.extend(of_kind);
    let more = found.len().saturating_sub(MAX_SIGNATURES);
    found.truncate(MAX_SIGNATURES);
    Ok((found, more))
}

pub(super) fn read_manifest(
    store: &Store,
    descriptor: &Descriptor,
) -> Result<(Digest, Manifest), AttemptError> {
    let (digest, content) = read(store, descriptor, MAX_MANIFEST)?;
    Ok((digest, serde_json::from_slice(&content).map_err(AttemptError::Document)?))
}

fn read(store: &Store, descriptor: &Descriptor, limit: u64) -> Result<(Digest, Vec<u8>), BlobError> {
    if descriptor.size > limit {
        return Err(BlobError::TooLarge { size: descriptor.size, limit });
    }
    let digest = descriptor.digest.parse()?;
    Ok((digest, store.read_blob(digest, limit)?))
}

impl SignatureFormat {
    /// Its name in options, proofs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Oci11 => "oci11",
            Self::Bundle => "bundle",
        }
    }
}

fn text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn optional_text<S: serde::Serializer>(
    value: &Option<impl fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
