//! An index from its pieces: the entries before the tear, the documents among the blobs, the signatures' own word on
//! what they sign.

use std::collections::BTreeSet;
use std::path::Path;

use super::Fault;
use crate::Digest;
use crate::manifest::{self, Descriptor, Index, REF_NAME};
use crate::store::graph::{self, Links};
use crate::store::{Limits, StoreError, blob, collect, list_entry};

const TITLE: &str = "org.opencontainers.image.title";
/// Media type of the layer of a cosign signature.
const SIGNED: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The entries that stand whole in the text of a torn index.
pub fn entries(text: &[u8]) -> Vec<Descriptor> {
    let key = b"\"manifests\"";
    let Some(at) = text.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let mut rest = text.get(at + key.len()..).unwrap_or_default();
    let mut found = Vec::new();
    while let [first, tail @ ..] = rest {
        match first {
            b'{' => {
                let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Descriptor>();
                let Some(Ok(entry)) = values.next() else { break };
                rest = rest.get(values.byte_offset()..).unwrap_or_default();
                if entry.digest.parse::<Digest>().is_ok() {
                    found.push(entry);
                }
            }
            b':' | b'[' | b',' | b' ' | b'\t' | b'\r' | b'\n' => rest = tail,
            _ => break,
        }
    }
    found
}

/// Adds the documents among the blobs that the index does not list, and tells which images have no name any more.
pub(super) fn complete(root: &Path, index: &mut Index, limits: &Limits) -> Result<Vec<Fault>, StoreError> {
    let mut images = Vec::new();
    let mut parts = BTreeSet::new();
    for (digest, path, metadata) in collect::blobs(root)? {
        if !metadata.is_file() || metadata.len() > limits.document {
            continue;
        }
        let size = metadata.len();
        // What cannot be read is told by the check of the blobs.
        let Ok(content) = blob::read_verified(&path, digest, size, limits.document) else { continue };
        let Some((media_type, links)) = graph::sniff(&content) else { continue };
        let entry = Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size,
            ..Descriptor::default()
        };
        parts.extend(links.manifests.iter().map(|part| part.digest.clone()));
        let tag = signed_digest(root, &links).map(|signed| format!("sha256-{}.sig", signed.hex()));
        let is_known =
            tag.as_ref().is_some_and(|tag| index.manifests.iter().any(|entry| entry.ref_name() == Some(tag)));
        if tag.is_none() && links.subject.is_none() && media_type == manifest::INDEX {
            images.push((entry.clone(), links.annotations.get(TITLE).map(|title| graph::clip(title))));
        }
        list_entry(index, entry, tag.as_deref().filter(|_| !is_known))?;
    }
    let has_name = |digest: &str| {
        index.manifests.iter().any(|entry| entry.digest == digest && entry.annotations.contains_key(REF_NAME))
    };
    let nameless = images
        .into_iter()
        .filter(|(entry, _)| !parts.contains(&entry.digest) && !has_name(&entry.digest))
        .map(|(entry, title)| Fault::Nameless { digest: entry.digest, title: title.unwrap_or_default() });
    Ok(nameless.collect())
}

/// What a manifest signs, if it is a cosign signature of the kind that a tag leads to.
fn signed_digest(root: &Path, links: &Links) -> Option<Digest> {
    if links.subject.is_some() {
        return None; // found by its subject, not by a tag
    }
    let layer = links.children().find(|child| child.media_type == SIGNED)?;
    let content = blob::read_any(root, layer.digest.parse().ok()?, 64 << 10).ok()?;
    let payload: serde_json::Value = serde_json::from_slice(&content).ok()?;
    payload.pointer("/critical/image/docker-manifest-digest")?.as_str()?.parse().ok()
}
