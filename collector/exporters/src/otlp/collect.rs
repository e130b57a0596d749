//! One walk through the store, handed out as messages of limited size.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use ig_model::{InstrumentKind, Temporality};
use ig_series::{Clock, Directory, Horizon, Subscription, Table};

use super::delta::Commit;
use super::encode::{self, Segment, Times};
use super::memory::RowMemory;

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
    /// Tells which rows have ended.
    pub(super) subscription: &'a Subscription,
    pub(super) memory: &'a mut RowMemory,
}

/// Where the walk stands.
pub(super) struct Collection {
    columns: Vec<Column>,
    column: usize,
    position: usize,
    /// When the walk over the table under way began.
    horizon: Horizon,
    /// Tables that were walked to their end.
    walked: Vec<(Table, Horizon)>,
}

/// One instrument of one table, in the order of the walk.
struct Column {
    table: Table,
    instrument: usize,
    /// It is the first of its table.
    first: bool,
    /// It is the last of its table.
    last: bool,
}

impl Collection {
    /// A walk over what is exposed to `exporter`, then the tables that have left.
    pub(super) fn new(directory: &Directory, left: &[Table], exporter: &str) -> Self {
        let mut columns = Vec::new();
        for listed in directory.tables.iter().filter(|listed| listed.table.is_shown_by(exporter)) {
            push_columns(&mut columns, &listed.table, listed.instruments.iter().copied());
        }
        for table in left.iter().filter(|table| table.is_shown_by(exporter)) {
            push_columns(&mut columns, table, 0..table.instruments().len());
        }
        Self { columns, column: 0, position: 0, horizon: Horizon::default(), walked: Vec::new() }
    }

    /// Tells the tables that `exporter` has delivered all that this walk has read.
    pub(super) fn delivered(&self, exporter: &str) {
        for (table, horizon) in &self.walked {
            table.read().end_walk(exporter, *horizon);
        }
    }

    /// The next message; `None` at the end of the walk. The one before must have been settled if it has a commit.
    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Option<Batch> {
        let mut draft = Draft::default();
        while let Some(column) = self.columns.get(self.column)
            && draft.has_room()
        {
            let from = draft.points.len();
            let progress = draft.fill(column, &mut self.position, &mut self.horizon, cx);
            if draft.points.len() > from {
                draft.extend_segment(column, from);
            }
            match progress {
                Progress::More => {}
                Progress::Done => {
                    if column.last {
                        self.walked.push((column.table.clone(), self.horizon));
                    }
                    self.column += 1;
                    self.position = 0;
                }
                Progress::Close => break,
            }
        }
        if draft.count == 0 {
            return None;
        }
        let bytes = encode::request(cx.resource, &draft.points, &draft.segments, cx.temporality);
        Some(Batch { bytes: bytes.into(), points: draft.count, commit: draft.commit })
    }
}

fn push_columns(columns: &mut Vec<Column>, table: &Table, instruments: impl Iterator<Item = usize>) {
    let mut instruments = instruments.peekable();
    let mut first = true;
    while let Some(instrument) = instruments.next() {
        let last = instruments.peek().is_none();
        columns.push(Column { table: table.clone(), instrument, first, last });
        first = false;
    }
}

/// How far filling a message has come.
enum Progress {
    /// The instrument has more rows, or the message is full.
    More,
    /// That was the instrument's last row.
    Done,
    /// The message has to be closed before the walk goes on.
    Close,
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

    /// Adds rows of one instrument under one lock.
    fn fill(
        &mut self,
        column: &Column,
        position: &mut usize,
        horizon: &mut Horizon,
        cx: &mut Context<'_>,
    ) -> Progress {
        let Column { table, instrument, first, .. } = column;
        let Some(described) = table.layout().get(*instrument) else { return Progress::Done };
        let bounds = encode::exposed_bounds(described);
        let id = (table.id(), *instrument);
        let delta = cx.temporality == Temporality::Delta && !described.is_gauge();
        let mut reader = table.read();
        let open = cx.temporality == Temporality::Delta && self.count > 0;
        if !cx.memory.catch_up(cx.subscription, open) {
            return Progress::Close;
        }
        if *first && *position == 0 {
            *horizon = reader.begin_walk();
        }
        if delta {
            self.commit.begin(id, described);
        }
        let RowMemory { attributes, accepted, .. } = &mut *cx.memory;
        let attributes = attributes.of_table(table.id());
        let read = cx.clock.now().unix_nanos;
        let end = reader.positions().min(*position + ROWS_A_LOCK);
        while *position < end && self.has_room() {
            let row = reader.row(*position);
            *position += 1;
            let Some(row) = row.filter(|row| horizon.includes(row.id)) else { continue };
            if row.hides(described) {
                continue;
            }
            let cells = row.cells(described);
            let (gained, start);
            let shown = if delta {
                let since = accepted.since(id, row.id, row.start, described, cells);
                let Some(since) = since else { continue };
                (gained, start) = since;
                self.commit.note(row.id, read, cells);
                gained.as_slice()
            } else {
                start = row.start;
                cells
            };
            let Some((value, counts)) = shown.split_first() else { continue };
            let value = described.exposed(*value);
            let times = Times { start: cx.clock.shown(start), read: cx.clock.shown(read) };
            let encoded = attributes.of(&row, table.label_plan());
            if described.kind == InstrumentKind::Histogram {
                encode::histogram_point(&mut self.points, encoded, times, counts, value, &bounds);
            } else {
                encode::number_point(&mut self.points, encoded, times, value, described.is_gauge());
            }
            self.count += 1;
        }
        if *position < reader.positions() {
            return Progress::More;
        }
        Progress::Done
    }

    /// Notes that the points from `from` on belong to this instrument.
    fn extend_segment(&mut self, column: &Column, from: usize) {
        let end = self.points.len();
        match self.segments.last_mut() {
            Some(last) if last.table.same_table(&column.table) && last.instrument == column.instrument => {
                last.points.end = end;
            }
            _ => {
                let (table, instrument) = (column.table.clone(), column.instrument);
                self.segments.push(Segment { table, instrument, points: from..end });
            }
        }
    }
}
