//! When to try again, and how long to wait before.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

/// How often and how patiently a request is repeated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Tries in a row that bring nothing, the first one included.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait of our own choice.
    pub longest: Duration,
    /// The longest wait that a registry may ask for.
    pub longest_asked: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(250),
            longest: Duration::from_secs(8),
            longest_asked: Duration::from_secs(60),
        }
    }
}

/// Counts the failures of one request.
#[derive(Debug)]
pub(super) struct Retry {
    policy: RetryPolicy,
    failures: u32,
}

impl Retry {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// Begins to count anew, after a try that brought something.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next try, or `None` if there shall be none. `asked` is what the registry wants.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= self.policy.longest_asked).then_some(asked);
        }
        let doubled = self.policy.first.saturating_mul(1 << (self.failures - 1).min(16));
        Some(half_random(doubled.min(self.policy.longest)))
    }
}

/// Between half of `wait` and all of it, so that many clients do not come back at the same moment.
fn half_random(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1024;
    wait / 2 + wait.mul_f64(random as f64 / 2048.0)
}

/// Whether a later try can have another outcome.
pub(super) fn is_worth_retrying(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After` in seconds or as a date.
pub(super) fn asked_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a request fails again and again.
    /// Guarantees: waits double within their jitter up to the bound, then there is none.
    #[test]
    fn waits_double_and_end() {
        let policy = RetryPolicy {
            attempts: 6,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(4),
            ..RetryPolicy::default()
        };
        let mut retry = Retry::new(policy);
        for whole in [1, 2, 4, 4, 4] {
            let wait = retry.next(None).unwrap();
            assert!(wait >= Duration::from_secs(whole) / 2 && wait <= Duration::from_secs(whole), "{wait:?}");
        }
        assert_eq!(retry.next(None), None);
        retry.reset();
        assert!(retry.next(None).is_some());
    }

    /// Scenario: the registry asks for a wait, in seconds, as a date, in the past, beyond reason, as nonsense.
    /// Guarantees: a bearable wait is kept to the letter; an unbearable one ends the tries.
    #[test]
    fn asked_waits_are_kept() {
        let headers = |text: &str| HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(asked_wait(&headers(" 7 "), now), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(asked_wait(&headers(date), now), Some(Duration::from_secs(10)));
        assert_eq!(asked_wait(&headers(date), now + Duration::from_secs(60)), Some(Duration::ZERO));
        assert_eq!(asked_wait(&headers("soon"), now), None);
        let mut retry = Retry::new(RetryPolicy::default());
        assert_eq!(retry.next(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retry.next(Some(Duration::from_secs(100_000))), None);
    }
}
