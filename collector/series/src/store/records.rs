//! The records of one table in one flat vector, and what is known of each beside it.
//!
//! # Shape
//! A record is `stride` words: the stamp, the key padded with zeros to whole words, the cells. One record is therefore
//! one or two cache lines, and a known row costs two misses at worst. Its *place* is the index of its first word, its
//! *position* the number of records before it.
//!
//! # Invariants
//! - Record zero is the overflow row; it is in no index.
//! - A stamp holds the tick of the last touch (low 32 bits), the snapshot it was touched in (16 bits), flags (4 bits) and
//!   how many walks of exporters had begun within that tick (12 bits). A touch writes the stamp anew and so clears the
//!   flags. Tick and walks together are the *order* of a touch: it tells exactly which walks came after.
//! - There is one [`Meta`] a record. A record keeps its place for life; freed ones are used again.

use std::sync::Arc;

use crate::arena::reserve_gently;
use crate::hash::{hash, padded};
use crate::index::Index;
use crate::shape::{Instrument, Shape};
use crate::spec::NumberKind;
use crate::store::Row;
use crate::store::meta::Meta;

/// The record is on the free list.
pub(crate) const FREE: u64 = 1 << 48;
/// The record only leads another key to the row in its first cell.
pub(crate) const ALIAS: u64 = 1 << 49;
/// The gauges of the row are out of date and not shown.
pub(crate) const HIDDEN: u64 = 1 << 50;
/// What the row stands for has ended; it goes after its last export.
pub(crate) const LEAVING: u64 = 1 << 51;

/// The snapshot's bits of a stamp.
const SNAPSHOT: u64 = 0xffff << 32;
/// Where the walks stand in a stamp, above everything else.
const WALKS_SHIFT: u32 = 52;
/// Bits of the walks.
const WALKS_BITS: u32 = 12;

/// Where an instrument's first cell lies.
#[derive(Clone, Copy, Debug)]
struct Column {
    offset: usize,
    number: NumberKind,
    /// It has no other cell.
    single: bool,
}

/// The records of one table.
pub(super) struct Records {
    pub(super) shape: Arc<Shape>,
    /// Copied out of the shape, one hop nearer to every lookup.
    pub(super) key_len: usize,
    key_words: usize,
    columns: Box<[Column]>,
    /// The current stamp: tick, snapshot and walks, no flags.
    pub(super) stamp: u64,
    words: Vec<u64>,
    pub(super) meta: Vec<Meta>,
    free: Vec<u32>,
    scratch_key: Vec<u8>,
}

impl Records {
    pub(super) fn new(shape: Arc<Shape>) -> Self {
        let columns = shape
            .instruments
            .iter()
            .map(|instrument| Column {
                offset: instrument.offset,
                number: instrument.number,
                single: instrument.width() == 1,
            })
            .collect();
        Self {
            key_len: shape.key_len,
            key_words: shape.key_words,
            columns,
            stamp: 0,
            words: vec![0; shape.stride],
            meta: vec![Meta::default()],
            free: Vec::new(),
            scratch_key: Vec::new(),
            shape,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
            + self.meta.capacity() * size_of::<Meta>()
            + self.free.capacity() * size_of::<u32>()
    }

    // ---- places ----

    /// Records, free ones and the overflow row included.
    pub(super) fn positions(&self) -> usize {
        self.meta.len()
    }

    pub(super) fn position(&self, place: u32) -> usize {
        place as usize / self.shape.stride
    }

    pub(super) fn place(&self, position: usize) -> Option<u32> {
        u32::try_from(position * self.shape.stride).ok()
    }

    pub(super) fn meta(&self, place: u32) -> Meta {
        self.meta.get(self.position(place)).copied().unwrap_or_default()
    }

    pub(super) fn set_meta(&mut self, place: u32, meta: Meta) {
        if let Some(slot) = self.meta_mut(place) {
            *slot = meta;
        }
    }

    pub(super) fn meta_mut(&mut self, place: u32) -> Option<&mut Meta> {
        let position = self.position(place);
        self.meta.get_mut(position)
    }

    /// The whole record at `position`.
    #[inline]
    pub(super) fn record(&self, position: usize) -> Option<&[u64]> {
        let stride = self.shape.stride;
        self.words.get(position * stride..(position + 1) * stride)
    }

    /// A zeroed record holding `key`, touched; `None` past 2^32 words.
    pub(super) fn allocate(&mut self, key: &[u8]) -> Option<u32> {
        let place = if let Some(place) = self.free.pop() {
            place
        } else {
            let place = u32::try_from(self.words.len()).ok()?;
            reserve_gently(&mut self.words, self.shape.stride);
            self.words.resize(self.words.len() + self.shape.stride, 0);
            reserve_gently(&mut self.meta, 1);
            self.meta.push(Meta::default());
            place
        };
        let from = place as usize;
        let record = self.words.get_mut(from..from + self.shape.stride)?;
        record.fill(0);
        let (stamp, rest) = record.split_first_mut()?;
        *stamp = self.stamp;
        for (word, bytes) in rest.iter_mut().zip(key.chunks(8)) {
            *word = padded(bytes);
        }
        Some(place)
    }

    pub(super) fn give_back(&mut self, place: u32) {
        self.set_stamp(place, FREE);
        self.set_meta(place, Meta::default());
        self.free.push(place);
    }

    // ---- stamps ----

    /// The first word of a record.
    #[inline]
    pub(super) fn word(&self, place: u32) -> u64 {
        self.words.get(place as usize).copied().unwrap_or(0)
    }

    pub(super) fn stamp_of(&self, place: u32) -> u64 {
        self.words.get(place as usize).copied().unwrap_or(FREE)
    }

    pub(super) fn set_stamp(&mut self, place: u32, stamp: u64) {
        if let Some(word) = self.words.get_mut(place as usize) {
            *word = stamp;
        }
    }

    /// Marks as touched now.
    pub(super) fn touch(&mut self, place: u32) {
        self.set_stamp(place, self.stamp);
    }

    /// Marks a row as touched now; false if the record is an alias or free.
    #[inline]
    pub(super) fn touch_row(&mut self, place: u32) -> bool {
        match self.words.get_mut(place as usize) {
            Some(stamp) if *stamp & (ALIAS | FREE) == 0 => {
                *stamp = self.stamp;
                true
            }
            _ => false,
        }
    }

    pub(super) fn tick(&self) -> u32 {
        tick_of(self.stamp)
    }

    /// Moves the time of touches on; it never goes back.
    pub(super) fn set_tick(&mut self, tick: u32) {
        if tick > self.tick() {
            self.stamp = self.stamp & SNAPSHOT | u64::from(tick);
        }
    }

    /// Begins another snapshot.
    pub(super) fn next_snapshot(&mut self) {
        self.stamp = self.stamp & !SNAPSHOT | (self.stamp & SNAPSHOT).wrapping_add(1 << 32) & SNAPSHOT;
    }

    /// Whether a stamp was written in the current snapshot.
    pub(super) fn is_of_snapshot(&self, stamp: u64) -> bool {
        (stamp ^ self.stamp) & SNAPSHOT == 0
    }

    /// Begins another walk: touches from now on have an order not less than the one returned, earlier ones a lesser one.
    /// Past 4095 walks within a tick, touches of that tick pass for later ones.
    pub(super) fn next_walk(&mut self) -> u64 {
        self.stamp = self.stamp.checked_add(1 << WALKS_SHIFT).unwrap_or(self.stamp);
        order_of(self.stamp)
    }

    /// Whether `place` holds a series (not free, no alias, not the overflow row).
    pub(super) fn is_row(&self, place: u32) -> bool {
        place != 0 && self.stamp_of(place) & (FREE | ALIAS) == 0
    }

    pub(super) fn is_alias(&self, place: u32) -> bool {
        self.stamp_of(place) & ALIAS != 0
    }

    // ---- keys ----

    #[inline]
    pub(super) fn has_key(&self, place: u32, key: &[u8]) -> bool {
        let from = place as usize + 1;
        let Some(words) = self.words.get(from..from + self.key_words) else { return false };
        let (whole, tail) = key.as_chunks::<8>();
        let mut differing = 0;
        for (word, bytes) in words.iter().zip(whole) {
            differing |= word ^ u64::from_ne_bytes(*bytes);
        }
        if !tail.is_empty() {
            differing |= words.last().copied().unwrap_or(0) ^ padded(tail);
        }
        differing == 0
    }

    /// Copies the key of a record to `out`.
    pub(super) fn copy_key(&self, place: u32, out: &mut Vec<u8>) {
        let from = place as usize + 1;
        out.clear();
        for word in self.words.get(from..from + self.key_words).unwrap_or_default() {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.truncate(self.key_len);
    }

    pub(super) fn tag_of_key(&mut self, place: u32) -> u32 {
        let mut key = std::mem::take(&mut self.scratch_key);
        self.copy_key(place, &mut key);
        let tag = Index::tag(hash(&key));
        self.scratch_key = key;
        tag
    }

    // ---- cells ----

    /// The only cell of a counter or gauge.
    #[inline]
    pub(super) fn cell_of(&mut self, row: Row, instrument: usize) -> Option<(&mut u64, NumberKind)> {
        let column = *self.columns.get(instrument)?;
        let cell = self.words.get_mut(row.0 as usize + column.offset)?;
        column.single.then_some((cell, column.number))
    }

    /// The cells of `instrument` in `row`, with what describes them.
    #[inline]
    pub(super) fn cells(&mut self, row: Row, instrument: usize) -> Option<(&mut [u64], &Instrument)> {
        let described = self.shape.instruments.get(instrument)?;
        let from = row.0 as usize + described.offset;
        Some((self.words.get_mut(from..from + described.width())?, described))
    }

    /// All cells of a record.
    pub(super) fn all_cells(&self, place: u32) -> &[u64] {
        let from = place as usize;
        self.words.get(from + 1 + self.key_words..from + self.shape.stride).unwrap_or_default()
    }

    /// The first cell, where an alias keeps the place of its row.
    pub(super) fn first_cell(&self, place: u32) -> u64 {
        self.word(place.saturating_add(u32::try_from(1 + self.key_words).unwrap_or(u32::MAX)))
    }

    pub(super) fn set_first_cell(&mut self, place: u32, value: u64) {
        let at = place as usize + 1 + self.key_words;
        if let Some(cell) = self.words.get_mut(at) {
            *cell = value;
        }
    }

    /// Adds the counters and histograms of one record to another; gauges as well where `gauges` says so.
    pub(super) fn add_cells(&mut self, from: u32, to: u32, gauges: bool) {
        let shape = Arc::clone(&self.shape);
        for instrument in &shape.instruments {
            for at in instrument.offset..instrument.offset + instrument.width() {
                let Some(value) = self.words.get(from as usize + at).copied() else { return };
                let Some(cell) = self.words.get_mut(to as usize + at) else { return };
                if !instrument.is_gauge() {
                    *cell = instrument.number_of(at - instrument.offset).sum(*cell, value);
                } else if gauges {
                    *cell = value;
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the tick is the low half of a stamp")]
pub(super) fn tick_of(stamp: u64) -> u32 {
    stamp as u32
}

/// When the touch that wrote a stamp was, among touches and walks.
pub(super) fn order_of(stamp: u64) -> u64 {
    (stamp & u64::from(u32::MAX)) << WALKS_BITS | stamp >> WALKS_SHIFT
}

/// The tick of an order.
#[expect(clippy::cast_possible_truncation, reason = "the tick has 32 bits above those of the walks")]
pub(super) fn tick_of_order(order: u64) -> u32 {
    (order >> WALKS_BITS) as u32
}
