//! One receiver as all signals share it: how it is reached, how patiently, and when it wants to be left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ig_model::{Backoff, RetryPolicy};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::FailureLog;
use super::source::Service;
use super::stats::{DropReason, SharedStats};
use super::transport::{Answer, Transport};

/// How the delivery of one message ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Accepted {
        rejected: u64,
        message: String,
    },
    /// It may arrive in smaller ones.
    TooLarge,
    Dropped(DropReason),
}

/// A receiver; clones are the same one.
#[derive(Clone)]
pub(super) struct Connection<T> {
    transport: T,
    timeout: Duration,
    policy: RetryPolicy,
    pub(super) log: FailureLog,
    /// Nothing is sent before.
    pause: Arc<Mutex<Instant>>,
}

impl<T: Transport> Connection<T> {
    pub(super) fn new(transport: T, timeout: Duration, policy: RetryPolicy, log: FailureLog) -> Self {
        Self { transport, timeout, policy, log, pause: Arc::new(Mutex::new(Instant::now())) }
    }

    /// How long one attempt may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Delivers one message, attempt after attempt. `hurry` ends the wait under way, but no wait the receiver asked for.
    pub(super) async fn deliver(
        self,
        service: Service,
        message: Bytes,
        stats: SharedStats,
        hurry: CancellationToken,
    ) -> Delivery {
        self.pause().await;
        let began = Instant::now();
        // Spent in pauses that the receiver asked for: it has not failed to take the message in that time.
        let mut paused = Duration::ZERO;
        let mut backoff = Backoff::new(self.policy);
        loop {
            let (asked, error) = match self.attempt(service, message.clone()).await {
                Answer::Accepted { rejected, message } => return Delivery::Accepted { rejected, message },
                Answer::TooLarge { error } => {
                    self.log.failed(&stats, &error);
                    return Delivery::TooLarge;
                }
                Answer::Refused { error } => {
                    self.log.failed(&stats, &error);
                    return Delivery::Dropped(DropReason::Refused);
                }
                Answer::Retry { after, error } => (after, error),
            };
            self.log.failed(&stats, &error);
            let Some(wait) = backoff.next(None, began.elapsed().saturating_sub(paused)) else {
                return Delivery::Dropped(DropReason::RetriesExhausted);
            };
            if let Some(asked) = asked {
                paused = paused.saturating_add(self.leave_alone(asked));
            }
            let hurried = hurry.is_cancelled();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Only the wait that was under way is cut: later ones still spare a receiver that is down.
                () = hurry.cancelled(), if !hurried => {}
            }
            self.pause().await;
        }
    }

    async fn attempt(&self, service: Service, message: Bytes) -> Answer {
        match tokio::time::timeout(self.timeout, self.transport.send(service, message)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let error = format!("no answer within {} ms", self.timeout.as_millis());
                Answer::Retry { after: None, error }
            }
        }
    }

    /// Sends nothing for as long as the receiver asked for, within the limit. This outlives the message that met with
    /// the wish: whatever would be sent next is covered by it too. Returns how long that is.
    fn leave_alone(&self, asked: Duration) -> Duration {
        let now = Instant::now();
        let asked = asked.min(self.policy.max_asked);
        let Some(until) = now.checked_add(asked) else { return Duration::ZERO };
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = (*pause).max(until);
        asked
    }

    async fn pause(&self) {
        loop {
            let until = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
            if until <= Instant::now() {
                return;
            }
            // Another signal may have been asked for a longer one meanwhile.
            tokio::time::sleep_until(until).await;
        }
    }
}
