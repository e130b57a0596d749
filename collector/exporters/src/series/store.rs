//! The rows of one table: records, their index, their label text.
//!
//! # Shape
//! A record is `stride` words of one flat vector: the stamp, the key padded with zeros to whole words, the cells.
//! One record is therefore one or two cache lines, and a known row costs two misses at worst. Record zero is the
//! overflow row; it is in no index. The stamp holds the tick of the last touch (low 32 bits), the snapshot it was
//! touched in (16 bits) and flags.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::arena::{Arena, Span, reserve_gently};
use super::estimate::Distinct;
use super::evict::Evictor;
use super::hash::{hash, padded};
use super::index::Index;
use super::labels::LabelPlan;
use super::shape::{Cells, Shape};
use super::spec::{Labeler, NumberKind};
use crate::clock::Moment;

/// The record is on the free list.
const FREE: u64 = 1 << 48;
/// The record only leads another key to the row in its first cell.
const ALIAS: u64 = 1 << 49;
/// The gauges of the row are out of date and not shown.
const HIDDEN: u64 = 1 << 50;

/// Fewest aliases kept before all are forgotten and learnt anew.
const LEAST_ALIASES: usize = 1024;

/// A row of a table, found by [`TableWriter::row`](super::TableWriter::row).
///
/// It is good for as long as the writer that returned it; used later, values may land in another row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(pub(super) u32);

impl Row {
    /// The row that takes what the limits keep out.
    pub const OVERFLOW: Self = Self(0);

    /// Whether this is the overflow row.
    pub fn is_overflow(self) -> bool {
        self == Self::OVERFLOW
    }
}

/// Rows of all tables together, against their common limit.
#[derive(Debug)]
pub(super) struct Total {
    pub(super) rows: AtomicUsize,
    pub(super) limit: AtomicUsize,
}

impl Total {
    /// Takes one place, or none if all are taken. Relaxed: the count stands alone and guards no other memory.
    fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.rows
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rows| (rows < limit).then_some(rows + 1))
            .is_ok()
    }

    fn give(&self, rows: usize) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }
}

/// What is known of a row beside its record.
#[derive(Clone, Copy, Debug, Default)]
struct Meta {
    text: Span,
    /// Wall time of the first sight; where OTLP's cumulative points start.
    start: u64,
    /// Order of creation within the table; tells a reused record from its predecessor. An alias holds that of its
    /// target.
    born: u64,
}

/// What has happened in a table.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) overflow_events: u64,
    pub(super) refused_sightings: u64,
    pub(super) evicted: u64,
    pub(super) refused: Option<Distinct>,
}

/// One row as an exporter reads it.
pub(crate) struct RowView<'a> {
    /// Position among the rows; stable for the life of the row.
    pub(crate) position: usize,
    /// Label text; empty for the overflow row.
    pub(crate) text: &'a [u8],
    pub(crate) overflow: bool,
    /// The gauges are out of date.
    pub(crate) hides_gauges: bool,
    pub(crate) start: u64,
    pub(crate) born: u64,
    /// The whole record; instrument offsets count from its start.
    pub(crate) record: &'a [u64],
}

/// Where an instrument's first cell lies.
#[derive(Clone, Copy, Debug)]
struct Column {
    offset: usize,
    number: NumberKind,
    /// It has no other cell.
    single: bool,
}

/// The rows of one table.
pub(crate) struct Store {
    pub(super) shape: Arc<Shape>,
    pub(super) labels: Arc<LabelPlan>,
    pub(super) labeler: Box<dyn Labeler>,
    pub(super) limit: usize,
    pub(super) counts: Counts,
    /// Copied out of the shape, one hop nearer to every lookup.
    key_len: usize,
    key_words: usize,
    columns: Box<[Column]>,
    /// The current stamp: tick and snapshot, no flags.
    stamp: u64,
    now: Moment,
    records: Vec<u64>,
    meta: Vec<Meta>,
    free: Vec<u32>,
    by_key: Index,
    by_text: Index,
    texts: Arena,
    live: usize,
    aliases: usize,
    next_born: u64,
    evictor: Evictor,
    total: Arc<Total>,
    /// Rows count against `total`; false once the table has left the registry.
    counted: bool,
    scratch_text: Vec<u8>,
    scratch_key: Vec<u8>,
    scratch_values: Vec<String>,
}

impl Store {
    pub(super) fn new(
        shape: Arc<Shape>,
        labels: Arc<LabelPlan>,
        labeler: Box<dyn Labeler>,
        total: Arc<Total>,
        limit: usize,
        stale_after: Option<Duration>,
    ) -> Self {
        let records = vec![0; shape.stride];
        let columns = shape
            .instruments
            .iter()
            .map(|instrument| Column {
                offset: instrument.offset,
                number: instrument.number,
                single: !matches!(instrument.cells, Cells::Histogram(_)),
            })
            .collect();
        Self {
            key_len: shape.key_len,
            key_words: shape.key_words,
            columns,
            shape,
            labels,
            labeler,
            limit,
            counts: Counts::default(),
            stamp: 0,
            now: Moment::default(),
            records,
            meta: vec![Meta::default()],
            free: Vec::new(),
            by_key: Index::new(),
            by_text: Index::new(),
            texts: Arena::default(),
            live: 0,
            aliases: 0,
            next_born: 1,
            evictor: Evictor::new(stale_after),
            total,
            counted: true,
            scratch_text: Vec::new(),
            scratch_key: Vec::new(),
            scratch_values: Vec::new(),
        }
    }

    /// Sets the time of the batch that begins.
    pub(super) fn set_now(&mut self, now: Moment) {
        self.now = now;
        self.stamp = self.stamp & !u64::from(u32::MAX) | u64::from(tick(now.elapsed));
    }

    /// How long a row must be idle to be evicted or hidden.
    pub(super) fn set_stale_after(&mut self, stale_after: Option<Duration>) {
        self.evictor = Evictor::new(stale_after);
    }

    /// Rows that hold a series, the overflow row not among them.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Records, free ones and the overflow row included: the range of [`Self::view`].
    pub(crate) fn positions(&self) -> usize {
        self.meta.len()
    }

    /// Rows created from now on have a birth not less than this.
    pub(crate) fn next_born(&self) -> u64 {
        self.next_born
    }

    /// Bytes held by the rows, their index and their text.
    pub(super) fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<u64>()
            + self.meta.capacity() * size_of::<Meta>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_key.bytes()
            + self.by_text.bytes()
            + self.texts.capacity()
    }

    /// The row at `position`, unless nothing is shown there.
    #[inline]
    pub(crate) fn view(&self, position: usize) -> Option<RowView<'_>> {
        let stride = self.shape.stride;
        let record = self.records.get(position * stride..(position + 1) * stride)?;
        let stamp = *record.first()?;
        if stamp & (FREE | ALIAS) != 0 {
            return None;
        }
        let meta = self.meta.get(position)?;
        let overflow = position == 0;
        if overflow && self.counts.overflow_events == 0 {
            return None;
        }
        Some(RowView {
            position,
            text: self.texts.get(meta.text),
            overflow,
            hides_gauges: stamp & HIDDEN != 0,
            start: meta.start,
            born: meta.born,
            record,
        })
    }

    // ---- finding ----

    /// Starts fetching what [`Self::row`] will need.
    #[inline]
    pub(super) fn peek(&self, hash: u64) -> u64 {
        self.by_key.peek(Index::tag(hash))
    }

    /// The first word of the record that `peeked` points at; the second half of a prefetch.
    #[inline]
    pub(super) fn peek_record(&self, peeked: u64) -> u64 {
        self.records.get(super::index::place_of(peeked) as usize).copied().unwrap_or(0)
    }

    /// [`Self::row`], trying the slot that [`Self::peek`] has read first.
    #[inline]
    pub(super) fn row_peeked(&mut self, key: &[u8], hash: u64, peeked: u64) -> Row {
        let place = super::index::place_of(peeked);
        // The slot may have changed since: an entry is only ever replaced by one whose key then differs, or is
        // freed, which the stamp shows.
        if Index::tag(peeked) == Index::tag(hash)
            && place != 0
            && key.len() == self.key_len
            && self.has_key(place, key)
            && let Some(stamp) = self.records.get_mut(place as usize)
            && *stamp & (ALIAS | FREE) == 0
        {
            *stamp = self.stamp;
            return Row(place);
        }
        self.row(key, hash)
    }

    /// Finds or makes the row of `key` and marks it as touched.
    #[inline]
    pub(super) fn row(&mut self, key: &[u8], hash: u64) -> Row {
        if key.len() != self.key_len {
            return self.row_of_odd_key(key);
        }
        let tag = Index::tag(hash);
        let found = self.by_key.find(tag, |place| self.has_key(place, key));
        if let Some(place) = found
            && let Some(stamp) = self.records.get_mut(place as usize)
        {
            if *stamp & ALIAS == 0 {
                *stamp = self.stamp;
                return Row(place);
            }
            return self.row_by_alias(place, key, hash);
        }
        self.create(key, hash)
    }

    #[inline]
    fn has_key(&self, place: u32, key: &[u8]) -> bool {
        let from = place as usize + 1;
        let Some(words) = self.records.get(from..from + self.key_words) else { return false };
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

    /// A key of another length is a mistake of the caller; it is padded or cut rather than lost.
    #[cold]
    fn row_of_odd_key(&mut self, key: &[u8]) -> Row {
        debug_assert_eq!(key.len(), self.shape.key_len, "key length differs from the table's");
        let mut padded = key.to_vec();
        padded.resize(self.shape.key_len, 0);
        let hash = hash(&padded);
        self.row(&padded, hash)
    }

    /// Follows an alias, or forgets it if its row has gone or changed.
    #[cold]
    fn row_by_alias(&mut self, place: u32, key: &[u8], hash: u64) -> Row {
        let position = self.position(place);
        let born = self.meta.get(position).map_or(0, |meta| meta.born);
        let target = self.cell(place).unwrap_or(0);
        let target_place = super::index::place_of(target);
        let same = self.meta.get(self.position(target_place)).is_some_and(|meta| meta.born == born);
        if same && self.is_row(target_place) {
            self.set_stamp(target_place, self.stamp);
            return Row(target_place);
        }
        self.by_key.remove(Index::tag(hash), place);
        self.aliases = self.aliases.saturating_sub(1);
        self.give_back(place);
        self.create(key, hash)
    }

    // ---- making ----

    #[cold]
    fn create(&mut self, key: &[u8], hash_of_key: u64) -> Row {
        let mut text = std::mem::take(&mut self.scratch_text);
        text.clear();
        self.labels.render(&*self.labeler, key, &mut self.scratch_values, &mut text);
        let row = self.create_with_text(key, hash_of_key, &text);
        self.scratch_text = text;
        row
    }

    fn create_with_text(&mut self, key: &[u8], hash_of_key: u64, text: &[u8]) -> Row {
        let text_tag = Index::tag(hash(self.labels.shown(text)));
        if let Some(place) = self.by_text.find(text_tag, |place| self.has_text(place, text)) {
            self.set_stamp(place, self.stamp);
            self.add_alias(key, hash_of_key, place);
            return Row(place);
        }
        if !self.take_place() {
            return self.refuse(hash_of_key);
        }
        let Some((place, span)) = self.allocate(key).zip(self.texts.push(text)) else {
            self.return_place();
            return self.refuse(hash_of_key);
        };
        let position = self.position(place);
        if let Some(meta) = self.meta.get_mut(position) {
            *meta = Meta { text: span, start: self.now.unix_nanos, born: self.next_born };
        }
        self.next_born += 1;
        self.by_key.insert(Index::tag(hash_of_key), place);
        self.by_text.insert(text_tag, place);
        Row(place)
    }

    fn has_text(&self, place: u32, text: &[u8]) -> bool {
        let Some(meta) = self.meta.get(self.position(place)) else { return false };
        self.labels.shown(self.texts.get(meta.text)) == self.labels.shown(text)
    }

    /// Counts one more row against both limits, making room by eviction where that is allowed.
    fn take_place(&mut self) -> bool {
        if self.live >= self.limit && !self.evict_one() {
            return false;
        }
        if self.counted && !self.total.take() && !(self.evict_one() && self.total.take()) {
            return false;
        }
        self.live += 1;
        true
    }

    fn return_place(&mut self) {
        self.live = self.live.saturating_sub(1);
        if self.counted {
            self.total.give(1);
        }
    }

    fn refuse(&mut self, hash_of_key: u64) -> Row {
        self.counts.refused_sightings += 1;
        self.counts.refused.get_or_insert_with(Distinct::new).add(hash_of_key);
        self.overflow()
    }

    /// Notes an event for the overflow row.
    fn overflow(&mut self) -> Row {
        if self.counts.overflow_events == 0
            && let Some(meta) = self.meta.first_mut()
        {
            meta.start = self.now.unix_nanos;
        }
        self.counts.overflow_events += 1;
        self.set_stamp(0, self.stamp);
        Row::OVERFLOW
    }

    /// A zeroed record holding `key`; `None` past 2^32 words.
    fn allocate(&mut self, key: &[u8]) -> Option<u32> {
        let place = if let Some(place) = self.free.pop() {
            place
        } else {
            let place = u32::try_from(self.records.len()).ok()?;
            reserve_gently(&mut self.records, self.shape.stride);
            self.records.resize(self.records.len() + self.shape.stride, 0);
            reserve_gently(&mut self.meta, 1);
            self.meta.push(Meta::default());
            place
        };
        let from = place as usize;
        let record = self.records.get_mut(from..from + self.shape.stride)?;
        record.fill(0);
        let (stamp, rest) = record.split_first_mut()?;
        *stamp = self.stamp;
        for (word, bytes) in rest.iter_mut().zip(key.chunks(8)) {
            *word = padded(bytes);
        }
        Some(place)
    }

    /// Remembers that `key` renders like the row at `target`.
    fn add_alias(&mut self, key: &[u8], hash_of_key: u64, target: u32) {
        if self.aliases >= self.limit.max(LEAST_ALIASES) {
            self.forget_aliases();
        }
        let born = self.meta.get(self.position(target)).map_or(0, |meta| meta.born);
        let Some(place) = self.allocate(key) else { return };
        let position = self.position(place);
        self.set_stamp(place, ALIAS);
        if let Some(meta) = self.meta.get_mut(position) {
            *meta = Meta { born, ..Meta::default() };
        }
        let first_cell = place as usize + 1 + self.shape.key_words;
        if let Some(cell) = self.records.get_mut(first_cell) {
            *cell = u64::from(target);
        }
        self.by_key.insert(Index::tag(hash_of_key), place);
        self.aliases += 1;
    }

    /// Drops every alias. Costs a walk, paid for by the aliases made since the last one.
    fn forget_aliases(&mut self) {
        for position in 1..self.meta.len() {
            let Some(place) = self.place(position) else { break };
            if self.stamp_of(place) & ALIAS != 0 {
                let tag = self.tag_of_key(place);
                self.by_key.remove(tag, place);
                self.give_back(place);
            }
        }
        self.aliases = 0;
    }

    // ---- removing ----

    fn evict_one(&mut self) -> bool {
        let mut evictor = std::mem::take(&mut self.evictor);
        let victim = evictor.next(self.tick(), self.meta.len(), |position| {
            let place = self.place(position)?;
            self.is_row(place).then(|| tick_of(self.stamp_of(place)))
        });
        self.evictor = evictor;
        let Some(place) = victim.and_then(|position| self.place(position)) else { return false };
        self.remove(place);
        self.counts.evicted += 1;
        true
    }

    fn remove(&mut self, place: u32) {
        let position = self.position(place);
        let Some(meta) = self.meta.get(position).copied() else { return };
        let text_tag = Index::tag(hash(self.labels.shown(self.texts.get(meta.text))));
        let key_tag = self.tag_of_key(place);
        self.by_key.remove(key_tag, place);
        self.by_text.remove(text_tag, place);
        self.texts.release(meta.text);
        self.give_back(place);
        self.return_place();
        if self.texts.wants_compaction() {
            self.texts.compact(self.meta.iter_mut().map(|meta| &mut meta.text));
        }
    }

    fn give_back(&mut self, place: u32) {
        self.set_stamp(place, FREE);
        let position = self.position(place);
        if let Some(meta) = self.meta.get_mut(position) {
            *meta = Meta::default();
        }
        self.free.push(place);
    }

    /// Takes the rows out of the common count: the table has left the registry.
    pub(super) fn stop_counting(&mut self) {
        if self.counted {
            self.total.give(self.live);
            self.counted = false;
        }
    }

    // ---- gauges that are out of date ----

    /// Begins a reading of the whole source.
    pub(super) fn begin_snapshot(&mut self) {
        let number = (self.stamp >> 32).wrapping_add(1) & 0xffff;
        self.stamp = number << 32 | u64::from(tick_of(self.stamp));
    }

    /// Ends it: what was not touched since [`Self::begin_snapshot`] is no longer there.
    pub(super) fn end_snapshot(&mut self) {
        let number = self.stamp >> 32;
        self.retire_gauges(|stamp| (stamp >> 32) & 0xffff != number);
    }

    /// Retires the gauges of rows idle for the stale time.
    pub(super) fn sweep(&mut self) {
        let Some(stale) = self.evictor.stale_ticks() else { return };
        let now = self.tick();
        self.retire_gauges(|stamp| now.wrapping_sub(tick_of(stamp)) >= stale);
    }

    /// Removes rows of nothing but gauges and hides the gauges of others, where `gone` holds for the stamp.
    fn retire_gauges(&mut self, gone: impl Fn(u64) -> bool) {
        if !self.shape.has_gauges {
            return;
        }
        for position in 0..self.meta.len() {
            let Some(place) = self.place(position) else { break };
            let stamp = self.stamp_of(place);
            if stamp & (FREE | ALIAS | HIDDEN) != 0 || !gone(stamp) {
                continue;
            }
            if self.shape.gauges_only && position != 0 {
                self.remove(place);
            } else {
                self.set_stamp(place, stamp | HIDDEN);
            }
        }
    }

    // ---- cells ----

    /// The only cell of a counter or gauge.
    #[inline]
    pub(super) fn cell_of(&mut self, row: Row, instrument: usize) -> Option<(&mut u64, NumberKind)> {
        let column = *self.columns.get(instrument)?;
        let cell = self.records.get_mut(row.0 as usize + column.offset)?;
        column.single.then_some((cell, column.number))
    }

    /// The cells of `instrument` in `row`, with what describes them.
    #[inline]
    pub(super) fn cells(
        &mut self,
        row: Row,
        instrument: usize,
    ) -> Option<(&mut [u64], &super::shape::Instrument)> {
        let described = self.shape.instruments.get(instrument)?;
        let from = row.0 as usize + described.offset;
        let len = match &described.cells {
            Cells::Counter | Cells::Gauge => 1,
            Cells::Histogram(bounds) => bounds.len() + 2,
        };
        Some((self.records.get_mut(from..from + len)?, described))
    }

    // ---- small parts ----

    fn tick(&self) -> u32 {
        tick_of(self.stamp)
    }

    fn position(&self, place: u32) -> usize {
        place as usize / self.shape.stride
    }

    fn place(&self, position: usize) -> Option<u32> {
        u32::try_from(position * self.shape.stride).ok()
    }

    fn stamp_of(&self, place: u32) -> u64 {
        self.records.get(place as usize).copied().unwrap_or(FREE)
    }

    fn set_stamp(&mut self, place: u32, stamp: u64) {
        if let Some(word) = self.records.get_mut(place as usize) {
            *word = stamp;
        }
    }

    /// Whether `place` holds a series (not free, no alias, not the overflow row).
    fn is_row(&self, place: u32) -> bool {
        place != 0 && self.stamp_of(place) & (FREE | ALIAS) == 0
    }

    fn cell(&self, place: u32) -> Option<u64> {
        self.records.get(place as usize + 1 + self.shape.key_words).copied()
    }

    fn tag_of_key(&mut self, place: u32) -> u32 {
        let from = place as usize + 1;
        self.scratch_key.clear();
        for word in self.records.get(from..from + self.shape.key_words).unwrap_or_default() {
            self.scratch_key.extend_from_slice(&word.to_ne_bytes());
        }
        self.scratch_key.truncate(self.shape.key_len);
        Index::tag(hash(&self.scratch_key))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("live", &self.live).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Ticks of 64 milliseconds: 32 bits last for eight years.
pub(super) fn tick(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_millis() >> 6).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the tick is the low half of a stamp")]
fn tick_of(stamp: u64) -> u32 {
    stamp as u32
}
