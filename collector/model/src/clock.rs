//! The two clocks a record can speak of: time since boot, as eBPF programs stamp it, and wall time, as people
//! and back ends read it.
//!
//! Time since boot is the kernel's. A process in a time namespace reads a clock of its own, days before or behind it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

const SECOND: i64 = 1_000_000_000;
/// A difference of less is how exactly two clocks can be read, not a step.
const LEAST_STEP_NS: i64 = 1_000_000;

/// Nanoseconds since boot, as `bpf_ktime_get_boot_ns` returns them in every time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KtimeNs(pub u64);

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNs(pub u64);

impl KtimeNs {
    /// The time now: `CLOCK_BOOTTIME` without what the time namespace of this process adds.
    pub fn now() -> Self {
        Self::of_own(nanoseconds(clock_gettime(ClockId::Boottime)))
    }

    /// A time since boot as this process is told it, by its clocks or procfs.
    pub fn of_own(nanoseconds: u64) -> Self {
        Self(nanoseconds.saturating_add_signed(own_offset().saturating_neg()))
    }
}

impl UnixNs {
    /// Reads `CLOCK_REALTIME`.
    pub fn now() -> Self {
        Self(nanoseconds(clock_gettime(ClockId::Realtime)))
    }
}

/// Translates boot time into wall time.
///
/// The machine's offset between the two is measured once and kept until the wall clock is stepped
/// ([`BootClock::follow`]): between two steps records keep their order and distance exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootClock(Offset);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    Machine,
    Fixed(i64),
}

/// What is added to time since boot on this machine.
static MACHINE: LazyLock<Measured> = LazyLock::new(|| Measured(AtomicI64::new(measure())));

impl BootClock {
    /// The clocks of this machine.
    pub fn measure() -> Self {
        LazyLock::force(&MACHINE);
        Self(Offset::Machine)
    }

    /// A clock with a known offset in nanoseconds, for tests and replays.
    pub fn with_offset(offset_ns: i64) -> Self {
        Self(Offset::Fixed(offset_ns))
    }

    /// Measures the machine's offset anew, for whoever was told that the wall clock was set; every clock of this machine
    /// goes by it from then on. Answers by how many nanoseconds the wall clock was stepped, 0 for none.
    pub fn follow() -> i64 {
        MACHINE.follow(measure())
    }

    /// Nanoseconds between boot and 1970, which is what time since boot lacks to be wall time.
    pub fn offset_ns(self) -> i64 {
        match self.0 {
            // Relaxed: the value stands alone, nothing is published through it.
            Offset::Machine => MACHINE.0.load(Ordering::Relaxed),
            Offset::Fixed(offset) => offset,
        }
    }

    /// Wall time of a boot time; zero (a program that could not read the clock) means now.
    pub fn wall(self, at: KtimeNs) -> UnixNs {
        if at.0 == 0 {
            return UnixNs::now();
        }
        UnixNs(at.0.saturating_add_signed(self.offset_ns()))
    }
}

/// An offset that moves when the wall clock is stepped.
struct Measured(AtomicI64);

impl Measured {
    /// Takes over a new measurement if it is further off than two readings differ; answers by how much.
    fn follow(&self, new: i64) -> i64 {
        // Relaxed: as for reading.
        let step = new.saturating_sub(self.0.load(Ordering::Relaxed));
        if step.saturating_abs() < LEAST_STEP_NS {
            return 0;
        }
        self.0.store(new, Ordering::Relaxed);
        step
    }
}

/// The offset between the clocks now: of some tries the one in which nothing came between the readings.
fn measure() -> i64 {
    const TRIES: usize = 5;
    let once = || {
        let (before, wall, after) = (KtimeNs::now().0, UnixNs::now().0, KtimeNs::now().0);
        let took = after.saturating_sub(before);
        let between = before.saturating_add(took / 2);
        let offset = i128::from(wall) - i128::from(between);
        (took, i64::try_from(offset).unwrap_or(0))
    };
    (0..TRIES).map(|_| once()).min_by_key(|(took, _)| *took).map_or(0, |(_, offset)| offset)
}

/// What the time namespace of this process adds to time since boot. Nobody changes the namespace of a running process.
fn own_offset() -> i64 {
    static OWN: LazyLock<i64> = LazyLock::new(|| {
        // Before Linux 5.6 there are no time namespaces.
        let text = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        boottime_offset(&text).unwrap_or(0)
    });
    *OWN
}

/// Nanoseconds of the line `boottime <seconds> <nanoseconds>`.
///
/// # Source
/// time_namespaces(7).
fn boottime_offset(text: &str) -> Option<i64> {
    let mut words = text.lines().find_map(|line| line.strip_prefix("boottime"))?.split_ascii_whitespace();
    let mut next = || words.next()?.parse::<i64>().ok();
    next()?.checked_mul(SECOND)?.checked_add(next()?)
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

    /// Scenario: an offset is measured again with what two readings differ by, then after a step of a day.
    /// Guarantees: the first moves nothing, so that starts of series stay the same; the second moves all by the step.
    #[test]
    fn only_a_step_moves_the_offset() {
        let day = 86_400 * SECOND;
        let measured = Measured(AtomicI64::new(day));
        assert_eq!(measured.follow(day + LEAST_STEP_NS - 1), 0);
        assert_eq!(measured.0.load(Ordering::Relaxed), day);
        assert_eq!(measured.follow(0), -day);
        assert_eq!(measured.0.load(Ordering::Relaxed), 0);
        // Offsets that no machine has.
        assert_eq!(measured.follow(i64::MIN), i64::MIN);
    }

    /// Scenario: the offsets of a time namespace as the kernel writes them, negative ones, and texts of other forms.
    /// Guarantees: the line of the boot clock is read to the nanosecond, and nothing else is taken for it.
    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        let text = "monotonic           0         0\nboottime      172800 500000000\n";
        assert_eq!(boottime_offset(text), Some(172_800 * SECOND + SECOND / 2));
        assert_eq!(boottime_offset("boottime -1 999999999\n"), Some(-1));
        for other in ["", "boottime\n", "boottime x 0\n", "boottime 9223372036854775807 0\n"] {
            assert_eq!(boottime_offset(other), None, "{other}");
        }
    }
}
