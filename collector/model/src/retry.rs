//! How long to wait before something is tried again: the one back-off, and the one reading of `Retry-After`.
//!
//! Requests to registries, messages to receivers and gadgets that cannot start yet all wait by these rules, so they are
//! kept where none of them has to know another. Nothing here sleeps or reads a clock.
//!
//! Invariant: numbers that come from outside (headers, dates, statuses of a server) can ask for anything without an
//! overflow, and never make the wait shorter than it would be without them.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

/// How patiently something is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after the first failure; doubles with each further one.
    pub initial: Duration,
    /// The longest wait of our own choice.
    pub max: Duration,
    /// The longest wait that the other side may ask for.
    pub max_asked: Duration,
    /// No try begins later than this after the first one.
    pub max_elapsed: Duration,
    /// Tries in a row that fail, the first one included, before it is given up.
    pub max_attempts: u32,
}

impl RetryPolicy {
    /// Waits from `initial` to `max`, without end; five minutes may be asked for.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            max_asked: Duration::from_mins(5),
            max_elapsed: Duration::MAX,
            max_attempts: u32::MAX,
        }
    }
}

/// Exponential back-off with full jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    failures: u32,
    /// State of a small generator; jitter only has to differ between processes.
    random: u64,
}

impl Backoff {
    /// A back-off whose jitter differs from every other's.
    pub fn new(policy: RetryPolicy) -> Self {
        Self::seeded(policy, RandomState::new().hash_one(0))
    }

    /// A back-off with the same waits for the same seed, for tests.
    pub fn seeded(policy: RetryPolicy, seed: u64) -> Self {
        Self { policy, failures: 0, random: seed }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts anew, after a try that gained something.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next try, `elapsed` after the first one; `None` if there shall be none.
    ///
    /// Without `asked`, any time up to the current step (full jitter). What the other side asks for is a least wait; one
    /// beyond [`RetryPolicy::max_asked`] ends the tries.
    pub fn next(&mut self, asked: Option<Duration>, elapsed: Duration) -> Option<Duration> {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let asked = asked.unwrap_or_default();
        if self.failures >= self.policy.max_attempts || asked > self.policy.max_asked {
            return None;
        }
        let step = self.policy.initial.saturating_mul(1 << doublings).min(self.policy.max);
        let wait = self.fraction_of(step).max(asked);
        (elapsed.saturating_add(wait) <= self.policy.max_elapsed).then_some(wait)
    }

    fn fraction_of(&mut self, step: Duration) -> Duration {
        // splitmix64, which takes any seed.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // In integers: a float cannot multiply the longest durations without a panic.
        let nanos = step.as_nanos().min(u128::from(u64::MAX));
        let share = (nanos * u128::from(bits)) >> 64;
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// The wait that the value of a `Retry-After` header asks for; `None` if it is neither a number of seconds nor a date.
///
/// A date in the past asks for no wait.
///
/// # Source
/// RFC 9110, section 10.2.3.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to be counted is still a wish to wait.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Scenario: something fails again and again, with many seeds.
    /// Guarantees: waits stay within steps that double up to the bound, and use the whole of it.
    #[test]
    fn waits_double_within_their_jitter() {
        let mut longest = [NONE; 6];
        let mut shortest = [Duration::MAX; 6];
        for seed in 0..1000 {
            let mut backoff = Backoff::seeded(RetryPolicy::new(seconds(1), seconds(8)), seed);
            for (longest, shortest) in longest.iter_mut().zip(&mut shortest) {
                let wait = backoff.next(None, NONE).unwrap();
                *longest = (*longest).max(wait);
                *shortest = (*shortest).min(wait);
            }
            assert_eq!(backoff.failures(), 6);
        }
        for (step, (longest, shortest)) in
            [1, 2, 4, 8, 8, 8].into_iter().zip(longest.into_iter().zip(shortest))
        {
            assert!(
                longest <= seconds(step) && longest > seconds(step).mul_f64(0.95),
                "{longest:?} of {step}"
            );
            assert!(shortest < seconds(step).mul_f64(0.05), "{shortest:?} of {step}");
        }
    }

    /// Scenario: tries run out, then one gains something; time runs out.
    /// Guarantees: there is no wait after the last try, and none that ends after the time allowed.
    #[test]
    fn attempts_and_time_end() {
        let policy = RetryPolicy { max_attempts: 3, ..RetryPolicy::new(seconds(1), seconds(4)) };
        let mut backoff = Backoff::new(policy);
        assert!(backoff.next(None, NONE).is_some() && backoff.next(None, NONE).is_some());
        assert_eq!(backoff.next(None, NONE), None);
        backoff.reset();
        assert!(backoff.next(None, NONE).is_some());

        let policy = RetryPolicy { max_elapsed: seconds(60), ..RetryPolicy::new(seconds(1), seconds(8)) };
        let mut backoff = Backoff::new(policy);
        assert_eq!(backoff.next(Some(seconds(20)), seconds(40)), Some(seconds(20)));
        assert_eq!(backoff.next(Some(seconds(21)), seconds(40)), None);
        assert_eq!(backoff.next(Some(seconds(1)), seconds(60)), None);
    }

    /// Scenario: a server asks for waits: short ones, none, bearable ones and one beyond the limit.
    /// Guarantees: what it asks for is the least wait, kept to the letter; an unbearable wish ends the tries.
    #[test]
    fn asked_waits_are_kept_up_to_the_limit() {
        let policy = RetryPolicy { max_asked: seconds(60), ..RetryPolicy::new(seconds(1), seconds(8)) };
        let mut asked = Backoff::seeded(policy, 7);
        let mut own = Backoff::seeded(policy, 7);
        assert_eq!(asked.next(Some(NONE), NONE), own.next(None, NONE), "a server cannot make us hammer it");
        assert_eq!(asked.next(Some(seconds(60)), NONE), Some(seconds(60)));
        assert_eq!(asked.next(Some(seconds(61)), NONE), None);
        assert_eq!(asked.next(Some(Duration::MAX), Duration::MAX), None);
    }

    /// Scenario: `Retry-After` in seconds, as a date, in the past, negative, too large to count, and nonsense.
    /// Guarantees: the two forms of the standard are read, all else is as if nothing was asked.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + seconds(784_111_777);
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        for (value, expected) in [
            (" 7 ", Some(seconds(7))),
            ("0", Some(NONE)),
            ("3600", Some(seconds(3600))),
            ("18446744073709551615", Some(seconds(u64::MAX))),
            ("184467440737095516160", Some(seconds(u64::MAX))),
            (date, Some(seconds(10))),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
        assert_eq!(retry_after(date, now + seconds(60)), Some(NONE));
    }

    proptest! {
        /// Scenario: any policy, any wish, any time elapsed, for a hundred failures.
        /// Guarantees: no overflow; a wait is within the limits, and never shorter than what was asked for.
        #[test]
        fn any_number_is_survived(
            [initial, max, max_asked, max_elapsed, elapsed] in any::<[u64; 5]>(),
            asked in proptest::option::of(any::<(u64, u32)>()),
            seed: u64,
        ) {
            let policy = RetryPolicy {
                max_asked: seconds(max_asked),
                max_elapsed: seconds(max_elapsed),
                ..RetryPolicy::new(seconds(initial), seconds(max))
            };
            let asked = asked.map(|(secs, nanos)| Duration::new(secs, nanos % 1_000_000_000));
            let mut backoff = Backoff::seeded(policy, seed);
            for _ in 0..100 {
                if let Some(wait) = backoff.next(asked, seconds(elapsed)) {
                    prop_assert!(wait >= asked.unwrap_or_default());
                    prop_assert!(wait <= policy.max.max(policy.max_asked));
                    prop_assert!(seconds(elapsed).saturating_add(wait) <= policy.max_elapsed);
                }
            }
        }
    }
}
