//! Rows whose keys mean something else by now: label text that is corrected, and keys whose subject has ended.
//!
//! # Whose values they are
//! A row that one key has written to moves to its new text with all its values. What several keys have added to one
//! row cannot be told apart: the row and its values stay, the key whose text has changed leaves it, and what it counts
//! from now on goes to a row of its own.

use std::collections::HashSet;

use crate::hash::hash;
use crate::index::Index;
use crate::retire::{Extent, RetireReason, RowId};
use crate::store::Store;
use crate::store::keys::Keys;
use crate::store::meta::Meta;
use crate::store::records::{FREE, HIDDEN, LEAVING, order_of};

impl Store {
    /// Renders the label text of `key` anew; true if it has changed.
    pub(crate) fn invalidate(&mut self, key: &[u8]) -> bool {
        let tag = Index::tag(hash(key));
        let found = self.keys.index.find(tag, |place| self.records.has_key(place, key));
        found.is_some_and(|place| self.relabel(place, key))
    }

    /// Renders the label text of every key anew for which `matches` holds; returns how many have changed.
    pub(crate) fn invalidate_where(&mut self, mut matches: impl FnMut(&[u8]) -> bool) -> usize {
        let mut key = Vec::new();
        let mut changed = 0;
        for position in 1..self.records.positions() {
            if let Some(place) = self.key_at(position, &mut key)
                && matches(&key)
                && self.relabel(place, &key)
            {
                changed += 1;
            }
        }
        changed
    }

    /// Ends the rows of all keys for which `matches` holds, now or after their last export; returns how many. A row that other keys write to as well
    /// ends with the last of them.
    pub(crate) fn retire_where(&mut self, mut matches: impl FnMut(&[u8]) -> bool) -> usize {
        let mut key = Vec::new();
        let mut retired = 0;
        let mut left: HashSet<u32> = HashSet::new();
        for position in 1..self.records.positions() {
            let Some(place) = self.key_at(position, &mut key) else { continue };
            if !matches(&key) {
                continue;
            }
            if self.records.is_alias(place) {
                left.extend(Keys::target(place, &self.records));
                self.keys.forget_alias(place, &mut self.records);
            } else if self.records.meta(place).is_shared() {
                self.keys.forget(place, &mut self.records);
                left.insert(place);
            } else {
                self.end(place);
                retired += 1;
            }
        }
        retired + self.retire_keyless(left)
    }

    /// Ends those of `rows` that no key leads to; returns how many.
    fn retire_keyless(&mut self, mut rows: HashSet<u32>) -> usize {
        rows.retain(|row| !self.keys.holds(*row, &mut self.records));
        if rows.is_empty() {
            return 0;
        }
        for position in 1..self.records.positions() {
            if let Some(place) = self.records.place(position)
                && self.records.is_alias(place)
                && let Some(target) = Keys::target(place, &self.records)
            {
                rows.remove(&target);
            }
        }
        for row in &rows {
            self.end(*row);
        }
        rows.len()
    }

    /// The place at `position` if a key leads to it, with that key.
    fn key_at(&mut self, position: usize, key: &mut Vec<u8>) -> Option<u32> {
        let place = self.records.place(position)?;
        if self.records.stamp_of(place) & FREE != 0 || !self.keys.holds(place, &mut self.records) {
            return None;
        }
        self.records.copy_key(place, key);
        Some(place)
    }

    fn relabel(&mut self, place: u32, key: &[u8]) -> bool {
        let text = self.texts.render(key);
        let changed = self.relabel_as(place, key, &text);
        self.texts.put_away(text);
        changed
    }

    fn relabel_as(&mut self, place: u32, key: &[u8], text: &[u8]) -> bool {
        let is_alias = self.records.is_alias(place);
        let row = if is_alias { Keys::target(place, &self.records) } else { Some(place) };
        let known = row.map(|row| self.records.meta(row));
        if known.is_some_and(|meta| self.texts.shows(meta.text, text)) {
            return false;
        }
        if is_alias {
            self.keys.forget_alias(place, &mut self.records);
        } else if known.is_some_and(Meta::is_shared) {
            self.keys.forget(place, &mut self.records);
        } else {
            let tag = self.texts.tag(text);
            match self.texts.find(tag, text, &self.records) {
                Some(target) => self.merge(place, key, target),
                None => self.rename(place, tag, text),
            }
        }
        true
    }

    /// Adds a row to another that shows what it would; its key leads there from now on.
    fn merge(&mut self, place: u32, key: &[u8], target: u32) {
        let (from, to) = (self.records.stamp_of(place), self.records.stamp_of(target));
        let from_is_newer = order_of(from) > order_of(to);
        let takes_gauges = from & HIDDEN == 0 && (to & HIDDEN != 0 || from_is_newer);
        self.records.add_cells(place, target, takes_gauges);
        // Touched now: nobody has read the sum.
        self.records.set_stamp(target, self.records.stamp | from & to & (HIDDEN | LEAVING));
        let read = self.records.meta(place).is_read(self.life.readers.begun_before());
        if let Some(meta) = self.records.meta_mut(target)
            && read
        {
            meta.mark_read();
        }
        let successor =
            RowId { position: self.records.position(target), born: self.records.meta(target).born() };
        self.retire(place, RetireReason::Relabelled, Some(successor));
        self.keys.add_alias(key, hash(key), target, self.life.limits.rows, &mut self.records);
    }

    /// Gives a row another text: the end of one series and the start of another in the same place.
    fn rename(&mut self, place: u32, tag: u32, text: &[u8]) {
        // Without room for the text the row keeps the one it has.
        let Some(span) = self.texts.insert(tag, text, place) else { return };
        let old = self.records.meta(place);
        let mut new = Meta::of_row(span, old.start, self.life.take_born());
        if old.is_read(self.life.readers.begun_before()) {
            new.mark_read();
        }
        let successor = RowId { position: self.records.position(place), born: new.born() };
        self.note(place, RetireReason::Relabelled, Extent::Row, Some(successor));
        self.texts.remove(old.text, place);
        self.records.set_meta(place, new);
        // Touched now: nobody has read the values under this text.
        let flags = self.records.stamp_of(place) & (HIDDEN | LEAVING);
        self.records.set_stamp(place, self.records.stamp | flags);
        self.texts.compact(&mut self.records.meta);
    }
}
