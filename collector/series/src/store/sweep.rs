//! Rows that nobody has touched for the stale time, and those whose subject has ended: they leave after their last
//! export. Gauges, whose last value says nothing once it is out of date, do not wait for it.

use crate::retire::{Extent, RetireReason};
use crate::store::Store;
use crate::store::records::{ALIAS, FREE, HIDDEN, LEAVING, order_of, tick_of};

impl Store {
    // ---- sweeps ----

    /// Retires rows that were idle for the stale time, and those that were only waiting for their last export. Walks
    /// all rows, but not before one of them can be due.
    pub(crate) fn sweep(&mut self) {
        let now = self.records.tick();
        if now < self.life.next_due {
            return;
        }
        let stale = self.life.stale_ticks();
        let taken = self.taken_before();
        let due_of = |seen: u32| stale.map_or(u32::MAX, |stale| seen.saturating_add(stale));
        let mut next_due = due_of(now);
        for position in 0..self.records.positions() {
            let Some(place) = self.records.place(position) else { break };
            let stamp = self.records.stamp_of(place);
            if stamp & (FREE | ALIAS) != 0 {
                continue;
            }
            let due = if stamp & LEAVING == 0 { due_of(tick_of(stamp)) } else { 0 };
            if due > now || !self.end_idle(place, stamp, taken) {
                next_due = next_due.min(due);
            }
        }
        self.life.next_due = next_due;
    }

    /// Retires an idle row, or its gauges alone; false if it has to be looked at again.
    fn end_idle(&mut self, place: u32, stamp: u64, taken: u64) -> bool {
        let leaving = stamp & LEAVING != 0;
        let stays = place == 0 || (self.is_known() && !leaving);
        if !stays && self.may_go(place, taken) {
            let reason = if leaving { RetireReason::Ended } else { RetireReason::Stale };
            self.retire(place, reason, None);
            return true;
        }
        if self.records.shape.has_gauges {
            self.hide_gauges(place, RetireReason::Stale);
        }
        stays
    }

    /// Whether the table has one row and no other, whose labels, none, were known from the start: it shows zero and
    /// waits for events.
    pub(super) fn is_known(&self) -> bool {
        self.records.key_len == 0 && !self.records.shape.gauges_only
    }

    /// Rows touched before this order have had their last export.
    pub(super) fn taken_before(&self) -> u64 {
        self.life.readers.taken_before(self.records.tick(), self.life.stale_ticks())
    }

    /// Whether nothing is lost to any exporter if the row ends now: its last values were taken, or nobody has taken any
    /// and the overflow series will hold them.
    pub(super) fn may_go(&self, place: u32, taken: u64) -> bool {
        self.records.shape.gauges_only
            || order_of(self.records.stamp_of(place)) < taken
            || !self.records.meta(place).is_read(self.life.readers.begun_before())
    }

    /// Ends a row whose subject has ended, or has it wait for its last export.
    pub(super) fn end(&mut self, place: u32) {
        if self.may_go(place, self.taken_before()) {
            self.retire(place, RetireReason::Ended, None);
        } else {
            self.records.set_stamp(place, self.records.stamp_of(place) | LEAVING);
            self.life.next_due = 0;
        }
    }

    // ---- gauges that are out of date ----

    /// Begins a reading of the whole source.
    pub(crate) fn begin_snapshot(&mut self) {
        self.records.next_snapshot();
    }

    /// Ends it: gauges of what was not touched since [`Self::begin_snapshot`] are no longer there.
    pub(crate) fn end_snapshot(&mut self) {
        if !self.records.shape.has_gauges {
            return;
        }
        for position in 0..self.records.positions() {
            let Some(place) = self.records.place(position) else { break };
            let stamp = self.records.stamp_of(place);
            if stamp & (FREE | ALIAS) != 0 || self.records.is_of_snapshot(stamp) {
                continue;
            }
            if self.records.shape.gauges_only && position != 0 {
                self.retire(place, RetireReason::Absent, None);
            } else {
                self.hide_gauges(place, RetireReason::Absent);
            }
        }
    }

    fn hide_gauges(&mut self, place: u32, reason: RetireReason) {
        let stamp = self.records.stamp_of(place);
        if stamp & HIDDEN != 0 {
            return;
        }
        if place != 0 || self.life.uses_overflow() {
            self.note(place, reason, Extent::Gauges, None);
        }
        self.records.set_stamp(place, stamp | HIDDEN);
    }
}
