//! One blob on its way in: streamed to disk, hashed on the way, gone on with where a try broke off.

use bytes::Bytes;
use http::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use ig_model::Backoff;
use reqwest::Response;
use tokio::task::{JoinHandle, spawn_blocking};

use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::{Call, Http, shown};
use super::progress::{Progress, TransferEvent};
use super::token::Action;
use crate::Digest;
use crate::store::{BlobWriter, IngestError, Store};

/// Bytes that are gathered before they are hashed and written, which happens beside the network.
const BATCH: usize = 512 << 10;
/// Bytes that make a try count as successful, so that a long transfer may break off often.
const WORTHWHILE: u64 = 256 << 10;

/// A blob to be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Http {
    /// Brings a blob into the store, from the first source that has it. Whether anything was fetched.
    pub(super) async fn blob(
        &self,
        sources: &[Repository],
        wanted: Wanted,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<bool, RegistryError> {
        let digest = wanted.digest;
        let known = store.clone();
        if blocking(move || known.has_blob(digest)).await?? {
            progress.step(TransferEvent::Present { digest });
            return Ok(false);
        }
        let mut last = RegistryError::from(Fault::Cancelled);
        for source in sources {
            match self.blob_from(source, wanted, store, progress).await {
                Ok(()) => {
                    progress.step(TransferEvent::Finished { digest });
                    return Ok(true);
                }
                Err(error)
                    if matches!(error.fault(), Fault::Store(_) | Fault::Ingest(IngestError::Store(_))) =>
                {
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn blob_from(
        &self,
        source: &Repository,
        wanted: Wanted,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        let Wanted { digest, size } = wanted;
        let mut retry = Backoff::new(self.patience.retry);
        let mut fresh = false;
        loop {
            let opened = store.clone();
            let writer = blocking(move || {
                let mut writer = opened.blob_writer(digest, size)?;
                if fresh {
                    writer.restart()?;
                }
                Ok::<_, IngestError>(writer)
            })
            .await??;
            let start = writer.offset();
            let (mut writer, result) = self.try_blob(source, wanted, writer, progress).await?;
            // Whoever delivered too much has delivered something else; none of it is worth going on from.
            if let Err(error) = &result
                && matches!(error.fault(), Fault::Ingest(IngestError::TooLong { .. }))
            {
                writer.restart()?;
            }
            let gained = writer.offset().saturating_sub(start);
            let result = match result {
                Ok(()) => blocking(move || writer.commit()).await?.map_err(RegistryError::from),
                Err(error) => {
                    drop(writer);
                    Err(error)
                }
            };
            let Err(error) = result else { return Ok(()) };
            // What an earlier try left may be what is wrong.
            if start > 0 && !fresh && matches!(error.fault(), Fault::Ingest(IngestError::Content { .. })) {
                fresh = true;
                continue;
            }
            fresh = false;
            if gained >= WORTHWHILE {
                retry.reset();
            }
            let reason = ig_model::chain(&error);
            let wait = Self::wait_after(&mut retry, error)?;
            progress.step(TransferEvent::Retrying { reason, wait });
            tokio::time::sleep(wait).await;
        }
    }

    /// Fetches as much as comes; gives the writer back whatever happens to the network.
    async fn try_blob(
        &self,
        source: &Repository,
        wanted: Wanted,
        writer: BlobWriter,
        progress: &dyn Progress,
    ) -> Result<(BlobWriter, Result<(), RegistryError>), RegistryError> {
        let Wanted { digest, size } = wanted;
        if writer.offset() == size {
            return Ok((writer, Ok(())));
        }
        let mut writer = writer;
        let mut response = match self.ask_blob(source, wanted, writer.offset()).await {
            Ok((response, true)) => response,
            Ok((response, false)) => {
                writer.restart()?;
                response
            }
            Err(error) => return Ok((writer, Err(error))),
        };
        let url = shown(response.url());
        progress.step(TransferEvent::Started { digest, size, done: writer.offset() });
        let mut done = writer.offset();
        let mut sink = Sink::new(writer);
        let end = loop {
            match self.chunk(&mut response).await {
                Ok(Some(bytes)) => {
                    done += bytes.len() as u64;
                    progress.step(TransferEvent::Moved { digest, done: done.min(size) });
                    if let Some(error) = sink.take(bytes, done >= size).await? {
                        break Err(error.into());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (writer, written) = sink.finish().await?;
        let result = end.and(written.map_err(RegistryError::from)).and_then(|()| {
            let actual = writer.offset();
            if actual == size { Ok(()) } else { Err(Fault::Truncated { url, expected: size, actual }.into()) }
        });
        Ok((writer, result))
    }

    /// Asks for the blob from `offset` on; `false` if the registry sends it from the beginning.
    async fn ask_blob(
        &self,
        source: &Repository,
        wanted: Wanted,
        offset: u64,
    ) -> Result<(Response, bool), RegistryError> {
        let url = source.url(&format!("blobs/{}", wanted.digest))?;
        let mut call = Call::new(Method::GET, url, source, Action::Pull);
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            call.headers = HeaderMap::from_iter(range.ok().map(|range| (RANGE, range)));
        }
        let response = match self.call(&call).await {
            Err(error) if offset > 0 && is_unsatisfiable(&error) => {
                call.headers.clear();
                self.call(&call).await?
            }
            result => result?,
        };
        let url = shown(response.url());
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        let begins = if goes_on { range_start(response.headers()) } else { Some(0) };
        if begins != Some(if goes_on { offset } else { 0 }) {
            return Err(
                Fault::Document { url, problem: "it sent another range than the one asked for" }.into()
            );
        }
        let expected = wanted.size - if goes_on { offset } else { 0 };
        match response.content_length() {
            Some(actual) if actual != expected => Err(Fault::Length { url, expected, actual }.into()),
            _ => Ok((response, goes_on || offset == 0)),
        }
    }
}

fn is_unsatisfiable(error: &RegistryError) -> bool {
    matches!(error.fault(), Fault::Status { status, .. } if *status == StatusCode::RANGE_NOT_SATISFIABLE)
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    text.split_once('-')?.0.trim().parse().ok()
}

type Written = (BlobWriter, Result<(), IngestError>);

/// Hashes and writes one batch while the next one comes in.
struct Sink {
    /// The writer, at rest or at work.
    writer: Option<BlobWriter>,
    working: Option<JoinHandle<Written>>,
    batch: Vec<Bytes>,
    gathered: usize,
}

impl Sink {
    fn new(writer: BlobWriter) -> Self {
        Self { writer: Some(writer), working: None, batch: Vec::new(), gathered: 0 }
    }

    /// Takes a piece; `now` if it is worth no waiting for more. Gives what went wrong with an earlier one.
    async fn take(&mut self, bytes: Bytes, now: bool) -> Result<Option<IngestError>, RegistryError> {
        self.gathered += bytes.len();
        self.batch.push(bytes);
        if self.gathered < BATCH && !now {
            return Ok(None);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<Option<IngestError>, RegistryError> {
        let error = self.rest().await?;
        if error.is_none()
            && let Some(mut writer) = self.writer.take()
        {
            let batch = std::mem::take(&mut self.batch);
            self.gathered = 0;
            self.working = Some(spawn_blocking(move || {
                let result = batch.iter().try_for_each(|bytes| writer.write(bytes));
                (writer, result)
            }));
        }
        Ok(error)
    }

    /// Waits for the batch at work.
    async fn rest(&mut self) -> Result<Option<IngestError>, RegistryError> {
        let Some(working) = self.working.take() else { return Ok(None) };
        let (writer, result) = working.await.map_err(|_panic_or_shutdown| Fault::Cancelled)?;
        self.writer = Some(writer);
        Ok(result.err())
    }

    /// Writes what is left and gives the writer back.
    async fn finish(mut self) -> Result<Written, RegistryError> {
        let mut error = self.flush().await?;
        if let Some(last) = self.rest().await? {
            error = error.or(Some(last));
        }
        let writer = self.writer.take().ok_or(Fault::Cancelled)?;
        Ok((writer, error.map_or(Ok(()), Err)))
    }
}

/// Runs what waits for the disk beside the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RegistryError> {
    spawn_blocking(work).await.map_err(|_panic_or_shutdown| Fault::Cancelled.into())
}
