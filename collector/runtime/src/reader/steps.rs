//! Noticing that the wall clock was stepped.
//!
//! Records are stamped with time since boot, so what is shown of them depends on the distance between the two clocks. It
//! changes when somebody sets the wall clock, a machine gets its first answer from a time server, or wakes up with a
//! clock that went wrong; slewing changes both clocks alike.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use ig_model::BootClock;
use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tracing::{debug, warn};

use super::sys::{Descriptor, watch};

/// A timer on the wall clock, set to a time that does not come: the kernel cancels it when the clock is set.
///
/// # Source
/// timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`.
struct Steps(OwnedFd);

impl AsRawFd for Steps {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Descriptor for Steps {}

impl Steps {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let steps = Self(timerfd_create(TimerfdClockId::Realtime, flags)?);
        steps.arm()?;
        Ok(steps)
    }

    fn arm(&self) -> io::Result<()> {
        // The largest time that the kernel keeps as nanoseconds is in the year 2262.
        const NEVER: i64 = 9_000_000_000;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 } };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.0, flags, &timer) {
            // It was cancelled meanwhile, and is armed again.
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Follows the wall clock for as long as it is polled; it never ends.
pub(super) async fn follow() {
    if let Err(error) = try_follow().await {
        warn!(
            name: "clock.watch.failed", error = &error as &dyn std::error::Error,
            "records keep the wall time of now, should the clock be set"
        );
    }
    std::future::pending::<()>().await;
}

async fn try_follow() -> io::Result<()> {
    let steps = watch(Steps::new()?)?;
    loop {
        let mut ready = steps.readable().await?;
        // Armed before the clocks are read: a step in between is told again. Arming it forgets that it was cancelled.
        steps.get_ref().arm()?;
        ready.clear_ready();
        match BootClock::follow() {
            0 => debug!(name: "clock.set", "by less than what matters"),
            by => warn!(
                name: "clock.stepped", by_seconds = by as f64 / 1e9,
                "the wall clock was set; records and starts of series go by it from now on"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    /// Guarantees: the kernel takes the timer as it is set, again and again.
    #[test]
    fn the_timer_can_be_armed() {
        let steps = Steps::new().unwrap();
        steps.arm().unwrap();
    }
}
