//! Pages of a few lines: health, readiness.

use std::sync::Arc;

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

/// What a status page says to whoever asks with this query: whether all is well, and the text.
pub type StatusReport = Arc<dyn Fn(&str) -> (bool, String) + Send + Sync>;

/// A router that answers GET and HEAD on `path` with the report's text, 200 if all is well, else 503.
pub fn status_page(path: &str, report: StatusReport) -> Router {
    let handler = async move |RawQuery(query): RawQuery| {
        let (well, text) = report(query.as_deref().unwrap_or_default());
        let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text)
    };
    Router::new().route(path, get(handler))
}
