//! `process`, `cgroup` and `bpfstats`: data sources that no eBPF program feeds.
//!
//! Each is a data source like any other: a layout of its own, and records of bytes in it, so that columns, filters,
//! sorting and metrics know no difference. Each module is a pure half (layouts, the texts of the kernel, the arithmetic
//! between two readings), `gather` that opens files and asks the kernel, and the `operator`.
//!
//! # Source
//! Names, kinds and annotations of fields are those of Inspektor Gadget, operators `process`, `cgroup` and `ebpf`.

pub mod bpfstats;
pub mod cgroup;
mod layout;
mod operator;
pub mod process;
mod procfs;
mod text;

use ig_datasource::DataSource;

use crate::column::{Column, ColumnClash, Columns};

/// Adds `column` beside the field `beside`.
fn push_beside(
    source: &DataSource,
    beside: &str,
    column: Column,
    columns: &mut Columns,
) -> Result<(), ColumnClash> {
    let place = source.fields.iter().position(|field| field.full_name == beside);
    let order = place.and_then(|place| i32::try_from(place).ok()).unwrap_or(Column::LAST);
    columns.push(Column { order, ..column })
}
