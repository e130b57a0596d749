//! `/metrics`: pages of all series, written as their readers take them.
//!
//! The caller decides what happens before a page (draining the ring-buffer readers) and serves the router with
//! [`ig_http::Server`]. A page goes out in frames, so a scrape needs the memory of one frame whatever the number of
//! series, and the number of pages that are written at once is limited. A reader that lets its page wait loses its place
//! to the next that asks.

mod body;
mod slots;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ig_http::ConnectionHandle;
use tracing::warn;

use crate::prometheus::{Encoding, PageSource, negotiate_encoding, negotiate_format};
use body::PageBody;
use slots::Slots;

/// What is awaited before a page is written, so that it shows what has happened up to now.
pub type BeforeScrape = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How scrapes are served.
#[derive(Clone)]
pub struct ScrapeSettings {
    /// Awaited before each page.
    pub before_scrape: Option<BeforeScrape>,
    /// How long that may take; the page is written without it past this.
    pub before_scrape_timeout: Duration,
    /// Pages being written at once; a scrape beyond waits for a place.
    pub concurrency: usize,
    /// How long a scrape waits for a place before it is answered with 503.
    pub wait: Duration,
    /// How long a reader may let its page wait before its place is given to a scrape that has none.
    pub reader_patience: Duration,
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self {
            before_scrape: None,
            before_scrape_timeout: Duration::from_secs(1),
            concurrency: 4,
            wait: Duration::from_secs(5),
            reader_patience: Duration::from_secs(2),
        }
    }
}

/// The `/metrics` endpoint. Cheap to clone; clones are the same endpoint.
#[derive(Clone)]
pub struct Scrapes {
    inner: Arc<Inner>,
}

struct Inner {
    source: RwLock<PageSource>,
    settings: ScrapeSettings,
    slots: Arc<Slots>,
}

impl Scrapes {
    /// An endpoint that shows `source`.
    pub fn new(source: PageSource, settings: ScrapeSettings) -> Self {
        let slots = Arc::new(Slots::new(settings.concurrency, settings.reader_patience));
        Self { inner: Arc::new(Inner { source: RwLock::new(source), settings, slots }) }
    }

    /// Shows another source from the next page on.
    pub fn set_source(&self, source: PageSource) {
        *self.inner.source.write().unwrap_or_else(PoisonError::into_inner) = source;
    }

    /// A router that answers GET and HEAD on `path`, to be served by [`ig_http::Server`].
    pub fn router(&self, path: &str) -> Router {
        Router::new().route(path, get(scrape)).with_state(self.clone())
    }
}

impl std::fmt::Debug for Scrapes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrapes").finish_non_exhaustive()
    }
}

async fn scrape(
    State(scrapes): State<Scrapes>,
    Extension(connection): Extension<ConnectionHandle>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let inner = &scrapes.inner;
    let exposition = negotiate_format(joined(&headers, &ACCEPT).as_deref());
    let encoding = negotiate_encoding(joined(&headers, &ACCEPT_ENCODING).as_deref());
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(exposition.content_type()));
    answer.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if encoding == Encoding::Gzip {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if method == Method::HEAD {
        return response;
    }
    let Ok(lease) = tokio::time::timeout(inner.settings.wait, inner.slots.take(connection)).await else {
        let text = "too many scrapes at once\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response();
    };
    if let Some(before) = &inner.settings.before_scrape
        && tokio::time::timeout(inner.settings.before_scrape_timeout, before()).await.is_err()
    {
        warn!(
            name: "scrape.drain.late",
            timeout_ms = inner.settings.before_scrape_timeout.as_millis(),
            "events since the last timer are missing from this page"
        );
    }
    let page = inner.source.read().unwrap_or_else(PoisonError::into_inner).page(exposition);
    *response.body_mut() = Body::new(PageBody::new(page, encoding, lease));
    response
}

/// All values of a header as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}
