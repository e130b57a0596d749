//! The series store: what gadgets count, kept ready for every exporter.
//!
//! A [`Table`] holds the series of one data source: rows found by a fixed-length key, each row holding one cell per
//! counter or gauge and one run of cells per histogram. Finding a known row hashes the key and reads one index
//! slot and one record; nothing is allocated and no text is made. The label text of a row is rendered once, when
//! its key is first seen, through the table's [`Labeler`]; two keys that render alike share one row, so an exposed
//! series is unique.
//!
//! # Invariants
//! - Memory is bounded: a table holds at most its limit of rows, all tables of a [`Registry`] together at most
//!   [`RegistryLimits::series_total`]. Past a limit, values go to one overflow row per table, labelled
//!   `otel_metric_overflow="true"`, so sums over all rows stay exact.
//! - Integers stay integers. Counters wrap at 2^64 and integer histogram sums at 2^63, as two's complement; the
//!   scale of an instrument is applied when a value leaves, never while it is accumulated.
//! - A row keeps its place for life, so a scrape may let go of the lock between two frames.
//! - No clock is read per event: [`Table::write`] reads it once for the whole batch.
//!
//! A *series* here is one row: one set of label values of one table, whatever the number of its instruments.

mod arena;
mod bounds;
mod conflict;
mod estimate;
mod evict;
mod hash;
mod index;
mod labels;
mod registry;
mod shape;
mod spec;
mod store;
mod table;

#[cfg(test)]
pub(crate) mod tests;

pub use hash::hash;
pub use registry::{RegisterError, Registration, Registry, RegistryLimits, Subscription};
pub use spec::{
    ExporterFilter, InstrumentKind, InstrumentSpec, LabelKind, LabelSpec, Labeler, NumberKind, Refusal,
    TableSpec,
};
pub use store::Row;
pub use table::{Table, TableStats, TableWriter};

pub(crate) use arena::{Arena, Span};
pub(crate) use conflict::{Directory, Family, FamilyKind, Member};
pub(crate) use labels::{LabelPlan, escape};
pub(crate) use shape::{Cells, Exposed, Instrument};
pub(crate) use store::RowView;
pub(crate) use table::TableInner;
