//! Images on their way out: blobs first, then the documents that lead to them, the name last.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::blob::{Wanted, blocking};
use super::document::Document;
use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::Http;
use super::progress::Progress;
use super::pull::{PARALLEL, remote_name, within};
use super::signatures::{self, fallback_tag, is_signing};
use super::{Registry, upload};
use crate::manifest::{Annotations, Descriptor, Index, to_json};
use crate::store::{ResolveError, Store, is_document};
use crate::trust::legacy_tag;
use crate::{Digest, Reference};

/// What is sent beside the image.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PushOptions {
    /// Also the signatures that are stored beside it. On unless turned off: an image that was verified here can then
    /// be verified where it goes.
    pub signatures: bool,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { signatures: true }
    }
}

/// An image that was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pushed {
    /// Digest of what the name leads to there.
    pub digest: Digest,
    /// Documents with signatures that were sent beside it.
    pub signatures: usize,
}

impl Registry {
    /// Copies an image from the store to its registry, with its signatures.
    ///
    /// # Errors
    /// [`RegistryError`] if the image is not stored whole, or cannot be sent whole; then its name there leads where it
    /// led before. If only a signature cannot be sent, the image is there and the error says so.
    pub async fn push(
        &self,
        reference: &Reference,
        store: &Store,
        options: PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed, RegistryError> {
        let target = Repository::origin(reference, |host| self.http.is_plain(host));
        let fault = |source| Fault::Push { reference: Box::new(reference.clone()), source };
        let found = (store.clone(), reference.clone());
        let image = blocking(move || found.0.resolve(&found.1)).await?.map_err(|source| match source {
            ResolveError::NotFound { .. } => {
                RegistryError::from(Fault::NotStored { reference: Box::new(reference.clone()), source })
            }
            other => other.into(),
        })?;
        let root = Descriptor {
            media_type: image.media_type,
            digest: image.digest.to_string(),
            size: image.size,
            ..Descriptor::default()
        };
        let digest = image.digest;
        let work = async {
            let name = remote_name(reference);
            send(&self.http, &target, root, Some(&name), store, progress).await?;
            let mut signatures = 0;
            if options.signatures {
                signatures = send_signatures(&self.http, &target, digest, store, progress).await?;
            }
            Ok(Pushed { digest, signatures })
        };
        within(self.http.patience.whole, work.boxed()).await.map_err(|source| fault(source).into())
    }
}

/// What an image in the store consists of; each document stands behind those it leads to.
struct Whole {
    documents: Vec<Document>,
    blobs: Vec<Wanted>,
}

/// Sends a document and all it leads to, under `name` or its digest. Whether the registry lists it by its subject.
async fn send(
    http: &Http,
    target: &Repository,
    root: Descriptor,
    name: Option<&str>,
    store: &Store,
    progress: &dyn Progress,
) -> Result<bool, RegistryError> {
    let read = store.clone();
    let whole = blocking(move || gather(&read, root)).await??;
    stream::iter(whole.blobs)
        .map(|wanted| http.send_blob(target, wanted, store, progress).boxed())
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<_>>()
        .await?;
    let last = whole.documents.len().saturating_sub(1);
    let mut listed = false;
    for (at, document) in whole.documents.into_iter().enumerate() {
        let own = document.digest.to_string();
        let name = name.filter(|_| at == last).unwrap_or(&own);
        listed = http.send_document(target, name, &document.descriptor.media_type, document.content).await?;
    }
    Ok(listed)
}

/// Reads the documents of an image, children first.
fn gather(store: &Store, root: Descriptor) -> Result<Whole, RegistryError> {
    let mut whole = Whole { documents: Vec::new(), blobs: Vec::new() };
    let mut seen = BTreeMap::new();
    let mut todo = vec![Step::Enter(Box::new(root))];
    while let Some(step) = todo.pop() {
        let descriptor = match step {
            Step::Enter(descriptor) => descriptor,
            Step::Leave(document) => {
                whole.documents.push(*document);
                continue;
            }
        };
        let digest: Digest = descriptor.digest.parse().map_err(|_same| Fault::Document {
            url: descriptor.digest.chars().take(100).collect(),
            problem: "it is not a digest",
        })?;
        if seen.insert(digest, descriptor.size).is_some() {
            continue;
        }
        if seen.len() > store.limits().count {
            let problem = "it leads to too many blobs";
            return Err(Fault::Document { url: digest.to_string(), problem }.into());
        }
        if !is_document(&descriptor.media_type) {
            whole.blobs.push(Wanted { digest, size: descriptor.size });
            continue;
        }
        let content = upload::stored(store, digest)?;
        let document = Document::of(content, Some(&descriptor.media_type), &descriptor.digest)?;
        let children: Vec<_> = document.links.children().cloned().map(Box::new).map(Step::Enter).collect();
        todo.push(Step::Leave(Box::new(document)));
        todo.extend(children);
    }
    Ok(whole)
}

/// A step of a walk that visits children before their parents.
enum Step {
    Enter(Box<Descriptor>),
    Leave(Box<Document>),
}

/// Sends what signs `digest`. Gives the number of documents.
async fn send_signatures(
    http: &Http,
    target: &Repository,
    digest: Digest,
    store: &Store,
    progress: &dyn Progress,
) -> Result<usize, RegistryError> {
    let tag = legacy_tag(digest);
    let (read, name) = (store.clone(), tag.clone());
    let (legacy, referrers) =
        blocking(move || Ok::<_, RegistryError>((read.resolve_tag(&name)?, read.referrers(digest)?)))
            .await??;
    let mut count = 0;
    if let Some(descriptor) = legacy {
        send(http, target, descriptor, Some(&tag), store, progress).await?;
        count += 1;
    }
    let mut unlisted = Vec::new();
    for referrer in referrers.into_iter().filter(|referrer| is_signing(&referrer.artifact_type)) {
        if !send(http, target, referrer.clone(), None, store, progress).await? {
            unlisted.push(referrer);
        }
        count += 1;
    }
    if !unlisted.is_empty() {
        list(http, target, digest, unlisted, store.limits().document).await?;
    }
    Ok(count)
}

/// Adds signatures to the list of referrers that a tag leads to, for a registry that keeps no list by itself.
async fn list(
    http: &Http,
    target: &Repository,
    digest: Digest,
    added: Vec<Descriptor>,
    limit: u64,
) -> Result<(), RegistryError> {
    let tag = fallback_tag(digest);
    let mut index = match http.document_if_any(target, &tag, limit).await? {
        Some(found) => signatures::parse(&found.content, &tag)?,
        None => Index::of(Vec::new(), Annotations::new()),
    };
    let before = index.manifests.len();
    for entry in added {
        if !index.manifests.iter().any(|known| known.digest == entry.digest) {
            index.manifests.push(entry);
        }
    }
    if index.manifests.len() == before {
        return Ok(());
    }
    let content = to_json(&index).map_err(|source| Fault::Json { url: tag.clone(), source })?;
    http.send_document(target, &tag, crate::manifest::INDEX, Bytes::from(content)).await?;
    Ok(())
}
