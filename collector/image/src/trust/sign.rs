//! Signing an image in the store, so that cosign and the reference project accept it after a push.
//!
//! What is signed is the digest of the image's index. The signature is stored beside the image: under the tag
//! `sha256-<hex>.sig`, or as a manifest that refers to it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ig_model::Hint;
use serde_json::json;

use super::cosign::{self, Statement, Subject};
use super::key::{SigningKey, SigningKeyError};
use super::verify::{AttemptError, SignatureFormat, legacy_tag, read_manifest};
use crate::manifest::{self, Annotations, Descriptor, Manifest, to_json};
use crate::{Digest, ErrorKind, ImageDescriptor, Store, StoreError};

#[cfg(test)]
mod tests;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Most signatures kept under one tag.
const MAX_LAYERS: usize = 100;

/// A signature that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What was signed.
    pub image: Digest,
    /// Digest of the signature's manifest.
    pub signature: Digest,
    /// The tag it is stored under; `None` if it refers to the image instead.
    pub tag: Option<String>,
    /// SHA-256 of the public key.
    pub key: Digest,
}

/// An image cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Only whole images are signed.
    #[error("image `{image}` is not an image index but `{media_type}`")]
    NotAnIndex {
        /// The image.
        image: String,
        /// What it is.
        media_type: String,
    },
    /// The key does not sign.
    #[error("failed to sign")]
    Key(#[from] SigningKeyError),
    /// The signatures it has are unusable, so that none can be added to them.
    #[error("the signatures stored under `{tag}` cannot be added to")]
    Existing {
        /// Their tag.
        tag: String,
        /// Why not.
        #[source]
        source: AttemptError,
    },
    /// A document could not be written as JSON.
    #[error("failed to write the signature")]
    Json(#[from] serde_json::Error),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs `image` with `key`; `created` is the time to note, in seconds since 1970.
///
/// A legacy signature joins the ones that are there, so that several people can sign; so do the others, each being a
/// manifest of its own.
///
/// # Errors
/// [`SignError`] if the key does not sign or the store cannot be written. The store is unchanged then, but for blobs
/// that nothing leads to.
pub fn sign(
    store: &Store,
    image: &ImageDescriptor,
    key: &SigningKey,
    format: SignatureFormat,
    created: i64,
) -> Result<Signed, SignError> {
    if image.media_type != manifest::INDEX {
        return Err(SignError::NotAnIndex {
            image: image.reference.to_string(),
            media_type: cosign::clip(&image.media_type),
        });
    }
    let tag = matches!(format, SignatureFormat::Legacy).then(|| legacy_tag(image.digest));
    let manifest = match (format, &tag) {
        (SignatureFormat::Bundle, _) => bundle_manifest(store, image, key, created)?,
        (_, Some(tag)) => legacy_manifest(store, image, key, tag)?,
        (_, None) => {
            let layers = vec![payload_layer(store, image, key)?];
            Manifest {
                subject: Some(subject_of(image)),
                ..payload_manifest(store, cosign::ARTIFACT, layers)?
            }
        }
    };
    let content = to_json(&manifest)?;
    let mut listed = store.put_blob(manifest::MANIFEST, &content)?;
    if tag.is_none() {
        listed.artifact_type = if manifest.artifact_type.is_empty() {
            manifest.config.media_type
        } else {
            manifest.artifact_type
        };
        listed.annotations = manifest.annotations;
    }
    store.list_manifest(&listed, tag.as_deref())?;
    let (signature, key) = (Digest::of(&content), key.public().fingerprint());
    Ok(Signed { image: image.digest, signature, tag, key })
}

/// The manifest under the tag with one more layer.
fn legacy_manifest(
    store: &Store,
    image: &ImageDescriptor,
    key: &SigningKey,
    tag: &str,
) -> Result<Manifest, SignError> {
    let existing = |source| SignError::Existing { tag: tag.to_owned(), source };
    let mut layers = match store.resolve_tag(tag)? {
        Some(descriptor) => read_manifest(store, &descriptor).map_err(existing)?.1.layers,
        None => Vec::new(),
    };
    if layers.len() >= MAX_LAYERS {
        return Err(existing(AttemptError::Layers(layers.len())));
    }
    let layer = payload_layer(store, image, key)?;
    // RSA and Ed25519 sign alike each time; signing again adds nothing.
    if !layers.contains(&layer) {
        layers.push(layer);
    }
    payload_manifest(store, CONFIG, layers)
}

fn payload_manifest(
    store: &Store,
    config_type: &str,
    layers: Vec<Descriptor>,
) -> Result<Manifest, SignError> {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let never = "0001-01-01T00:00:00Z";
    let history: Vec<_> = layers.iter().map(|_| json!({"created": never})).collect();
    let config = json!({
        "architecture": "", "created": never, "history": history, "os": "",
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {},
    });
    let config = store.put_blob(config_type, &serde_json::to_vec(&config)?)?;
    Ok(Manifest { artifact_type: String::new(), ..artifact(config, layers) })
}

fn payload_layer(store: &Store, image: &ImageDescriptor, key: &SigningKey) -> Result<Descriptor, SignError> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": image.reference.repository()},
            "image": {"docker-manifest-digest": image.digest.to_string()},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = serde_json::to_vec(&payload)?;
    let signature = STANDARD.encode(key.sign(&payload)?);
    let layer = store.put_blob(cosign::PAYLOAD, &payload)?;
    Ok(Descriptor { annotations: Annotations::from([(cosign::SIGNATURE.to_owned(), signature)]), ..layer })
}

fn bundle_manifest(
    store: &Store,
    image: &ImageDescriptor,
    key: &SigningKey,
    created: i64,
) -> Result<Manifest, SignError> {
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1".to_owned(),
        subject: vec![Subject { digest: BTreeMap::from([("sha256".to_owned(), image.digest.hex())]) }],
        predicate_type: cosign::PREDICATE.to_owned(),
    };
    let payload = serde_json::to_vec(&statement)?;
    let signature = key.sign(&cosign::authenticated(cosign::STATEMENT, &payload))?;
    let bundle = json!({
        "mediaType": cosign::BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": STANDARD.encode(key.public().fingerprint().bytes())}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&payload),
            "payloadType": cosign::STATEMENT,
            "signatures": [{"sig": STANDARD.encode(signature)}],
        },
    });
    let layer = store.put_blob(cosign::BUNDLE, &serde_json::to_vec(&bundle)?)?;
    let config = store.put_blob(manifest::EMPTY, b"{}")?;
    let notes = [
        (manifest::CREATED, ig_model::text::rfc3339_utc(created)),
        ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
        ("dev.sigstore.bundle.predicateType", cosign::PREDICATE.to_owned()),
    ];
    Ok(Manifest {
        artifact_type: cosign::BUNDLE.to_owned(),
        subject: Some(subject_of(image)),
        annotations: notes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..artifact(config, vec![layer])
    })
}

fn artifact(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        media_type: manifest::MANIFEST.to_owned(),
        ..Manifest::gadget(config, layers, Annotations::new())
    }
}

fn subject_of(image: &ImageDescriptor) -> Box<Descriptor> {
    Box::new(Descriptor {
        media_type: image.media_type.clone(),
        digest: image.digest.to_string(),
        size: image.size,
        ..Descriptor::default()
    })
}

impl SignError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAnIndex { .. } | Self::Key(_) => ErrorKind::InvalidInput,
            Self::Existing { .. } => ErrorKind::Corrupt,
            Self::Json(_) => ErrorKind::Io,
            Self::Store(error) => error.kind(),
        }
    }
}

impl Hint for SignError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Key(error) => error.hint(),
            Self::Existing { tag, .. } => {
                Some(format!("remove them with `ig image remove {tag}`, or use another --format").into())
            }
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
