//! The values a receiver has accepted, from which the next deltas are counted.
//!
//! A batch carries what its rows held when it was written. Only when it is accepted do those values become the new
//! base; a batch that is dropped changes nothing, and its share is part of the next delta.

use std::collections::{HashMap, HashSet};

use crate::series::{Instrument, NumberKind};

/// Accepted values of every table, by table id.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    tables: HashMap<(u64, usize), Column>,
}

/// Accepted values of one instrument of one table.
#[derive(Debug, Default)]
struct Column {
    rows: Vec<Base>,
    /// As many as the instrument has cells for each row.
    cells: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Base {
    born: u64,
    /// When the values were read, wall time; zero if none were accepted.
    at: u64,
}

/// What becomes the base once a batch is accepted.
#[derive(Debug, Default)]
pub(super) struct Commit {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    column: (u64, usize),
    width: usize,
    rows: Vec<(usize, Base)>,
    cells: Vec<u64>,
}

impl Commit {
    /// Begins the rows of another instrument.
    pub(super) fn begin(&mut self, table: u64, instrument: usize, width: usize) {
        let column = (table, instrument);
        if self.parts.last().is_none_or(|part| part.column != column) {
            self.parts.push(Part { column, width, rows: Vec::new(), cells: Vec::new() });
        }
    }

    /// Notes what a row held.
    pub(super) fn note(&mut self, position: usize, born: u64, at: u64, cells: &[u64]) {
        if let Some(part) = self.parts.last_mut() {
            part.rows.push((position, Base { born, at }));
            part.cells.extend_from_slice(cells);
        }
    }
}

impl Accepted {
    /// What a row has gained since the last accepted batch, and when that was; `None` if nothing.
    pub(super) fn since(
        &self,
        column: (u64, usize),
        position: usize,
        (born, start): (u64, u64),
        described: &Instrument,
        cells: &[u64],
    ) -> Option<(Vec<u64>, u64)> {
        let width = cells.len();
        let known = self.tables.get(&column).and_then(|column| {
            let base = column.rows.get(position).filter(|base| base.at > 0 && base.born == born)?;
            Some((column.cells.get(position * width..(position + 1) * width)?, base.at))
        });
        let Some((old, at)) = known else {
            return cells.iter().any(|cell| *cell != 0).then(|| (cells.to_vec(), start));
        };
        if old == cells {
            return None;
        }
        let mut gained: Vec<u64> = cells.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)).collect();
        // Bucket counts are integers whatever the sum is; the sum comes first, and is a counter's only cell.
        if described.number == NumberKind::Float
            && let (Some(gained), Some(new), Some(old)) = (gained.first_mut(), cells.first(), old.first())
        {
            *gained = (f64::from_bits(*new) - f64::from_bits(*old)).to_bits();
        }
        Some((gained, at))
    }

    /// Makes what an accepted batch carried the new base.
    pub(super) fn commit(&mut self, commit: Commit) {
        for part in commit.parts {
            let column = self.tables.entry(part.column).or_default();
            for ((position, base), cells) in part.rows.into_iter().zip(part.cells.chunks(part.width)) {
                if column.rows.len() <= position {
                    column.rows.resize(position + 1, Base::default());
                    column.cells.resize((position + 1) * part.width, 0);
                }
                if let Some(slot) = column.rows.get_mut(position) {
                    *slot = base;
                }
                let from = position * part.width;
                if let Some(slots) = column.cells.get_mut(from..from + part.width) {
                    slots.copy_from_slice(cells);
                }
            }
        }
    }

    /// Forgets every table not in `kept`.
    pub(super) fn retain(&mut self, kept: &HashSet<u64>) {
        self.tables.retain(|(table, _), _| kept.contains(table));
    }
}
