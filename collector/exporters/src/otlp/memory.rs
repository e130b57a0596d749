//! What an exporter remembers of the rows it reads: their encoded attributes, what was accepted of them, and which of
//! them have ended without its receiver knowing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ig_model::{InstrumentKind, Temporality};
use ig_series::{Extent, Retired, RowId, Subscription, Table};

use super::attributes::{self, Attributes};
use super::delta::{Accepted, Commit};

/// Ends of series that wait for a receiver; past it, the oldest are given up.
const MOST_FAREWELLS: usize = 20_000;
/// Messages with the end of a series that may be refused before it is given up: it may be why.
const MOST_REFUSALS: u8 = 3;

/// The tables that a receiver is told of, by id, with the instruments that are exposed.
pub(super) type Shown = HashMap<u64, (Table, Vec<usize>)>;

/// The end of a row, to be told once: what it counted at last, and that nothing more will come.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) table: Table,
    /// As they stand in a number data point.
    pub(super) attributes: Vec<u8>,
    /// When it ended.
    pub(super) end: u64,
    /// Instruments with final values that are not in another row.
    pub(super) finals: Vec<Final>,
    /// Instruments that end, and when their values began.
    pub(super) ended: Vec<(usize, u64)>,
    refusals: u8,
}

/// The last value of an instrument in a row.
#[derive(Debug)]
pub(super) struct Final {
    pub(super) instrument: usize,
    pub(super) start: u64,
    pub(super) cells: Vec<u64>,
}

impl Farewell {
    /// Points that it takes.
    pub(super) fn points(&self) -> u64 {
        (self.finals.len() + self.ended.len()) as u64
    }
}

/// Kept from collection to collection.
#[derive(Debug)]
pub(super) struct RowMemory {
    pub(super) attributes: Attributes,
    pub(super) accepted: Accepted,
    temporality: Temporality,
    /// Rows that have ended, to be learnt of once the message under way is closed.
    retired: Vec<Arc<Retired>>,
    /// Ends that the receiver does not know of.
    farewells: VecDeque<Farewell>,
    /// Those that were told in vain in this round.
    returned: Vec<Farewell>,
    /// Ends that were given up since the last call of [`Self::take_lost`].
    lost: u64,
}

impl RowMemory {
    pub(super) fn new(temporality: Temporality) -> Self {
        Self {
            attributes: Attributes::default(),
            accepted: Accepted::default(),
            temporality,
            retired: Vec::new(),
            farewells: VecDeque::new(),
            returned: Vec::new(),
            lost: 0,
        }
    }

    /// Begins another round: what was told in vain is told again, before anything else.
    pub(super) fn begin(&mut self) {
        for farewell in std::mem::take(&mut self.returned).into_iter().rev() {
            self.farewells.push_front(farewell);
        }
        self.bound();
    }

    /// Learns which rows have ended.
    ///
    /// False if the message under way has to be closed first: it is `open`, which means that its acceptance will settle
    /// values, and it may hold those of a row which have ended, or are in another row by now. Call this with a table
    /// locked to know all that has ended in it.
    pub(super) fn catch_up(&mut self, subscription: &Subscription, shown: &Shown, open: bool) -> bool {
        self.retired.extend(subscription.take_rows());
        if open && self.retired.iter().any(|row| row.extent == Extent::Row) {
            return false;
        }
        for row in std::mem::take(&mut self.retired) {
            if let Some((table, instruments)) = shown.get(&row.table) {
                self.take_leave(&row, table, instruments);
            }
            if row.extent == Extent::Row {
                self.attributes.forget(&row);
            }
            self.accepted.follow(&row);
        }
        self.lost += subscription.take_lost_rows();
        true
    }

    /// Notes what there is to tell of a row that has ended.
    fn take_leave(&mut self, row: &Retired, table: &Table, instruments: &[usize]) {
        let written = self.attributes.has_written(row.table, row.row);
        let (mut finals, mut ended) = (Vec::new(), Vec::new());
        let mut rest = &*row.cells;
        for (instrument, described) in table.layout().iter().enumerate() {
            let Some((cells, after)) = rest.split_at_checked(described.width()) else { break };
            rest = after;
            if !instruments.contains(&instrument) || row.extent == Extent::Gauges && !described.is_gauge() {
                continue;
            }
            let mut start = row.start;
            let mut is_known = written;
            // Its successor tells the values of a row that has one.
            if !described.is_gauge() && row.successor.is_none() {
                let gained = match self.temporality {
                    Temporality::Delta => {
                        let column = (row.table, instrument);
                        self.accepted.since(column, row.row, row.start, described, cells)
                    }
                    Temporality::Cumulative => {
                        cells.iter().any(|cell| *cell != 0).then(|| (cells.to_vec(), row.start))
                    }
                };
                if let Some((cells, since)) = gained {
                    finals.push(Final { instrument, start: since, cells });
                    is_known = true;
                }
            }
            if described.kind != InstrumentKind::Gauge && self.temporality == Temporality::Delta {
                start = row.end;
            }
            if is_known {
                ended.push((instrument, start));
            }
        }
        if ended.is_empty() {
            return;
        }
        let mut attributes = Vec::new();
        let overflow = row.row == RowId::OVERFLOW;
        attributes::of_labels(&mut attributes, &row.text, overflow, table.label_plan());
        let farewell =
            Farewell { table: table.clone(), attributes, end: row.end, finals, ended, refusals: 0 };
        self.farewells.push_back(farewell);
        self.bound();
    }

    /// The next end to tell.
    pub(super) fn next_farewell(&mut self) -> Option<Farewell> {
        self.farewells.pop_front()
    }

    /// Takes back ends that have not reached the receiver, for the next round. Refused ones may be why the message was, so of these the
    /// values alone are tried again, a few times.
    pub(super) fn take_back(&mut self, told: Vec<Farewell>, refused: bool) {
        for mut farewell in told {
            if refused {
                farewell.refusals += 1;
                farewell.ended.clear();
                if farewell.finals.is_empty() {
                    continue;
                }
                if farewell.refusals > MOST_REFUSALS {
                    self.lost += 1;
                    continue;
                }
            }
            self.returned.push(farewell);
        }
    }

    fn bound(&mut self) {
        let beyond = self.farewells.len().saturating_sub(MOST_FAREWELLS);
        self.farewells.drain(..beyond);
        self.lost += beyond as u64;
    }

    /// How many ends were given up since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Books the values of a message that was accepted.
    pub(super) fn commit(&mut self, commit: Commit) {
        self.accepted.commit(commit);
    }

    /// Forgets every table not in `kept`.
    pub(super) fn retain(&mut self, kept: &HashSet<u64>) {
        self.attributes.retain(kept);
        self.accepted.retain(kept);
    }
}
