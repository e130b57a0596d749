//! What happens to a record between the kernel and a sink: format, filter, measure.
//!
//! Each operator is planned once against a data source and runs only where a sink asks for it; none knows
//! another. A plan is pure: it opens nothing and can be made, checked and thrown away on any machine.

pub mod column;
pub mod filter;
pub mod format;
pub mod measure;

pub use column::{Column, Columns, FormatContext, Render};
pub use filter::{Filter, FilterError};
pub use measure::{Measure, MeasurePlan};
