//! What became of connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was refused or closed, other than by its peer or at the end of its last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The limit of all connections was reached, and none of them could be closed.
    Full,
    /// The limit of its source was reached, and none of them could be closed.
    SourceFull,
    /// It had kept us waiting longest when another needed its place.
    MadeRoom,
    /// The handler gave it up, for instance because a reader was too slow.
    GivenUp,
    /// The handshake failed.
    Handshake,
    /// The head of a request did not come in time, or the handshake took too long.
    HeadTimeout,
    /// No further request came in time.
    IdleTimeout,
    /// The reader took nothing for too long.
    Stalled,
    /// A request took too long as a whole.
    RequestTimeout,
    /// What it sent was no HTTP, or a head beyond the limit.
    BadRequest,
    /// The handler panicked.
    Panicked,
    /// It was still open when the time to finish was over.
    Shutdown,
}

impl Ending {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Full,
        Self::SourceFull,
        Self::MadeRoom,
        Self::GivenUp,
        Self::Handshake,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::Stalled,
        Self::RequestTimeout,
        Self::BadRequest,
        Self::Panicked,
        Self::Shutdown,
    ];

    /// The value of a `reason` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SourceFull => "source_full",
            Self::MadeRoom => "made_room",
            Self::GivenUp => "given_up",
            Self::Handshake => "handshake",
            Self::HeadTimeout => "head_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Stalled => "stalled",
            Self::RequestTimeout => "request_timeout",
            Self::BadRequest => "bad_request",
            Self::Panicked => "panicked",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Counts of one server since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub open: u64,
    /// Connections accepted, refused ones included.
    pub accepted: u64,
    /// Times that accepting failed, for want of descriptors for instance.
    pub accept_failures: u64,
    /// Requests answered by the router.
    pub requests: u64,
    ended: [u64; Ending::ALL.len()],
}

impl Stats {
    /// Connections that ended for this reason.
    pub fn ended(&self, ending: Ending) -> u64 {
        self.ended.get(ending as usize).copied().unwrap_or(0)
    }
}

impl std::ops::Add for Stats {
    type Output = Self;

    /// The counts of two servers together.
    fn add(mut self, other: Self) -> Self {
        for (sum, other) in self.ended.iter_mut().zip(other.ended) {
            *sum = sum.saturating_add(other);
        }
        Self {
            open: self.open.saturating_add(other.open),
            accepted: self.accepted.saturating_add(other.accepted),
            accept_failures: self.accept_failures.saturating_add(other.accept_failures),
            requests: self.requests.saturating_add(other.requests),
            ended: self.ended,
        }
    }
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) requests: AtomicU64,
    ended: [AtomicU64; Ending::ALL.len()],
}

// Relaxed throughout: each number stands alone, nothing is published through it.
impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, ending: Ending) {
        if let Some(counter) = self.ended.get(ending as usize) {
            Self::count(counter);
        }
    }

    pub(crate) fn read(&self, open: usize) -> Stats {
        let mut ended = [0; Ending::ALL.len()];
        for (read, counter) in ended.iter_mut().zip(&self.ended) {
            *read = counter.load(Ordering::Relaxed);
        }
        Stats {
            open: open as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            accept_failures: self.accept_failures.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: each reason is counted once.
    /// Guarantees: every reason has a counter and a name of its own.
    #[test]
    fn reasons_are_told_apart() {
        let counters = Counters::default();
        for ending in Ending::ALL {
            counters.ended(ending);
        }
        let stats = counters.read(0);
        assert!(Ending::ALL.iter().all(|ending| stats.ended(*ending) == 1));
        let both = stats + stats;
        assert!(Ending::ALL.iter().all(|ending| both.ended(*ending) == 2));
        let mut names: Vec<&str> = Ending::ALL.iter().map(|ending| ending.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Ending::ALL.len());
    }
}
