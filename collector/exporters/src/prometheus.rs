//! The Prometheus side: names, the two text formats, and a page that is encoded frame by frame.
//!
//! A [`Page`] walks all tables family by family and writes about 64 KiB at a time, holding a table's lock for one
//! frame only and making no system call for a map. Rows that appear while a page is being written wait for the next
//! one, so a series never shows twice.
//!
//! # Formats
//! Text 0.0.4 and OpenMetrics 1.0, the latter with names as gadgets write them where the reader asks for
//! `escaping=allow-utf-8`. OpenMetrics has a line `_created` behind each counter and histogram: when its values began.
//! Integers are written as integers, other numbers and the bounds of buckets as the
//! reference's exporter writes them (`1e-06`, `1.048576e+06`).

mod names;
mod negotiate;
mod number;
mod own;
mod page;
mod utf8;

#[cfg(test)]
pub(crate) mod parse;
#[cfg(test)]
pub(crate) mod tests;

pub use names::Names;
pub use negotiate::{Encoding, Escaping, Exposition, Format, negotiate_encoding, negotiate_format};
pub(crate) use number::scaled_bound;
pub use page::{FRAME_BYTES, Page, PageSource};

/// The name by which tables and configuration speak of the scrape endpoint.
pub const EXPORTER: &str = "prometheus";
