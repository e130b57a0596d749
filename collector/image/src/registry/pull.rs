//! Images on their way in: the documents first, then the blobs they lead to, the name last.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::blob::{Wanted, blocking};
use super::document::Document;
use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::Http;
use super::progress::{Progress, TransferEvent};
use super::{Registry, signatures};
use crate::manifest::Descriptor;
use crate::store::{Limits, Store, StoreError, is_document};
use crate::{Digest, Reference};

/// Requests at one time.
pub(super) const PARALLEL: usize = 3;
/// Levels of documents below the first one; real images have one.
const DEEPEST: u64 = 8;

/// What is fetched beside the image.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PullOptions {
    /// Also its signatures, all kinds of them.
    pub signatures: bool,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self { signatures: true }
    }
}

/// An image that was fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pulled {
    /// Digest of what the name leads to.
    pub digest: Digest,
    /// Documents with signatures that are stored beside it now.
    pub signatures: usize,
    /// What failed without harm to the image.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Copies an image, all architectures of it, into the store under its full name. Its signatures come after; if
    /// they cannot be fetched, that is a warning.
    ///
    /// # Errors
    /// [`RegistryError`] if the image cannot be fetched whole; then its name leads where it led before. What was
    /// stored of it stays for another try.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was stored, as an error does.
    pub async fn pull(
        &self,
        reference: &Reference,
        store: &Store,
        options: PullOptions,
        progress: &dyn Progress,
    ) -> Result<Pulled, RegistryError> {
        let sources = self.sources(reference);
        let image = async {
            match self.copy_image(reference, &sources, store, progress).await {
                // Another process may have collected what nothing led to yet.
                Err(error) if matches!(error.fault(), Fault::Store(StoreError::Incomplete { .. })) => {
                    self.copy_image(reference, &sources, store, progress).await
                }
                result => result,
            }
        };
        let (source, digest) = within(self.http.patience.whole, image.boxed()).await?;
        let mut pulled = Pulled { digest, signatures: 0, warnings: Vec::new() };
        if options.signatures {
            // Where the name was found first; a mirror may keep images without their signatures.
            let mut sources = sources;
            if let Some(at) = sources.iter().position(|other| other.to_string() == source.to_string()) {
                sources.get_mut(..=at).unwrap_or_default().rotate_right(1);
            }
            pulled.warnings = match self.signatures(reference, &sources, digest, store, progress).await {
                Ok((count, warnings)) => {
                    pulled.signatures = count;
                    warnings
                }
                Err(error) => {
                    let reason = ig_model::chain(&error);
                    vec![format!("signatures of `{reference}` were not fetched: {reason}")]
                }
            };
            for text in &pulled.warnings {
                progress.step(TransferEvent::Warning { text: text.clone() });
            }
        }
        Ok(pulled)
    }

    /// Copies the signatures of an image that is stored already; how many there are and what failed.
    ///
    /// # Errors
    /// [`RegistryError`] if it took too long.
    pub async fn pull_signatures(
        &self,
        reference: &Reference,
        digest: Digest,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(usize, Vec<String>), RegistryError> {
        self.signatures(reference, &self.sources(reference), digest, store, progress).await
    }

    /// Copies the signatures that the first source with any has.
    async fn signatures(
        &self,
        reference: &Reference,
        sources: &[Repository],
        digest: Digest,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(usize, Vec<String>), RegistryError> {
        let work = async {
            let mut warnings = Vec::new();
            for source in sources {
                let (count, failures) =
                    signatures::copy(&self.http, reference, source, digest, store, progress).await;
                warnings.extend(failures);
                if count > 0 {
                    return Ok((count, warnings));
                }
            }
            Ok((0, warnings))
        };
        within(self.http.patience.signatures, work.boxed()).await
    }

    async fn copy_image(
        &self,
        reference: &Reference,
        sources: &[Repository],
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(Repository, Digest), RegistryError> {
        let name = remote_name(reference);
        let limit = store.limits().document;
        let (at, root) =
            from_first(reference, sources, |source| self.http.document(source, &name, limit).boxed()).await?;
        // What is asked by digest may come from anywhere; the one that had the name is asked first.
        let mut sources = sources.to_vec();
        sources.get_mut(..=at).unwrap_or_default().rotate_right(1);
        let digest = root.digest;
        let descriptor = copy(&self.http, reference, &sources, root, store, progress).await?;
        let (listed, tag) = (store.clone(), reference.to_string());
        blocking(move || listed.list_manifest(&descriptor, Some(&tag))).await??;
        let source = sources.into_iter().next().ok_or(Fault::Cancelled)?;
        Ok((source, digest))
    }
}

/// The name by which a registry knows the image: a digest counts more than a tag.
pub(super) fn remote_name(reference: &Reference) -> String {
    let digest = reference.digest().map(|digest| digest.to_string());
    digest.or_else(|| reference.tag().map(str::to_owned)).unwrap_or_default()
}

/// The answer of the first source that has one, and which it was.
pub(super) async fn from_first<'a, T>(
    reference: &Reference,
    sources: &'a [Repository],
    ask: impl Fn(&'a Repository) -> BoxFuture<'a, Result<T, RegistryError>>,
) -> Result<(usize, T), RegistryError> {
    let mut failed = Vec::new();
    let mut last = RegistryError::from(Fault::Cancelled);
    for (at, source) in sources.iter().enumerate() {
        match ask(source).await {
            Ok(answer) => return Ok((at, answer)),
            Err(error) => {
                if at + 1 < sources.len() {
                    let (mirror, reason) = (source.to_string(), ig_model::chain(&error));
                    tracing::info!(name: "registry.mirror.failed", mirror, reason);
                }
                failed.push(format!("`{}`", source.host));
                last = error;
            }
        }
    }
    let reference = Box::new(reference.clone());
    Err(Fault::Fetch { reference, from: failed.join(", "), source: last }.into())
}

/// Brings a document and all it leads to into the store, without a name yet.
pub(super) async fn copy(
    http: &Http,
    reference: &Reference,
    sources: &[Repository],
    root: Document,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Descriptor, RegistryError> {
    let descriptor = root.descriptor.clone();
    let mut graph = Graph::new(reference, store.limits().clone());
    let mut level = vec![root];
    for _ in 0..=DEEPEST {
        let mut wanted = Vec::new();
        for document in level {
            wanted.extend(graph.add(document)?);
        }
        if wanted.is_empty() {
            graph.store(http, sources, store, progress).await?;
            return Ok(descriptor);
        }
        level = stream::iter(wanted)
            .map(|child| fetch_child(http, sources, store, child).boxed())
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
    }
    Err(graph.fault("has too many levels of indexes", DEEPEST))
}

/// The document that another one describes: from the store if it is there, else from the first source that has it.
async fn fetch_child(
    http: &Http,
    sources: &[Repository],
    store: &Store,
    (digest, descriptor): (Digest, Descriptor),
) -> Result<Document, RegistryError> {
    let (known, limit) = (store.clone(), store.limits().document);
    let stored = blocking(move || known.read_blob(digest, limit)).await?;
    if let Ok(content) = stored {
        return Document::of(content.into(), Some(&descriptor.media_type), &descriptor.digest);
    }
    let mut last = RegistryError::from(Fault::Cancelled);
    for source in sources {
        match http.document(source, &descriptor.digest, limit).await {
            Ok(found) => {
                return Document::of(found.content, Some(&descriptor.media_type), &descriptor.digest);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What an image consists of, as far as it is known.
struct Graph<'a> {
    reference: &'a Reference,
    limits: Limits,
    seen: BTreeMap<Digest, u64>,
    total: u64,
    documents: Vec<(String, Bytes)>,
    blobs: Vec<Wanted>,
    /// Blobs that came inside their descriptors.
    inline: Vec<Vec<u8>>,
}

impl<'a> Graph<'a> {
    fn new(reference: &'a Reference, limits: Limits) -> Self {
        Self {
            reference,
            limits,
            seen: BTreeMap::new(),
            total: 0,
            documents: Vec::new(),
            blobs: Vec::new(),
            inline: Vec::new(),
        }
    }

    /// Takes note of a document; gives the documents it leads to.
    fn add(&mut self, document: Document) -> Result<Vec<(Digest, Descriptor)>, RegistryError> {
        self.seen.insert(document.digest, document.descriptor.size);
        let mut wanted = Vec::new();
        for child in document.links.children() {
            let digest: Digest = child.digest.parse().map_err(|source| Fault::Descriptor {
                reference: Box::new(self.reference.clone()),
                source,
            })?;
            match self.seen.insert(digest, child.size) {
                Some(size) if size != child.size => {
                    let problem = "it describes a blob with a size that differs from another one's";
                    return Err(Fault::Document { url: document.descriptor.digest.clone(), problem }.into());
                }
                Some(_) => continue,
                None => {}
            }
            if self.seen.len() > self.limits.count {
                return Err(self.fault("leads to too many blobs", self.limits.count as u64));
            }
            let is_document = is_document(&child.media_type);
            let limit = if is_document { self.limits.document } else { self.limits.blob };
            if child.size > limit {
                let reference = Box::new(self.reference.clone());
                return Err(Fault::BlobTooLarge { reference, digest, size: child.size, limit }.into());
            }
            self.total = self.total.saturating_add(child.size);
            if self.total > self.limits.total {
                return Err(self.fault("has more bytes in all its blobs", self.limits.total));
            }
            if is_document {
                wanted.push((digest, child.clone()));
            } else if let Some(content) = inline(child, digest) {
                self.inline.push(content);
            } else {
                self.blobs.push(Wanted { digest, size: child.size });
            }
        }
        self.documents.push((document.descriptor.media_type, document.content));
        Ok(wanted)
    }

    /// Stores the blobs, then the documents that lead to them.
    async fn store(
        self,
        http: &Http,
        sources: &[Repository],
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        stream::iter(self.blobs)
            .map(|wanted| http.blob(sources, wanted, store, progress).boxed())
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<_>>()
            .await?;
        let store = store.clone();
        blocking(move || {
            for content in &self.inline {
                store.put_blob("", content)?;
            }
            for (media_type, content) in &self.documents {
                store.put_blob(media_type, content)?;
            }
            Ok::<_, StoreError>(())
        })
        .await??;
        Ok(())
    }

    fn fault(&self, problem: &'static str, limit: u64) -> RegistryError {
        Fault::Graph { reference: Box::new(self.reference.clone()), problem, limit }.into()
    }
}

/// The blob itself, where the descriptor carries it and the digest agrees.
fn inline(descriptor: &Descriptor, digest: Digest) -> Option<Vec<u8>> {
    let content = STANDARD.decode(descriptor.data.as_deref()?).ok()?;
    (Digest::of(&content) == digest).then_some(content)
}

/// Ends with an error when the time is up.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    match timeout_at(Instant::now() + limit, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Fault::TookTooLong { limit }.into()),
    }
}
