//! When to look after the first of several events: once they stop, but not later than a second.

use std::time::{Duration, Instant};

/// How long events must stop.
const QUIET: Duration = Duration::from_millis(100);
/// How long they may go on.
const MOST: Duration = Duration::from_secs(1);

/// A series of events that goes on.
#[derive(Debug)]
pub(super) struct Debounce {
    first: Instant,
    last: Instant,
}

impl Debounce {
    pub(super) fn new(now: Instant) -> Self {
        Self { first: now, last: now }
    }

    /// Notes one more event.
    pub(super) fn touch(&mut self, now: Instant) {
        self.last = now;
    }

    /// When to look.
    pub(super) fn due(&self) -> Instant {
        (self.last + QUIET).min(self.first + MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::{Debounce, MOST, QUIET};
    use std::time::Instant;

    /// Scenario: events keep coming at less than the quiet time.
    /// Guarantees: the look is put off by each, and never past the limit.
    #[test]
    fn is_put_off_but_not_for_ever() {
        let start = Instant::now();
        let mut debounce = Debounce::new(start);
        assert_eq!(debounce.due(), start + QUIET);
        debounce.touch(start + QUIET / 2);
        assert_eq!(debounce.due(), start + QUIET / 2 + QUIET);
        debounce.touch(start + MOST);
        assert_eq!(debounce.due(), start + MOST);
    }
}
