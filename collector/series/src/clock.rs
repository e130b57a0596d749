//! Time as the store and the exporters see it: one moment per batch, passed in, so that tests can hold it still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ig_model::{BootClock, KtimeNs};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC, as a wall clock tells them that is never set: two moments keep
    /// their order and distance. What leaves the process goes through [`Clock::shown`].
    pub unix_nanos: u64,
    /// Monotonic time since some fixed point; what idleness is measured by.
    pub elapsed: Duration,
}

/// Where [`Moment`]s come from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Moment;

    /// How far the wall clock has been set since this clock was made, nanoseconds.
    fn shift(&self) -> i64 {
        0
    }

    /// [`Moment::unix_nanos`] as the wall clock has it now: all moments move together when that is set.
    fn shown(&self, unix_nanos: u64) -> u64 {
        unix_nanos.saturating_add_signed(self.shift())
    }
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    boot: BootClock,
    /// What time since boot lacked to be wall time when this clock was made.
    offset_ns: i64,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        let boot = BootClock::measure();
        Self { origin: Instant::now(), boot, offset_ns: boot.offset_ns() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            unix_nanos: KtimeNs::now().0.saturating_add_signed(self.offset_ns),
            elapsed: self.origin.elapsed(),
        }
    }

    fn shift(&self) -> i64 {
        self.boot.offset_ns().saturating_sub(self.offset_ns)
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ig_model::{BootClock, UnixNs};

    use super::{Clock as _, SystemClock};

    /// Scenario: a series starts, the wall clock is set back by a day, and the series is read.
    /// Guarantees: start and end move by the step together, so that no start is later than its end.
    #[test]
    fn starts_and_ends_move_together() {
        let day = 86_400_000_000_000_i64;
        let before = BootClock::measure().offset_ns();
        let clock = |offset| SystemClock {
            origin: Instant::now(),
            boot: BootClock::with_offset(offset),
            offset_ns: before,
        };
        let start = clock(before).now().unix_nanos;
        let stepped = clock(before - day);
        let end = stepped.now().unix_nanos;
        assert!(start <= end);
        assert_eq!(stepped.shown(start), start - day.unsigned_abs());
        assert!(stepped.shown(start) <= stepped.shown(end));
        assert_eq!(clock(before).shown(start), start);
    }

    /// Guarantees: as long as nobody sets it, the clock shows wall time.
    #[test]
    fn an_undisturbed_clock_shows_wall_time() {
        let clock = SystemClock::new();
        let shown = clock.shown(clock.now().unix_nanos);
        assert!(UnixNs::now().0.abs_diff(shown) < 60_000_000_000);
    }
}
