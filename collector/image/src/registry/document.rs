//! Indexes and manifests on their way in: bounded, checked against their digest, and unambiguous.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use oci_client::manifest::{IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE};

use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::{Call, Http, shown};
use super::token::Action;
use crate::Digest;
use crate::manifest::{Descriptor, INDEX, MANIFEST};
use crate::store::{Links, is_document};

/// The documents that are asked for; the last is what artefacts were called before OCI 1.1.
const ACCEPTED: [&str; 5] = [
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    MANIFEST,
    INDEX,
    "application/vnd.oci.artifact.manifest.v1+json",
];
/// Where registries say what they send.
const DIGEST_HEADER: &str = "docker-content-digest";

/// An index or manifest with what describes it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) descriptor: Descriptor,
    pub(super) digest: Digest,
    pub(super) content: Bytes,
    pub(super) links: Links,
}

impl Document {
    /// Understands `content`, which was announced as `media_type` or without one, and came from `from`.
    pub(super) fn of(content: Bytes, media_type: Option<&str>, from: &str) -> Result<Self, RegistryError> {
        let links: Links = serde_json::from_slice(&content)
            .map_err(|source| Fault::Json { url: from.to_owned(), source })?;
        let fault = |problem| Fault::Document { url: from.to_owned(), problem };
        if !links.manifests.is_empty() && links.config.is_some() {
            return Err(fault("it is an index and a manifest at once").into());
        }
        let own = Some(links.media_type.as_str()).filter(|own| !own.is_empty());
        let announced = media_type.filter(|announced| is_document(announced));
        let media_type = match (own, announced) {
            (Some(own), Some(announced)) if own != announced => {
                return Err(
                    fault("it calls itself another media type than the registry or its index does").into()
                );
            }
            (Some(own), _) if is_document(own) => own,
            (Some(_), _) => {
                return Err(fault("expected the media type of an index or manifest, got another").into());
            }
            (None, Some(announced)) => announced,
            (None, None) if links.config.is_some() => MANIFEST,
            (None, None) if !links.manifests.is_empty() => INDEX,
            (None, None) => return Err(fault("it is neither an index nor a manifest").into()),
        };
        let digest = Digest::of(&content);
        let descriptor = Descriptor::of(media_type, &content);
        Ok(Self { descriptor, digest, content, links })
    }
}

impl Http {
    /// Fetches the document that `name`, a tag or a digest, leads to.
    pub(super) async fn document(
        &self,
        repository: &Repository,
        name: &str,
        limit: u64,
    ) -> Result<Document, RegistryError> {
        let call = manifest_call(Method::GET, repository, name)?;
        let (headers, content) = self.fetch(&call, limit).await?;
        let url = shown(&call.url);
        let expected = match name.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(_a_tag) => announced_digest(&headers),
        };
        let actual = Digest::of(&content);
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(Fault::Content { url, expected, actual }.into());
        }
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Document::of(content, media_type.and_then(|text| text.split(';').next()).map(str::trim), &url)
    }

    /// The document behind `name`, or `None` if the registry has none.
    pub(super) async fn document_if_any(
        &self,
        repository: &Repository,
        name: &str,
        limit: u64,
    ) -> Result<Option<Document>, RegistryError> {
        absent_is_none(self.document(repository, name, limit).await)
    }

    /// The digest that `name` leads to now, without its content where the registry can tell.
    pub(super) async fn digest(
        &self,
        repository: &Repository,
        name: &str,
        limit: u64,
    ) -> Result<Digest, RegistryError> {
        let call = manifest_call(Method::HEAD, repository, name)?;
        let headers = self.headers(&call).await?;
        match announced_digest(&headers) {
            Some(digest) => Ok(digest),
            None => Ok(self.document(repository, name, limit).await?.digest),
        }
    }
}

/// Turns the answer "there is none" into `None`.
pub(super) fn absent_is_none<T>(result: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.fault() {
            Fault::Status { status, .. } if *status == StatusCode::NOT_FOUND => Ok(None),
            _ => Err(error),
        },
    }
}

fn manifest_call<'a>(
    method: Method,
    repository: &'a Repository,
    name: &str,
) -> Result<Call<'a>, RegistryError> {
    let url = repository.url(&format!("manifests/{name}"))?;
    let mut call = Call::new(method, url, repository, Action::Pull);
    let accepted = HeaderMap::from_iter(ACCEPTED.map(|kind| (ACCEPT, HeaderValue::from_static(kind))));
    call.headers = accepted;
    Ok(call)
}

fn announced_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST_HEADER)?.to_str().ok()?.parse().ok()
}
