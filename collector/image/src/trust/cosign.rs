//! Signatures that cosign makes with a key: a simple-signing payload in a layer, or an in-toto statement in a bundle.
//!
//! Certificates, transparency logs and timestamps that may accompany them are not looked at: the key is what is
//! trusted, and all of it works without the network.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use super::settings::Stated;
use super::verify::AttemptError;
use crate::Digest;

/// Artifact type of a signature by OCI 1.1.
pub(super) const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Media type of a simple-signing payload.
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's layer that holds its signature.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Artifact and media type of a bundle.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Type of the payload in a bundle.
pub(super) const STATEMENT: &str = "application/vnd.in-toto+json";
/// What a statement says that approves an image. Other statements are findings about it, good or bad.
pub(super) const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// A sigstore bundle, as far as a key needs it.
#[derive(Debug, Deserialize)]
pub struct Bundle {
    #[serde(rename = "dsseEnvelope", alias = "dsse_envelope")]
    envelope: Option<Envelope>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType", alias = "payload_type")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    sig: String,
}

/// An in-toto statement.
#[derive(Serialize, Deserialize)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    pub(super) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) digest: std::collections::BTreeMap<String, String>,
}

/// Checks a simple-signing payload; gives the place of the key that signed it.
pub(super) fn verify_payload(
    payload: &[u8],
    signature: &str,
    keys: &[Stated<PublicKey>],
    digest: Digest,
) -> Result<usize, AttemptError> {
    let signature = STANDARD.decode(signature).map_err(AttemptError::Encoding)?;
    let key = signer(payload, &signature, keys)?;
    let signed: SimpleSigning = serde_json::from_slice(payload).map_err(AttemptError::Payload)?;
    same(&signed.critical.image.digest, digest)?;
    Ok(key)
}

impl Bundle {
    /// Reads a bundle; nothing in it is believed yet.
    ///
    /// # Errors
    /// If it is not the JSON document that it should be.
    pub fn parse(content: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(content)
    }

    /// Checks the envelope in a bundle; gives the place of the key that signed it.
    pub(super) fn verify(&self, keys: &[Stated<PublicKey>], digest: Digest) -> Result<usize, AttemptError> {
        let envelope = self.envelope.as_ref().ok_or(AttemptError::NoEnvelope)?;
        let [Signature { sig }] = envelope.signatures.as_slice() else {
            return Err(AttemptError::Signatures(envelope.signatures.len()));
        };
        let (payload, signature) = (decode(&envelope.payload)?, decode(sig)?);
        let key = signer(&authenticated(&envelope.payload_type, &payload), &signature, keys)?;
        if envelope.payload_type != STATEMENT {
            return Err(AttemptError::PayloadType(clip(&envelope.payload_type)));
        }
        let statement: Statement = serde_json::from_slice(&payload).map_err(AttemptError::Payload)?;
        if statement.predicate_type != PREDICATE {
            return Err(AttemptError::Predicate(clip(&statement.predicate_type)));
        }
        let subject = statement.subject.first().and_then(|subject| subject.digest.get("sha256"));
        same(&subject.map(|hex| format!("sha256:{hex}")).unwrap_or_default(), digest)?;
        Ok(key)
    }
}

/// What the signature of a DSSE envelope is over.
///
/// # Source
/// DSSE v1.0, "Signature Definition", PAE.
pub(super) fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn signer(message: &[u8], signature: &[u8], keys: &[Stated<PublicKey>]) -> Result<usize, AttemptError> {
    let signed = keys.iter().position(|key| key.value.verify(message, signature).is_ok());
    signed.ok_or(AttemptError::NoKey(keys.len()))
}

fn same(found: &str, wanted: Digest) -> Result<(), AttemptError> {
    if found == wanted.to_string() { Ok(()) } else { Err(AttemptError::OtherImage(clip(found))) }
}

/// Bytes in JSON form of a protobuf message: either alphabet of base64.
fn decode(text: &str) -> Result<Vec<u8>, AttemptError> {
    STANDARD
        .decode(text)
        .or_else(|error| URL_SAFE.decode(text).map_err(|_rejected| AttemptError::Encoding(error)))
}

/// At most 100 characters of hostile text.
pub(super) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
