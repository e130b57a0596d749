//! The series store: what gadgets count, kept ready for every exporter.
//!
//! A [`Table`] holds the series of one data source: rows found by a fixed-length key, each row holding one cell per
//! counter or gauge and one run of cells per histogram. Finding a known row hashes the key and reads one index
//! slot and one record; nothing is allocated and no text is made. The label text of a row is rendered once, when
//! its key is first seen, through the table's [`Labeler`]; two keys that render alike share one row, so an exposed
//! series is unique.
//!
//! Nothing here knows a gadget, a format or a transport: keys become text through a [`Labeler`], names become exposed
//! names through [`Naming`], and exporters read rows through [`Table::read`].
//!
//! # Invariants
//! - Memory is bounded: a table holds at most its limit of rows, all tables of a [`Registry`] together at most
//!   [`RegistryLimits::series_total`]. Past a limit, values go to one overflow row per table, labelled
//!   `otel_metric_overflow="true"`, so that nothing is left out.
//! - What each exporter sees as increases, or takes as deltas, adds up to what was counted, whatever ends meanwhile. The
//!   sum of one page does not: it is without what has ended.
//! - Integers stay integers. Counters wrap at 2^64 and integer histogram sums at 2^63, as two's complement; the
//!   scale of an instrument is applied when a value leaves, never while it is accumulated.
//! - A row keeps its place for life, so a scrape may let go of the lock between two frames.
//! - A row's text may be corrected ([`Table::invalidate`]); a row ends in one way, counted by [`RetireReason`] and told
//!   to every [`Subscription`].
//! - No clock is read per event: [`Table::write`] reads it once for the whole batch.
//!
//! A *series* here is one row: one set of label values of one table, whatever the number of its instruments.

mod arena;
mod bounds;
mod clock;
mod conflict;
mod directory;
mod estimate;
mod evict;
mod hash;
mod index;
mod labels;
mod naming;
mod registry;
mod retire;
mod shape;
mod spec;
mod store;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;

pub use arena::{Arena, Span};
pub use clock::{Clock, ManualClock, Moment, SystemClock};
pub use directory::{Directory, Family, Listed, Member};
pub use hash::hash;
pub use labels::{LabelPlan, escape};
pub use naming::{FamilyName, Naming, Verbatim};
pub use registry::{RegisterError, Registration, Registry, RegistryLimits};
pub use retire::{Extent, LeftTables, RetireReason, Retired, Retirements, RowId, Subscription};
pub use shape::{Exposed, Instrument};
pub use spec::{
    ExporterFilter, InstrumentSpec, LabelKind, LabelSpec, Labeler, NumberKind, Refusal, TableSpec,
};
pub use store::{Horizon, Row, RowView};
pub use table::{Table, TableReader, TableStats, TableWriter};
