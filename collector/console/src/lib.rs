//! What a person or a pipe sees of a gadget: tables, documents, charts, captures and profiles.
//!
//! [`supported`] says in which modes a data source can be printed, [`sink`] makes the [`Sink`] for one of them.
//! Everything that can be wrong with a request is found there, before anything runs. From then on a sink only
//! renders: it is called by the thread that reads the kernel's buffers, never waits, and hands its rows to an
//! [`Output`], which writes them on a thread of its own and counts what a slow reader makes it drop.
//!
//! Records come from the kernel and hold what any process on the machine chose to put there. Tables and charts
//! show none of it unescaped; documents follow the rules of their syntax; captures and raw text are for programs,
//! and raw text is made harmless where it goes to a terminal.

pub mod error;
pub mod keys;
pub mod mode;
pub mod output;
pub mod per_source;
pub mod terminal;

mod columns;
mod document;
mod fields;
mod histogram;
mod pcapng;
mod profile;
mod raw;
mod text;

#[cfg(test)]
mod tests;

use ig_datasource::DataSource;
use ig_operators::{Columns, Sink};

pub use error::ConsoleError;
pub use keys::Keys;
pub use mode::{Mode, Supported, supported};
pub use output::{DEFAULT_LIMIT, Dropped, Ended, Output, OutputError};
pub use per_source::PerSource;
pub use terminal::{Size, Terminal};

use columns::TableSink;
use document::{DocumentSink, Syntax};
use histogram::HistogramSink;
use pcapng::PcapSink;
use profile::ProfileSink;
use raw::RawSink;

/// How a data source is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleOptions {
    /// `--fields` as far as it concerns this data source: names, `+name` and `-name`, joined by commas.
    pub fields: Option<String>,
    /// What tells its rows from those of other data sources in the same output: a line above them when the source
    /// changes, a member `_source` in documents. `None` if it is the only one.
    pub label: Option<String>,
}

/// What prints the records of `source` in a mode that [`Supported::choose`] gave; `None` if nothing is printed.
///
/// # Errors
/// A field that does not exist, an annotation without a meaning, or a mode that lacks what it needs.
pub fn sink(
    mode: &Mode,
    source: &DataSource,
    columns: &Columns,
    options: &ConsoleOptions,
    output: &Output,
) -> Result<Option<Box<dyn Sink>>, ConsoleError> {
    let fields = options.fields.as_deref();
    let label = options.label.as_deref();
    if let Mode::PcapNg | Mode::Pprof = mode {
        let mode = if *mode == Mode::Pprof { "pprof" } else { "pcap-ng" };
        if output.terminal().is_terminal() {
            return Err(ConsoleError::Terminal { mode });
        }
        if label.is_some() {
            return Err(ConsoleError::Shared { mode });
        }
    }
    let rows = output.rows();
    // Wrong names are named in modes, too, that have no use for fields.
    let kept = fields::kept(columns, fields)?;
    let document = |syntax, rows| -> Result<Box<dyn Sink>, ConsoleError> {
        Ok(Box::new(DocumentSink::new(syntax, source.kind, columns, &kept, label, rows)))
    };
    Ok(Some(match mode {
        Mode::Columns => Box::new(TableSink::new(source, columns, fields, label, rows)?),
        Mode::Json => document(Syntax::Json, rows)?,
        Mode::JsonPretty => document(Syntax::JsonPretty, rows)?,
        Mode::Yaml => document(Syntax::Yaml, rows)?,
        Mode::None => return Ok(None),
        Mode::Raw | Mode::Other(_) => Box::new(RawSink::new(columns, rows)),
        Mode::Histogram => Box::new(HistogramSink::new(source, columns, label, rows)?),
        Mode::PcapNg => Box::new(PcapSink::new(source, columns, rows)?),
        Mode::Folded => Box::new(ProfileSink::folded(source, columns, rows)?),
        Mode::Pprof => Box::new(ProfileSink::pprof(source, columns, rows)?),
    }))
}
