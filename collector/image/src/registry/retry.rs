//! When a request to a registry is tried again.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use ig_model::RetryPolicy;

/// How often and how patiently a request is repeated.
pub(super) const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    max_asked: Duration::from_secs(60),
    ..RetryPolicy::new(Duration::from_millis(250), Duration::from_secs(8))
};

/// Whether a later try can have another outcome.
pub(super) fn is_worth_retrying(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The wait that an answer asks for.
pub(super) fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    ig_model::retry::retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}
