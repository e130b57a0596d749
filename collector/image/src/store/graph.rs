//! What blobs lead to: from an index to its manifests, from a manifest to its config and layers, from a signature to
//! what it signs.
//!
//! Every walk visits a blob once and stops at the store's [`Limits`], so that no document can make it long.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::error::{BlobError, WalkError};
use super::{Limits, Store, StoreError, blob};
use crate::Digest;
use crate::manifest::{self, Annotations, Descriptor, Index, null_as_default};

/// Media types of Docker's documents, which are those of OCI under another name.
const DOCKER: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Media type of the artifact manifest that came and went before OCI 1.1.
const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// The descriptors in a document, whichever kind of document it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Links {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) media_type: String,
    #[serde(default, deserialize_with = "null_as_default")]
    artifact_type: String,
    pub(crate) config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_as_default")]
    layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_as_default")]
    blobs: Vec<Descriptor>,
    pub(crate) subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) annotations: Annotations,
}

/// Where a walk reads blobs from.
pub(crate) trait Source {
    /// Reads an index or manifest whole, checked against its digest.
    fn document(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError>;
    /// Makes sure that a blob is there, or brings it there.
    fn leaf(&mut self, digest: Digest, size: u64) -> Result<(), BlobError>;
}

impl Store {
    /// The manifests that are about `digest`, such as its signatures: listed in the store's index, with `digest` as
    /// their subject. Each has the artifact type and the annotations of its manifest.
    ///
    /// Entries whose blob is missing, damaged or malformed are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be read.
    pub fn referrers(&self, digest: Digest) -> Result<Vec<Descriptor>, StoreError> {
        let index = self.index()?;
        Ok(referrers(self.path(), &index, digest, self.limits()))
    }
}

impl Links {
    /// What the document needs to be complete; its subject is not needed.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().chain(&self.config).chain(&self.layers).chain(&self.blobs)
    }

    /// What kind of artefact it is; that of older ones stands in their config.
    pub(crate) fn artifact_type(&self) -> &str {
        match &self.config {
            Some(config) if self.artifact_type.is_empty() => &config.media_type,
            _ => &self.artifact_type,
        }
    }
}

/// Whether blobs of the media type lead to others.
pub(crate) fn is_document(media_type: &str) -> bool {
    [manifest::INDEX, manifest::MANIFEST, ARTIFACT].contains(&media_type) || DOCKER.contains(&media_type)
}

/// Reads a document's links.
pub(crate) fn links(
    source: &mut impl Source,
    descriptor: &Descriptor,
    limit: u64,
) -> Result<Links, WalkError> {
    let fault = |source| WalkError::Blob {
        media_type: clip(&descriptor.media_type),
        digest: clip(&descriptor.digest),
        source,
    };
    let digest: Digest = descriptor.digest.parse().map_err(|source| fault(BlobError::Digest(source)))?;
    let content = source.document(digest, descriptor.size, limit).map_err(fault)?;
    serde_json::from_slice(&content).map_err(|source| WalkError::Document {
        media_type: clip(&descriptor.media_type),
        digest,
        source,
    })
}

/// Visits everything `root` needs to be complete. `seen` grows by what was visited.
pub(crate) fn walk(
    source: &mut impl Source,
    root: &Descriptor,
    limits: &Limits,
    seen: &mut BTreeMap<Digest, u64>,
) -> Result<(), WalkError> {
    let mut todo = vec![root.clone()];
    while let Some(next) = todo.pop() {
        let fault = |source| WalkError::Blob {
            media_type: clip(&next.media_type),
            digest: clip(&next.digest),
            source,
        };
        let digest: Digest = next.digest.parse().map_err(|source| fault(BlobError::Digest(source)))?;
        if let Some(&first) = seen.get(&digest) {
            if first != next.size {
                return Err(WalkError::Contradiction { digest, first, second: next.size });
            }
            continue;
        }
        if seen.len() >= limits.count {
            return Err(WalkError::TooMany { limit: limits.count });
        }
        seen.insert(digest, next.size);
        if !is_document(&next.media_type) {
            source.leaf(digest, next.size).map_err(fault)?;
            continue;
        }
        let found = links(source, &next, limits.document)?;
        let fresh = |child: &&Descriptor| {
            !child.digest.parse().is_ok_and(|digest: Digest| seen.get(&digest) == Some(&child.size))
        };
        let before = todo.len();
        todo.extend(found.children().filter(fresh).take(limits.count + 1).cloned());
        // In the order in which they are written.
        todo.get_mut(before..).unwrap_or_default().reverse();
        if todo.len() > limits.count {
            return Err(WalkError::TooMany { limit: limits.count });
        }
    }
    Ok(())
}

/// The blobs of a layout on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnDisk<'a>(pub(crate) &'a Path);

impl Source for OnDisk<'_> {
    fn document(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
        blob::read_verified(&blob::path(self.0, digest), digest, size, limit)
    }

    /// Compares the size only: this is asked under the lock, of blobs that were hashed when they were written.
    fn leaf(&mut self, digest: Digest, size: u64) -> Result<(), BlobError> {
        let path = blob::path(self.0, digest);
        match blob::size_of(&path) {
            Ok(actual) if actual == size => Ok(()),
            Ok(actual) => Err(BlobError::Size { path, expected: size, actual }),
            Err(source) => Err(BlobError::Io { path, source }),
        }
    }
}

/// A listed document that is about another one.
pub(crate) struct Referrer<'a> {
    pub(crate) entry: &'a Descriptor,
    pub(crate) subject: Descriptor,
    pub(crate) links: Links,
}

/// The documents of an index that have a subject, and what kept the others from being read.
pub(crate) fn all_referrers<'a>(
    root: &'a Path,
    index: &'a Index,
    limits: &'a Limits,
) -> impl Iterator<Item = Result<Referrer<'a>, WalkError>> {
    let mut seen = BTreeSet::new();
    index
        .manifests
        .iter()
        .filter(move |entry| is_document(&entry.media_type) && seen.insert(entry.digest.as_str()))
        .filter_map(move |entry| match links(&mut OnDisk(root), entry, limits.document) {
            Ok(mut links) => links.subject.take().map(|subject| Ok(Referrer { entry, subject, links })),
            Err(error) => Some(Err(error)),
        })
}

fn referrers(root: &Path, index: &Index, digest: Digest, limits: &Limits) -> Vec<Descriptor> {
    let text = digest.to_string();
    let known = index.manifests.iter().find(|entry| entry.digest == text);
    let is_about = |subject: &Descriptor| {
        subject.digest == text
            && known
                .is_none_or(|known| (subject.size, &subject.media_type) == (known.size, &known.media_type))
    };
    all_referrers(root, index, limits)
        .take(limits.count)
        .filter_map(Result::ok)
        .filter(|referrer| is_about(&referrer.subject))
        .map(|Referrer { entry, links, .. }| Descriptor {
            media_type: entry.media_type.clone(),
            digest: entry.digest.clone(),
            size: entry.size,
            artifact_type: links.artifact_type().to_owned(),
            annotations: links.annotations,
            ..Descriptor::default()
        })
        .collect()
}

/// What the content of a blob says it is, for blobs that no descriptor tells about.
pub(crate) fn sniff(content: &[u8]) -> Option<(&'static str, Links)> {
    if content.first() != Some(&b'{') {
        return None;
    }
    let links: Links = serde_json::from_slice(content).ok()?;
    let declared = [manifest::INDEX, manifest::MANIFEST, DOCKER[0], DOCKER[1], ARTIFACT];
    let media_type = match declared.into_iter().find(|known| *known == links.media_type) {
        Some(known) => known,
        None if links.config.is_some() => manifest::MANIFEST,
        None if !links.manifests.is_empty() => manifest::INDEX,
        None => return None,
    };
    Some((media_type, links))
}

/// At most 100 characters of hostile text, without those that do things to a terminal.
pub(crate) fn clip(text: &str) -> String {
    shown(text, 100)
}

/// The start of hostile text for a message: control characters escaped.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
