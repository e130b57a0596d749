//! runtime-config.yaml: which gadgets run and where their data goes.
//!
//! [`load`] reads a file or a directory of files, [`check_str`] a text at hand; both give every fault at once. What
//! may be written is said once, in tables: the reader, the JSON schema, the key reference and "did
//! you mean" all follow them. The reference project's `kind: instance-spec` manifests are read as they are and become
//! gadgets like any other.
//!
//! Nothing here touches the kernel or the network, and nothing is started: these types are the specification as
//! written, with defaults filled in and every rule that needs no image checked.

mod conflicts;
mod decode;
mod exporters;
mod gadget;
mod images;
mod load;
mod manifest;
mod rules;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
mod words;

pub use exporters::{Exporters, Prometheus};
pub use gadget::{Buckets, Gadget, InstanceSpec, Label, Metric};
pub use ig_model::Secret;
pub use images::{ImageLimits, Images, Pull};
pub use load::{LoadError, Loaded, check_str, check_str_with, documents, load, load_with};

use std::time::Duration;

/// The document that the binary prints: every section with its defaults, no gadgets.
pub const DEFAULT_DOCUMENT: &str = include_str!("../default.yaml");

/// Everything the documents ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    /// Where metrics go.
    pub exporters: Exporters,
    /// Where gadget images come from and which are trusted.
    pub images: Images,
    /// Bounds on what gadgets may cost.
    pub limits: Limits,
    /// What the collector itself logs.
    pub log: Log,
    /// The gadgets to keep running, in the order of the documents; their names are unique.
    pub gadgets: Vec<Gadget>,
}

/// Bounds on what gadgets may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most series of one gadget; what comes after is folded into its overflow series.
    pub series_per_gadget: usize,
    /// Most series of all gadgets together.
    pub series_total: usize,
    /// How long a series is kept without an update, counters and histograms until their last export at least; zero keeps
    /// them for ever.
    pub stale_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_per_gadget: 10_000, series_total: 200_000, stale_after: Duration::from_mins(5) }
    }
}

/// What the collector itself logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is logged; `None` leaves it to flag and environment.
    pub level: Option<LogLevel>,
    /// How lines look; `None` leaves it to flag and environment.
    pub format: Option<LogFormat>,
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Data was lost or a hand is needed.
    Error,
    /// Something went wrong and was recovered.
    Warn,
    /// Life cycle.
    Info,
    /// Details for the curious.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
