//! One walk through the store, handed out as messages of limited size.

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use ig_model::{InstrumentKind, Temporality};
use ig_series::{Clock, Directory, Horizon, Instrument, LeftTables, RowView, Subscription, Table};

use super::attributes::AttributeCache;
use super::delta::Commit;
use super::encode::{self, Described, Segment, Times};
use super::memory::{Farewell, RowMemory, Shown};
use super::source::Round;

/// The most points of a message.
pub(super) const MOST_POINTS: u64 = 5000;
/// A message ends with the first row that reaches this size; receivers refuse 4 MiB by default.
const MOST_BYTES: usize = 7 * 512 * 1024;
/// Rows read under one lock.
const ROWS_A_LOCK: usize = 512;
/// Last values stand as long before the end of their series, so that receivers which count milliseconds keep both.
const BEFORE_END: u64 = 1_000_000;

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) points: u64,
    /// With delta temporality, what its acceptance settles.
    pub(super) commit: Commit,
    /// Ends of rows that it tells.
    pub(super) told: Vec<Farewell>,
}

/// What a collection needs from its exporter.
pub(super) struct Context<'a> {
    /// The encoded resource.
    pub(super) resource: &'a [u8],
    pub(super) temporality: Temporality,
    /// The most points of a message.
    pub(super) most_points: u64,
    pub(super) clock: &'a dyn Clock,
    /// Tells which rows have ended.
    pub(super) subscription: &'a Subscription,
    pub(super) memory: &'a mut RowMemory,
}

/// What a walk goes over beside the tables that are listed.
pub(super) struct Scope<'a> {
    /// The exporter's name.
    pub(super) exporter: &'a str,
    /// Tables that have left, to be told of once more.
    pub(super) left: &'a LeftTables,
    /// Whether to say that the series of these have ended.
    pub(super) ends: bool,
    pub(super) round: Round,
    /// When the walk begins, wall time.
    pub(super) now: u64,
}

/// Where the walk stands.
pub(super) struct Collection {
    columns: Vec<Column>,
    shown: Shown,
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
    tell: Tell,
}

/// What is told of the rows of a column.
#[derive(Clone, Copy)]
enum Tell {
    /// Their values, as they are read.
    Values,
    /// Their last values, as of this time.
    Last(u64),
    /// That they have ended at this time.
    End(u64),
}

impl Collection {
    /// A walk over the tables that have left, then what is exposed to the exporter.
    ///
    /// In this order, because a series of a table that is there may be one that has left another.
    pub(super) fn new(directory: &Directory, scope: &Scope<'_>) -> Self {
        let mut walk = Self {
            columns: Vec::new(),
            shown: Shown::new(),
            column: 0,
            position: 0,
            horizon: Horizon::default(),
            walked: Vec::new(),
        };
        // The end stands before anything that is read from now on.
        let end = scope.now.saturating_sub(BEFORE_END);
        for table in scope.left.iter().filter(|table| table.is_shown_by(scope.exporter)) {
            let instruments: Vec<usize> = (0..table.instruments().len()).collect();
            walk.push(table, &instruments, |_| Tell::Last(end.saturating_sub(BEFORE_END)));
            if scope.ends {
                walk.push_ends(table, &instruments, end);
            }
            walk.shown.insert(table.id(), (table.clone(), instruments));
        }
        for listed in directory.tables.iter().filter(|listed| listed.table.is_shown_by(scope.exporter)) {
            let table = &listed.table;
            let is_gauge =
                |instrument: usize| table.layout().get(instrument).is_some_and(Instrument::is_gauge);
            let ends = |instrument| scope.round == Round::Last && is_gauge(instrument);
            walk.push(table, &listed.instruments, |instrument| {
                if ends(instrument) { Tell::Last(end) } else { Tell::Values }
            });
            let gauges: Vec<usize> = listed.instruments.iter().copied().filter(|i| ends(*i)).collect();
            walk.push_ends(table, &gauges, scope.now);
            walk.shown.insert(table.id(), (table.clone(), listed.instruments.clone()));
        }
        walk
    }

    /// Tells the tables that `exporter` has delivered all that this walk has read.
    pub(super) fn delivered(&self, exporter: &str) {
        for (table, horizon) in &self.walked {
            table.read().end_walk(exporter, *horizon);
        }
    }

    fn push(&mut self, table: &Table, instruments: &[usize], tell: impl Fn(usize) -> Tell) {
        let last = instruments.len().saturating_sub(1);
        self.columns.extend(instruments.iter().enumerate().map(|(at, instrument)| Column {
            table: table.clone(),
            instrument: *instrument,
            first: at == 0,
            last: at == last,
            tell: tell(*instrument),
        }));
    }

    fn push_ends(&mut self, table: &Table, instruments: &[usize], at: u64) {
        self.columns.extend(instruments.iter().map(|instrument| Column {
            table: table.clone(),
            instrument: *instrument,
            first: false,
            last: false,
            tell: Tell::End(at),
        }));
    }

    /// The next message; `None` at the end of the walk. The one before must have been settled if it has a commit.
    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Option<Batch> {
        let mut draft = Draft::default();
        while let Some(column) = self.columns.get(self.column)
            && draft.has_room(cx.most_points)
        {
            match draft.fill(column, &self.shown, &mut self.position, &mut self.horizon, cx) {
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
        if self.column == self.columns.len() && draft.learn(&self.shown, cx) {
            draft.tell(cx);
        }
        if draft.count == 0 {
            return None;
        }
        let segments: Vec<Segment<'_>> = draft.pieces.iter().map(Piece::segment).collect();
        let bytes = encode::request(cx.resource, &draft.points, &segments, cx.temporality);
        drop(segments);
        Some(Batch { bytes: bytes.into(), points: draft.count, commit: draft.commit, told: draft.told })
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

/// Consecutive points of one instrument.
struct Piece {
    table: Table,
    instrument: usize,
    points: Range<usize>,
}

impl Piece {
    fn segment(&self) -> Segment<'_> {
        let spec = self.table.instruments().get(self.instrument);
        let described = Described {
            scope: self.table.scope(),
            name: spec.map_or("", |spec| &spec.name),
            description: self.table.description(self.instrument),
            unit: spec.map_or("", |spec| &spec.unit),
            kind: spec.map_or(InstrumentKind::Gauge, |spec| spec.kind),
        };
        Segment { described, points: self.points.clone() }
    }
}

#[derive(Default)]
struct Draft {
    points: Vec<u8>,
    pieces: Vec<Piece>,
    count: u64,
    commit: Commit,
    told: Vec<Farewell>,
}

impl Draft {
    fn has_room(&self, most_points: u64) -> bool {
        self.count < most_points && self.points.len() < MOST_BYTES
    }

    /// Learns which rows have ended; false if the message has to be closed first.
    fn learn(&self, shown: &Shown, cx: &mut Context<'_>) -> bool {
        let open = cx.temporality == Temporality::Delta && self.count > 0;
        cx.memory.catch_up(cx.subscription, shown, open)
    }

    /// Adds the ends of rows that are known.
    fn tell(&mut self, cx: &mut Context<'_>) {
        while self.has_room(cx.most_points)
            && let Some(farewell) = cx.memory.next_farewell()
        {
            let (layout, shift) = (farewell.table.layout(), cx.clock.shift());
            for last in &farewell.finals {
                let Some(described) = layout.get(last.instrument) else { continue };
                let read = farewell.end.saturating_sub(BEFORE_END).max(last.start);
                let from = self.points.len();
                let times = Times { start: last.start, read }.shown(shift);
                let bounds = encode::exposed_bounds(described);
                write(&mut self.points, described, &farewell.attributes, times, &last.cells, &bounds);
                self.note(&farewell.table, last.instrument, from);
            }
            for (instrument, start) in &farewell.ended {
                let Some(described) = layout.get(*instrument) else { continue };
                let from = self.points.len();
                let times = Times { start: *start, read: farewell.end }.shown(shift);
                encode::end_point(&mut self.points, &farewell.attributes, times, described.kind);
                self.note(&farewell.table, *instrument, from);
            }
            self.count += farewell.points();
            self.told.push(farewell);
        }
    }

    /// Adds rows of one instrument under one lock.
    fn fill(
        &mut self,
        column: &Column,
        shown: &Shown,
        position: &mut usize,
        horizon: &mut Horizon,
        cx: &mut Context<'_>,
    ) -> Progress {
        let Column { table, instrument, first, tell, .. } = column;
        let Some(described) = table.layout().get(*instrument) else { return Progress::Done };
        let bounds = encode::exposed_bounds(described);
        let id = (table.id(), *instrument);
        let delta = cx.temporality == Temporality::Delta && !described.is_gauge();
        let mut reader = table.read();
        if !self.learn(shown, cx) {
            return Progress::Close;
        }
        // What has ended stands before what came in its place.
        self.tell(cx);
        if *first && *position == 0 {
            *horizon = reader.begin_walk();
        }
        let from = self.points.len();
        if delta {
            self.commit.begin(id, described);
        }
        let RowMemory { attributes, accepted, .. } = &mut *cx.memory;
        let attributes = attributes.of_table(table.id());
        let read = match tell {
            Tell::Values => cx.clock.now().unix_nanos,
            Tell::Last(at) | Tell::End(at) => *at,
        };
        let shift = cx.clock.shift();
        let end = reader.positions().min(*position + ROWS_A_LOCK);
        while *position < end && self.has_room(cx.most_points) {
            let row = reader.row(*position);
            *position += 1;
            let Some(row) = row.filter(|row| horizon.includes(row.id)) else { continue };
            if row.hides(described) {
                continue;
            }
            if let Tell::End(at) = tell {
                let start = if delta { *at } else { row.start.min(*at) };
                let times = Times { start, read: *at }.shown(shift);
                self.end(&row, described, attributes, table, times);
                continue;
            }
            let cells = row.cells(described);
            let (gained, start);
            let shown = if delta {
                let since = accepted.since(id, row.id, row.start, described, cells);
                let Some(since) = since else { continue };
                (gained, start) = since;
                self.commit.note(row.id, read.max(start), cells);
                gained.as_slice()
            } else {
                start = row.start;
                cells
            };
            let times = Times { start, read: read.max(start) }.shown(shift);
            let encoded = attributes.of(&row, table.label_plan());
            write(&mut self.points, described, encoded, times, shown, &bounds);
            self.count += 1;
        }
        self.note(table, *instrument, from);
        if *position < reader.positions() {
            return Progress::More;
        }
        Progress::Done
    }

    /// Adds the end of a row that has been told of.
    fn end(
        &mut self,
        row: &RowView<'_>,
        described: &Instrument,
        attributes: &mut AttributeCache,
        table: &Table,
        times: Times,
    ) {
        if attributes.has_written(row.id) {
            let encoded = attributes.of(row, table.label_plan());
            encode::end_point(&mut self.points, encoded, times, described.kind);
            self.count += 1;
        }
    }

    /// Notes that the points from `from` on belong to this instrument.
    fn note(&mut self, table: &Table, instrument: usize, from: usize) {
        let end = self.points.len();
        if end == from {
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.instrument == instrument && last.table.same_table(table) => {
                last.points.end = end;
            }
            _ => self.pieces.push(Piece { table: table.clone(), instrument, points: from..end }),
        }
    }
}

/// Appends the point of some cells, which are never none.
#[inline]
fn write(
    out: &mut Vec<u8>,
    described: &Instrument,
    attributes: &[u8],
    times: Times,
    cells: &[u64],
    bounds: &[f64],
) {
    let Some((value, counts)) = cells.split_first() else { return };
    let value = described.exposed(*value);
    if described.kind == InstrumentKind::Histogram {
        encode::histogram_point(out, attributes, times, counts, value, bounds);
    } else {
        encode::number_point(out, attributes, times, value, described.is_gauge());
    }
}
