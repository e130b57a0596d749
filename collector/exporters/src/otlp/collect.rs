//! One walk through the store, handed out as messages of limited size.

use std::sync::Arc;

use bytes::Bytes;
use ig_model::Temporality;

use super::delta::{Accepted, Commit};
use super::encode::{self, Segment, Times};
use crate::clock::Clock;
use crate::series::{Cells, Directory, TableInner};

/// The most points of a message.
pub(super) const MOST_POINTS: u64 = 5000;
/// A message ends with the first row that reaches this size; receivers refuse 4 MiB by default.
const MOST_BYTES: usize = 7 * 512 * 1024;
/// Rows read under one lock.
const ROWS_A_LOCK: usize = 512;

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) points: u64,
    /// With delta temporality, what its acceptance settles.
    pub(super) commit: Commit,
}

/// What a collection needs from its exporter.
pub(super) struct Context<'a> {
    /// The encoded resource.
    pub(super) resource: &'a [u8],
    pub(super) temporality: Temporality,
    pub(super) clock: &'a dyn Clock,
    pub(super) accepted: &'a Accepted,
}

/// Where the walk stands.
pub(super) struct Collection {
    /// Table and instrument, in the order of the walk.
    columns: Vec<(Arc<TableInner>, usize)>,
    column: usize,
    position: usize,
}

impl Collection {
    /// A walk over what is exposed to `exporter`, then the tables that have left.
    pub(super) fn new(directory: &Directory, left: &[Arc<TableInner>], exporter: &str) -> Self {
        let shown = directory
            .tables
            .iter()
            .filter(|listed| listed.table.settings().exporters.allows(exporter))
            .flat_map(|listed| listed.instruments.iter().map(|i| (Arc::clone(&listed.table), *i)));
        let left = left
            .iter()
            .filter(|table| table.settings().exporters.allows(exporter))
            .flat_map(|table| (0..table.instruments.len()).map(|i| (Arc::clone(table), i)));
        Self { columns: shown.chain(left).collect(), column: 0, position: 0 }
    }

    /// The next message; `None` at the end of the walk.
    pub(super) fn next(&mut self, cx: &Context<'_>) -> Option<Batch> {
        let mut draft = Draft::default();
        while let Some((table, instrument)) = self.columns.get(self.column)
            && draft.has_room()
        {
            let from = draft.points.len();
            let done = draft.fill(table, *instrument, &mut self.position, cx);
            if draft.points.len() > from {
                draft.extend_segment(table, *instrument, from);
            }
            if done {
                self.column += 1;
                self.position = 0;
            }
        }
        if draft.count == 0 {
            return None;
        }
        let bytes = encode::request(cx.resource, &draft.points, &draft.segments, cx.temporality);
        Some(Batch { bytes: bytes.into(), points: draft.count, commit: draft.commit })
    }
}

#[derive(Default)]
struct Draft {
    points: Vec<u8>,
    segments: Vec<Segment>,
    count: u64,
    commit: Commit,
}

impl Draft {
    fn has_room(&self) -> bool {
        self.count < MOST_POINTS && self.points.len() < MOST_BYTES
    }

    /// Adds rows of one instrument under one lock; true once its last row is in.
    fn fill(
        &mut self,
        table: &Arc<TableInner>,
        instrument: usize,
        position: &mut usize,
        cx: &Context<'_>,
    ) -> bool {
        let Some(described) = table.shape.instruments.get(instrument) else { return true };
        let bounds = encode::exposed_bounds(described);
        let delta = cx.temporality == Temporality::Delta && !described.is_gauge();
        if delta {
            self.commit.begin(table.id, instrument, described.len());
        }
        let store = table.store();
        let mut attributes = table.attributes();
        let read = cx.clock.now().unix_nanos;
        let end = store.positions().min(*position + ROWS_A_LOCK);
        while *position < end && self.has_room() {
            let row = store.view(*position);
            *position += 1;
            let Some(row) = row else { continue };
            if described.is_gauge() && row.hides_gauges {
                continue;
            }
            let cells = described.offset..described.offset + described.len();
            let Some(cells) = row.record.get(cells) else { continue };
            let (gained, start);
            let shown = if delta {
                let column = (table.id, instrument);
                let since = cx.accepted.since(column, row.position, (row.born, row.start), described, cells);
                let Some(since) = since else { continue };
                (gained, start) = since;
                self.commit.note(row.position, row.born, read, cells);
                gained.as_slice()
            } else {
                start = row.start;
                cells
            };
            let Some((value, counts)) = shown.split_first() else { continue };
            let value = described.exposed(*value);
            let times = Times { start, read };
            let encoded = attributes.of(&row, &table.labels);
            match &described.cells {
                Cells::Counter | Cells::Gauge => {
                    encode::number_point(&mut self.points, encoded, times, value, described.is_gauge());
                }
                Cells::Histogram(_) => {
                    encode::histogram_point(&mut self.points, encoded, times, counts, value, &bounds);
                }
            }
            self.count += 1;
        }
        *position >= store.positions()
    }

    /// Notes that the points from `from` on belong to this instrument.
    fn extend_segment(&mut self, table: &Arc<TableInner>, instrument: usize, from: usize) {
        let end = self.points.len();
        match self.segments.last_mut() {
            Some(last) if last.table.id == table.id && last.instrument == instrument => last.points.end = end,
            _ => self.segments.push(Segment { table: Arc::clone(table), instrument, points: from..end }),
        }
    }
}
