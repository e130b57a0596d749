//! How long to wait before a message is tried again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use super::settings::RetrySettings;

/// Exponential backoff with jitter for one message.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: RetrySettings,
    next: Duration,
    /// State of a small generator; jitter only has to differ between processes.
    random: u64,
}

impl Backoff {
    pub(super) fn new(settings: RetrySettings) -> Self {
        let random = RandomState::new().build_hasher().finish() | 1;
        Self { settings, next: settings.initial.min(settings.max), random }
    }

    /// The wait before the next attempt, `elapsed` after the first one; `None` if the message's time is up.
    ///
    /// A wait that the receiver asked for is kept in full; otherwise the wait is between half and all of the
    /// current step.
    pub(super) fn wait(&mut self, asked: Option<Duration>, elapsed: Duration) -> Option<Duration> {
        let step = self.next;
        self.next = (self.next * 2).min(self.settings.max);
        let wait = asked.unwrap_or_else(|| step / 2 + (step / 2).mul_f64(self.fraction()));
        (elapsed + wait <= self.settings.max_elapsed).then_some(wait)
    }

    /// A number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_jitter_and_end() {
        let seconds = Duration::from_secs;
        let settings = RetrySettings { initial: seconds(1), max: seconds(8), max_elapsed: seconds(60) };
        let mut backoff = Backoff::new(settings);
        for step in [1u64, 2, 4, 8, 8] {
            let wait = backoff.wait(None, seconds(0)).unwrap();
            assert!(wait >= seconds(step) / 2 && wait <= seconds(step), "{wait:?} in step {step}");
        }
        assert_eq!(backoff.wait(Some(seconds(20)), seconds(40)), Some(seconds(20)));
        assert_eq!(backoff.wait(Some(seconds(21)), seconds(40)), None);
        assert_eq!(backoff.wait(None, seconds(60)), None);
    }
}
