//! What happens to a record between the kernel and a sink: format, filter, measure.
//!
//! Each operator is planned once against a data source and runs only where a sink asks for it; none knows
//! another. A plan is pure: it opens nothing and can be made, checked and thrown away on any machine. See [`operator`]
//! for the contract, and [`operator::Operators`] for the list.

pub mod arrange;
pub mod batch;
pub mod column;
pub mod combine;
mod comparison;
pub mod env;
pub mod expression;
pub mod feed;
pub mod fetch;
pub mod filter;
pub mod format;
pub mod ignored;
pub mod limit;
pub mod measure;
pub mod operator;
pub mod outlets;
pub mod packet;
pub mod schema;
pub mod sink;
pub mod sort;
pub mod spec;
pub mod stack;
pub mod stage;
pub mod stats;

pub use arrange::Arrange;
pub use batch::Batch;
pub use column::{
    ArrayValue, Column, ColumnClash, Columns, FormatContext, NumberForm, Render, Resolver, Value, ValueKind,
    ValueScratch,
};
pub use expression::{Expression, ExpressionError};
pub use filter::{Filter, FilterError};
pub use limit::Limit;
pub use measure::{Measure, MeasurePlan};
pub use operator::{Operator, OperatorPlan, Operators};
pub use outlets::{Outlets, SinkId};
pub use packet::Packet;
pub use schema::{RecordLayout, SchemaError, Slot, SourceSchema};
pub use sink::{Sink, SinkLedger};
pub use sort::Sort;
pub use stage::{Next, Stage, Stages, Step};
