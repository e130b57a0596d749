//! Metrics pushed by the OpenTelemetry protocol, over gRPC or HTTP with protobuf.
//!
//! One [`OtlpExporter`] serves one receiver. Each signal has a source of messages and a deliverer of its own (queue,
//! flush, counts); all share the connection, its patience and the pauses the receiver asks for. At each interval the
//! source of metrics walks the series store and writes OTLP messages straight into bytes, at most 5,000 points and
//! about 4 MiB each, taking a table's lock for a few hundred rows at a time. While the receiver answers, one message exists at a time; while it does not, messages wait in a bounded
//! queue and nothing upstream notices.
//!
//! # What happens to values that could not be sent
//! - *Cumulative:* the queue drops its oldest message; the next one carries the totals anyway.
//! - *Delta:* a message is written against the values last **accepted**. As long as one is waiting, no other is
//!   made; what happened since goes into the next, whose points start where the last accepted ones ended. A dropped
//!   message (retries exhausted, refused) is therefore no lost delta, and is counted as deferred. A row waits for its last export
//!   before it ends; what can be lost is the unsent delta of one that other exporters have taken, once the receiver has
//!   been away for the stale time and five minutes and past 20,000 of them or a megabyte between two rounds, and that of
//!   tables that left, past the 64 kept for a receiver.
//! - A message that a receiver finds too large is divided (cumulative) or made anew in smaller ones (delta).
//! - A receiver that took a message but whose answer was lost gets it again: OTLP offers at-least-once.
//!
//! # Ends of series
//! A row or table that leaves is told once: its last values, where no other row has them, then a point for each
//! instrument with the flag "no recorded value", a millisecond later. Gauges are told to have ended at the stop as well.

mod attributes;
mod collect;
mod connection;
mod deliver;
mod delta;
mod encode;
mod error;
mod exporter;
mod log;
mod memory;
mod metrics;
mod own;
mod queue;
mod rpc_status;
mod settings;
mod source;
mod split;
mod stats;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

pub use deliver::FlushReport;
pub use error::OtlpError;
pub use exporter::{OtlpExporter, OtlpHandle};
pub use own::{OwnFamily, OwnPoint, ReadOwn};
pub use settings::check;
pub use stats::{DropReason, OtlpStats};
