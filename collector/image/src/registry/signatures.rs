//! Signatures on their way in: every kind that exists, for whoever verifies to choose from.
//!
//! Three places are looked at: cosign's tag `sha256-<hex>.sig`, the registry's list of referrers, and the tag
//! `sha256-<hex>` that stands for that list where a registry has none. Failure of one hides none of the others.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, LINK};

use super::blob::blocking;
use super::document::{Document, absent_is_none};
use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::{Call, Http, shown};
use super::progress::Progress;
use super::pull::copy as copy_graph;
use super::token::Action;
use crate::manifest::{Descriptor, EMPTY, INDEX, Index};
use crate::store::Store;
use crate::trust::legacy_tag;
use crate::{Digest, Reference};

/// Artifact types that sign: cosign's, notation's, and the bundle of both worlds.
const SIGNING: [&str; 3] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];
/// The most signatures of one image that are looked at.
const MOST: usize = 100;
/// The most pages that a list of referrers may have.
const MOST_PAGES: usize = 20;

/// What refers to an image.
pub(super) enum Referrers {
    /// The registry keeps a list.
    Listed(Vec<Descriptor>),
    /// The registry keeps none; others keep one under a tag.
    Tagged(Box<Document>, Vec<Descriptor>),
    /// The registry keeps none, and nobody else does.
    None,
}

/// The tag under which referrers are listed where the registry does not.
pub(super) fn fallback_tag(digest: Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// Whether documents of this type sign something.
pub(super) fn is_signing(artifact_type: &str) -> bool {
    SIGNING.contains(&artifact_type)
}

/// Whether an entry of a list may be a signature: cosign 3 lists its bundles under the type of their empty config.
fn may_be_signing(artifact_type: &str) -> bool {
    is_signing(artifact_type) || artifact_type.is_empty() || artifact_type == EMPTY
}

/// Copies all signatures of `digest` into the store. Gives their number and what went wrong.
pub(super) async fn copy(
    http: &Http,
    reference: &Reference,
    source: &Repository,
    digest: Digest,
    store: &Store,
    progress: &dyn Progress,
) -> (usize, Vec<String>) {
    let mut warnings = Vec::new();
    let mut warn = |what: &str, error: &RegistryError| {
        let reason = ig_model::chain(error);
        warnings.push(format!("{what} of `{reference}` was not fetched: {reason}"));
    };
    let limit = store.limits().document;
    let mut count = 0;

    let tag = legacy_tag(digest);
    let legacy = async {
        let Some(document) = http.document_if_any(source, &tag, limit).await? else { return Ok(false) };
        bring(http, reference, source, document, Some(tag.clone()), store, progress).await?;
        Ok(true)
    };
    match legacy.await {
        Ok(found) => count += usize::from(found),
        Err(error) => warn("the signature under a tag", &error),
    }

    let referrers = match of(http, source, digest, limit).await {
        Ok(referrers) => referrers,
        Err(error) => {
            warn("the list of signatures", &error);
            return (count, warnings);
        }
    };
    let (list, index) = match referrers {
        Referrers::Listed(list) => (list, None),
        Referrers::Tagged(index, list) => (list, Some(index)),
        Referrers::None => return (count, warnings),
    };
    let signing: Vec<_> =
        list.iter().filter(|entry| may_be_signing(&entry.artifact_type)).take(MOST).collect();
    let mut brought = 0;
    for entry in &signing {
        let one = async {
            let document = http.document(source, &entry.digest, limit).await?;
            if !is_signing(document.links.artifact_type()) {
                return Ok(false);
            }
            bring(http, reference, source, document, None, store, progress).await?;
            Ok(true)
        };
        match one.await {
            Ok(signs) => brought += usize::from(signs),
            Err(error) => warn(&format!("signature `{}`", clip(&entry.digest)), &error),
        }
    }
    count += brought;
    // The list itself belongs to the image if it holds nothing else; other programs look for it.
    if let Some(index) = index.filter(|_| brought == list.len() && !list.is_empty()) {
        let tag = Some(fallback_tag(digest));
        if let Err(error) = bring(http, reference, source, *index, tag, store, progress).await {
            warn("the list of signatures", &error);
        }
    }
    (count, warnings)
}

/// Copies one document with all it leads to, and lists it.
async fn bring(
    http: &Http,
    reference: &Reference,
    source: &Repository,
    document: Document,
    tag: Option<String>,
    store: &Store,
    progress: &dyn Progress,
) -> Result<(), RegistryError> {
    let artifact_type = document.links.artifact_type().to_owned();
    let sources = std::slice::from_ref(source);
    let mut descriptor = copy_graph(http, reference, sources, document, store, progress).await?;
    descriptor.artifact_type = if tag.is_none() { artifact_type } else { String::new() };
    let listed = store.clone();
    blocking(move || listed.list_manifest(&descriptor, tag.as_deref())).await??;
    Ok(())
}

/// What refers to `digest`.
pub(super) async fn of(
    http: &Http,
    source: &Repository,
    digest: Digest,
    limit: u64,
) -> Result<Referrers, RegistryError> {
    if let Some(list) = listed(http, source, digest, limit).await? {
        return Ok(Referrers::Listed(list));
    }
    let Some(index) = http.document_if_any(source, &fallback_tag(digest), limit).await? else {
        return Ok(Referrers::None);
    };
    let list = index.links.manifests.clone();
    Ok(Referrers::Tagged(Box::new(index), list))
}

/// The registry's own list, page by page; `None` if it keeps none.
async fn listed(
    http: &Http,
    source: &Repository,
    digest: Digest,
    limit: u64,
) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let mut url = source.url(&format!("referrers/{digest}"))?;
    let mut list = Vec::new();
    for _ in 0..MOST_PAGES {
        let call = Call::new(Method::GET, url.clone(), source, Action::Pull);
        let Some((headers, content)) = absent_is_none(http.fetch(&call, limit).await)? else {
            return Ok(None);
        };
        let is_index = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some(INDEX));
        if !is_index {
            // A page that greets whoever asks for anything is not a list.
            return Ok(None);
        }
        list.extend(parse(&content, &shown(&url))?.manifests);
        let next = headers.get(LINK).and_then(|value| value.to_str().ok()).and_then(next_page);
        match next.and_then(|next| url.join(next).ok()).filter(|next| source.is_at(next)) {
            Some(next) if list.len() < MOST => url = next,
            _ => break,
        }
    }
    Ok(Some(list))
}

pub(super) fn parse(content: &Bytes, from: &str) -> Result<Index, RegistryError> {
    serde_json::from_slice(content).map_err(|source| Fault::Json { url: from.to_owned(), source }.into())
}

/// The address in `<...>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then_some(address)
}

fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}
