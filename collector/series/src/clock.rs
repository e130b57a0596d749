//! Time as the store and the exporters see it: one moment per batch, passed in, so that tests can hold it still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC; what leaves the process.
    pub unix_nanos: u64,
    /// Monotonic time since some fixed point; what idleness is measured by.
    pub elapsed: Duration,
}

/// Where [`Moment`]s come from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Moment;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            unix_nanos: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
            elapsed: self.origin.elapsed(),
        }
    }
}

/// A clock that stands still until it is told to move; for tests and replays.
#[derive(Debug)]
pub struct ManualClock {
    origin_unix_nanos: u64,
    elapsed_nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `unix_nanos` and no monotonic time elapsed.
    pub fn new(unix_nanos: u64) -> Self {
        Self { origin_unix_nanos: unix_nanos, elapsed_nanos: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the value stands alone, nothing is published through it.
        self.elapsed_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        let elapsed = self.elapsed_nanos.load(Ordering::Relaxed);
        Moment {
            unix_nanos: self.origin_unix_nanos.saturating_add(elapsed),
            elapsed: Duration::from_nanos(elapsed),
        }
    }
}
