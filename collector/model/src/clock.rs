//! The two clocks a record can speak of: time since boot, as eBPF programs stamp it, and wall time, as people
//! and back ends read it.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_BOOTTIME`, as `bpf_ktime_get_boot_ns` returns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KtimeNs(pub u64);

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNs(pub u64);

impl KtimeNs {
    /// Reads `CLOCK_BOOTTIME`.
    pub fn now() -> Self {
        Self(nanoseconds(clock_gettime(ClockId::Boottime)))
    }
}

impl UnixNs {
    /// Reads `CLOCK_REALTIME`.
    pub fn now() -> Self {
        Self(nanoseconds(clock_gettime(ClockId::Realtime)))
    }
}

/// Translates boot time into wall time by an offset measured once.
///
/// The offset stays fixed for the life of the value, so two records keep their order even if the wall clock is
/// stepped between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootClock {
    offset_ns: i128,
}

impl BootClock {
    /// Measures the offset between the two clocks now.
    pub fn measure() -> Self {
        Self { offset_ns: i128::from(UnixNs::now().0) - i128::from(KtimeNs::now().0) }
    }

    /// A clock with a known offset in nanoseconds, for tests and replays.
    pub fn with_offset(offset_ns: i64) -> Self {
        Self { offset_ns: i128::from(offset_ns) }
    }

    /// Wall time of a boot time; zero (a program that could not read the clock) means now.
    pub fn wall(self, at: KtimeNs) -> UnixNs {
        if at.0 == 0 {
            return UnixNs::now();
        }
        UnixNs(u64::try_from(i128::from(at.0) + self.offset_ns).unwrap_or(0))
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a record stamped one second after boot, on a machine booted at a known wall time.
    /// Guarantees: the offset is added exactly, and zero reads as the present.
    #[test]
    fn wall_time_is_boot_time_plus_offset() {
        let clock = BootClock::with_offset(1_700_000_000_000_000_000);
        assert_eq!(clock.wall(KtimeNs(1_000_000_000)), UnixNs(1_700_000_001_000_000_000));
        assert!(clock.wall(KtimeNs(0)) >= UnixNs(1_700_000_000_000_000_000));
    }
}
