//! What is said about a receiver: that it fails, once a minute at most, and that it has recovered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::source::Service;
use super::stats::{DropReason, SharedStats};

/// Between two log lines about a receiver that stays away.
const LOG_PAUSE: Duration = Duration::from_mins(1);

/// Says that a receiver fails, once a minute at most, and that it has recovered.
#[derive(Clone, Debug)]
pub(super) struct FailureLog {
    exporter: Arc<str>,
    endpoint: Arc<str>,
    state: Arc<Mutex<LogState>>,
}

#[derive(Debug, Default)]
struct LogState {
    last: Option<Instant>,
    failing: bool,
    unsaid: u64,
}

impl FailureLog {
    pub(super) fn new(exporter: &str, endpoint: &str) -> Self {
        Self { exporter: exporter.into(), endpoint: endpoint.into(), state: Arc::default() }
    }

    /// Whether to speak now; how many times it was silent if so.
    fn due(&self, failing: bool) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = failing && !state.failing;
        state.failing |= failing;
        if !changed && state.last.is_some_and(|last| last.elapsed() < LOG_PAUSE) {
            state.unsaid += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.unsaid))
    }

    /// Notes a failed attempt.
    pub(super) fn failed(&self, stats: &SharedStats, error: &str) {
        {
            let mut stats = stats.lock();
            stats.failed_attempts += 1;
            stats.last_error = Some(error.to_owned());
        }
        if let Some(unsaid) = self.due(true) {
            warn!(
                name: "otlp.export.failed",
                exporter = &*self.exporter,
                endpoint = &*self.endpoint,
                error,
                unsaid,
                hint = "is the receiver listening there, with this protocol and TLS setting?",
            );
        }
    }

    /// Says that a message was given up.
    pub(super) fn dropped(&self, service: Service, reason: DropReason, items: u64) {
        if let Some(unsaid) = self.due(true) {
            warn!(
                name: "otlp.batch.dropped",
                exporter = &*self.exporter,
                endpoint = &*self.endpoint,
                signal = service.signal,
                reason = reason.as_str(),
                items,
                unsaid,
            );
        }
    }

    /// Notes an accepted message, and says what its receiver rejected of it.
    pub(super) fn accepted(&self, service: Service, rejected: u64, message: &str) {
        if rejected > 0 {
            if let Some(unsaid) = self.due(false) {
                warn!(
                    name: "otlp.items.rejected",
                    exporter = &*self.exporter,
                    endpoint = &*self.endpoint,
                    signal = service.signal,
                    rejected,
                    receiver_says = message,
                    unsaid,
                );
            }
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.failing) {
            info!(name: "otlp.export.recovered", exporter = &*self.exporter, endpoint = &*self.endpoint);
        }
    }
}
