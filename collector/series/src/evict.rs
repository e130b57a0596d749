//! Which row makes room when a table is full: the one idle the longest, if it is idle long enough.
//!
//! Keeping rows in order of use would cost a list move per event. Instead a full table is scanned when room is
//! first needed, the longest-idle rows are queued, and the queue feeds the evictions that follow. A scan that
//! found nothing is not repeated before some time has passed, and a scan that found more than the queue takes is
//! paid for by the evictions it feeds, so the cost per event is constant on average.

use std::collections::VecDeque;
use std::time::Duration;

use crate::store::tick;

/// Fewest rows queued by a scan; an eighth of the table if that is more.
const LEAST_QUEUE: usize = 256;
/// Ticks between two scans that find the table without stale rows: about a second.
const PAUSE: u32 = 16;

/// Chooses rows to evict.
#[derive(Debug, Default)]
pub(super) struct Evictor {
    stale: Option<u32>,
    /// Position and tick of last touch, longest idle first.
    queue: VecDeque<(usize, u32)>,
    /// No scan before this tick, unless the last one left rows behind.
    resume: Option<u32>,
    left_behind: bool,
}

impl Evictor {
    pub(super) fn new(stale_after: Option<Duration>) -> Self {
        // Ticks cut off at both ends: one more for the part of a tick, one more for the cut.
        Self { stale: stale_after.map(|stale| tick(stale).saturating_add(2)), ..Self::default() }
    }

    /// The stale time in ticks.
    pub(super) fn stale_ticks(&self) -> Option<u32> {
        self.stale
    }

    /// The position of the next row to evict. `touched` tells when the row at a position was last touched, `None`
    /// where there is no row or one that may not go yet.
    pub(super) fn next(
        &mut self,
        now: u32,
        positions: usize,
        touched: impl Fn(usize) -> Option<u32>,
    ) -> Option<usize> {
        let stale = self.stale?;
        loop {
            while let Some((position, seen)) = self.queue.pop_front() {
                // Touched or replaced since the scan: no longer the longest idle.
                if touched(position) == Some(seen) {
                    return Some(position);
                }
            }
            let may_scan = self.left_behind || self.resume.is_none_or(|resume| now >= resume);
            if !may_scan {
                return None;
            }
            self.scan(now, stale, positions, &touched);
            if self.queue.is_empty() {
                return None;
            }
        }
    }

    fn scan(&mut self, now: u32, stale: u32, positions: usize, touched: &impl Fn(usize) -> Option<u32>) {
        let mut found: Vec<(usize, u32)> = (1..positions)
            .filter_map(|position| Some((position, touched(position)?)))
            .filter(|(_, seen)| now.saturating_sub(*seen) >= stale)
            .collect();
        let most = (positions / 8).max(LEAST_QUEUE);
        self.left_behind = found.len() > most;
        if self.left_behind {
            found.select_nth_unstable_by_key(most, |(_, seen)| *seen);
            found.truncate(most);
        }
        found.sort_unstable_by_key(|(_, seen)| *seen);
        self.queue = found.into();
        self.resume = Some(now.saturating_add(PAUSE.max(stale / 16)));
    }
}
