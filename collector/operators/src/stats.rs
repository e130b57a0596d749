//! `process`, `cgroup` and `bpfstats`: data sources that no eBPF program feeds.
//!
//! Each is a data source like any other: a layout of its own, and records of bytes in it, so that columns, filters,
//! sorting and metrics know no difference. This module is the pure half: layouts, the texts of the kernel, and the
//! arithmetic between two readings. Who opens files and asks the kernel is the runtime's reader.
//!
//! # Source
//! Names, kinds and annotations of fields are those of Inspektor Gadget, operators `process`, `cgroup` and `ebpf`.

pub mod bpfstats;
pub mod cgroup;
mod layout;
pub mod process;
mod text;

use ig_datasource::DataSource;
use ig_model::BootClock;

use crate::column::{Column, ColumnClash, Columns};

/// Which statistics a data source is made of, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Processes.
    Process(process::Shown),
    /// Processor limits of cgroups.
    Cgroup,
    /// eBPF programs.
    Bpf(bpfstats::Scope),
}

/// What columns of statistics need to know of the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Translates times since boot.
    pub clock: BootClock,
    /// Clock ticks per second, as files of processes count.
    pub ticks_per_second: u64,
    /// Name of the Kubernetes node, if there is one.
    pub node: Option<String>,
}

impl Statistics {
    /// The data source, without anything that gadget.yaml says.
    pub fn source(&self) -> DataSource {
        match self {
            Self::Process(shown) => process::source(shown),
            Self::Cgroup => cgroup::source(),
            Self::Bpf(_) => bpfstats::source(),
        }
    }

    /// Adds the columns that are made of other fields.
    ///
    /// # Errors
    /// A column of the name exists, which no layout here has.
    pub fn complete(
        &self,
        source: &DataSource,
        machine: &Machine,
        columns: &mut Columns,
    ) -> Result<(), ColumnClash> {
        match self {
            Self::Process(_) => process::complete(source, machine, columns),
            Self::Cgroup => Ok(()),
            Self::Bpf(_) => bpfstats::complete(source, machine, columns),
        }
    }
}

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
