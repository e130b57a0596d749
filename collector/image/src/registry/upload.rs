//! Blobs and documents on their way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use ig_model::Backoff;
use reqwest::{Body, Url};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::io::ReaderStream;

use super::blob::Wanted;
use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::{Call, Http, Payload, shown};
use super::progress::{Progress, TransferEvent};
use super::token::Action;
use crate::Digest;
use crate::store::Store;

/// Bytes read from disk at once.
const PIECE: usize = 128 << 10;
/// How often a transfer is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The header by which a registry says that it lists what refers to a subject.
const SUBJECT_HEADER: &str = "oci-subject";

impl Http {
    /// Sends a blob, unless the registry has it. Whether it was sent.
    pub(super) async fn send_blob(
        &self,
        target: &Repository,
        wanted: Wanted,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<bool, RegistryError> {
        let digest = wanted.digest;
        let url = target.url(&format!("blobs/{digest}"))?;
        let head = Call::new(Method::HEAD, url, target, Action::Push);
        if super::document::absent_is_none(self.headers(&head).await)?.is_some() {
            progress.step(TransferEvent::Present { digest });
            return Ok(false);
        }
        let mut retry = Backoff::new(self.patience.retry);
        loop {
            match self.upload(target, wanted, store, progress).await {
                Ok(()) => {
                    progress.step(TransferEvent::Finished { digest });
                    return Ok(true);
                }
                Err(error) => {
                    let reason = ig_model::chain(&error);
                    let wait = Self::wait_after(&mut retry, error)?;
                    progress.step(TransferEvent::Retrying { reason, wait });
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn upload(
        &self,
        target: &Repository,
        wanted: Wanted,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        let Wanted { digest, size } = wanted;
        let begin = Call::new(Method::POST, target.url("blobs/uploads/")?, target, Action::Push);
        let response = self.call(&begin).await?;
        let mut url = upload_url(target, response.url(), response.headers())?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());

        let file =
            store.open_blob(digest).map_err(|source| Fault::Blob { digest: digest.to_string(), source })?;
        let sent = Arc::new(AtomicU64::new(0));
        let open = || {
            let file = tokio::fs::File::from_std(file.try_clone()?);
            sent.store(0, Ordering::Relaxed);
            let counter = Arc::clone(&sent);
            let count = move |piece: std::io::Result<Bytes>| {
                let length = piece.as_ref().map_or(0, Bytes::len);
                // Only shown to people and compared with its own past.
                counter.fetch_add(length as u64, Ordering::Relaxed);
                piece
            };
            Ok(Body::wrap_stream(ReaderStream::with_capacity(file, PIECE).map(count)))
        };
        let rewound = || {
            use std::io::Seek as _;
            (&file).rewind()?;
            open()
        };
        let mut put = Call::new(Method::PUT, url, target, Action::Push);
        put.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        put.payload = Payload::Stream { size, open: &rewound };
        progress.step(TransferEvent::Started { digest, size, done: 0 });
        let watch = self.watch(&put.url, digest, size, &sent, progress);
        tokio::select! {
            result = self.call(&put) => result.map(drop),
            error = watch => Err(error),
        }
    }

    /// Tells of the progress of an upload; ends when there is none for too long.
    async fn watch(
        &self,
        url: &Url,
        digest: Digest,
        size: u64,
        sent: &AtomicU64,
        progress: &dyn Progress,
    ) -> RegistryError {
        let (mut before, mut since) = (0, Instant::now());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let now = sent.load(Ordering::Relaxed);
            if now != before {
                (before, since) = (now, Instant::now());
                progress.step(TransferEvent::Moved { digest, done: now.min(size) });
            } else if since.elapsed() > self.patience.idle {
                return self.stalled(url);
            }
        }
    }

    /// Sends an index or manifest. Whether the registry takes note of its subject by itself.
    pub(super) async fn send_document(
        &self,
        target: &Repository,
        name: &str,
        media_type: &str,
        content: Bytes,
    ) -> Result<bool, RegistryError> {
        let expected = Digest::of(&content);
        let url = target.url(&format!("manifests/{name}"))?;
        let mut call = Call::new(Method::PUT, url, target, Action::Push);
        let problem = "its media type cannot be sent";
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_invalid| Fault::Document { url: expected.to_string(), problem })?;
        call.headers.insert(CONTENT_TYPE, media_type);
        call.payload = Payload::Bytes(content);
        let headers = self.headers(&call).await?;
        let stored = headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(actual) = stored.filter(|stored| **stored != *expected.to_string()) {
            let actual = actual.chars().take(100).collect();
            return Err(Fault::Stored { host: target.host.clone(), expected, actual }.into());
        }
        Ok(headers.contains_key(SUBJECT_HEADER))
    }
}

/// Where the registry wants the upload: on itself, or not at all.
fn upload_url(target: &Repository, asked: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let refuse = |to: String, problem| Fault::Location { host: target.host.clone(), target: to, problem };
    let Some(url) = location.and_then(|location| asked.join(location).ok()) else {
        return Err(refuse(String::new(), "it is not an address").into());
    };
    if target.is_at(&url) { Ok(url) } else { Err(refuse(shown(&url), "it is on another server").into()) }
}

/// Reads a document of the store whole.
pub(super) fn stored(store: &Store, digest: Digest) -> Result<Bytes, RegistryError> {
    let read = store.read_blob(digest, store.limits().document);
    read.map(Bytes::from).map_err(|source| Fault::Blob { digest: digest.to_string(), source }.into())
}
