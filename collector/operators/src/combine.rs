//! `combine`: makes one batch of those that several nodes send for the same data source.
//!
//! A pure state machine: it has no clock and no socket. Whoever drives it hands in batches and moments, and asks when
//! it wants to be looked at next.
//!
//! # Source
//! Inspektor Gadget, operator `Combiner`: a source with a fetch interval gives a batch at each interval; one without
//! gives one as soon as every node has answered, or after five seconds with those that have. An endless wait is right
//! only where no fetch but the final one is to come.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ig_datasource::{DataSource, Origin};

use crate::batch::Batch;

/// How long nodes that have answered wait for the others.
const PATIENCE: Duration = Duration::from_secs(5);
/// Prefix of the combined data source's name.
const PREFIX: &str = "combined-";

/// What two batches of one node mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Both count: what maps hold are increments since the last fetch.
    Both,
    /// The later one counts: each is the whole state.
    Latest,
}

/// Batches of several nodes on their way to be one.
#[derive(Debug)]
pub struct Combiner {
    merge: Merge,
    /// Zero: when everybody has answered.
    interval: Duration,
    /// Whether nodes may be late without end: only the final fetch comes.
    patient: bool,
    /// What came from each node since the last combined batch.
    nodes: BTreeMap<String, Option<Batch>>,
    /// When to give what is there.
    due: Option<Instant>,
}

/// A combined batch.
#[derive(Debug)]
pub struct Combined {
    /// The records, node by node.
    pub batch: Batch,
    /// Nodes that were to answer and have not.
    pub missing: Vec<String>,
}

/// Name of the data source that stands for `source` where several nodes are combined.
pub fn combined_name(source: &str) -> String {
    format!("{PREFIX}{source}")
}

impl Merge {
    /// What batches of a data source mean.
    pub fn of(source: &DataSource) -> Self {
        if matches!(source.origin, Origin::MapIterator { .. }) { Self::Both } else { Self::Latest }
    }
}

impl Combiner {
    /// Combines batches of `nodes`, which fetch every `interval` and `count` times (0 is no end).
    pub fn new<N: Into<String>>(
        nodes: impl IntoIterator<Item = N>,
        merge: Merge,
        interval: Duration,
        count: u64,
        now: Instant,
    ) -> Self {
        Self {
            merge,
            interval,
            patient: interval.is_zero() && count == 0,
            nodes: nodes.into_iter().map(|node| (node.into(), None)).collect(),
            due: if interval.is_zero() { None } else { now.checked_add(interval) },
        }
    }

    /// Takes the batch of a node; one that nobody announced counts from now on.
    pub fn take(&mut self, node: &str, batch: Batch, now: Instant) -> Option<Combined> {
        match self.nodes.get_mut(node) {
            Some(Some(known)) if self.merge == Merge::Both => known.append(&batch),
            Some(known) => *known = Some(batch),
            None => {
                self.nodes.insert(node.to_owned(), Some(batch));
            }
        }
        self.settle(now)
    }

    /// Waits for a node no longer. What it sent stays.
    pub fn leave(&mut self, node: &str, now: Instant) -> Option<Combined> {
        if self.nodes.get(node).is_some_and(Option::is_none) {
            self.nodes.remove(node);
        }
        self.settle(now)
    }

    /// Gives what is due at `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Combined> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        if !self.interval.is_zero() {
            // From the moment that was due, so that delays do not add up; never more than one at a time.
            self.due = self.due.and_then(|due| due.checked_add(self.interval)).map(|due| due.max(now));
        }
        Some(self.give())
    }

    /// Gives what is there, at the end of the run; `None` if nothing came.
    pub fn finish(&mut self) -> Option<Combined> {
        self.nodes.values().any(Option::is_some).then(|| self.give())
    }

    /// When [`Combiner::poll`] is to be called next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    fn settle(&mut self, now: Instant) -> Option<Combined> {
        if !self.interval.is_zero() || self.nodes.values().all(Option::is_none) {
            return None;
        }
        if self.nodes.values().all(Option::is_some) {
            return Some(self.give());
        }
        if self.due.is_none() && !self.patient {
            self.due = now.checked_add(PATIENCE);
        }
        None
    }

    fn give(&mut self) -> Combined {
        if self.interval.is_zero() {
            self.due = None;
        }
        let mut combined = Combined { batch: Batch::default(), missing: Vec::new() };
        for (node, batch) in &mut self.nodes {
            match batch.take() {
                Some(batch) => combined.batch.append(&batch),
                None => combined.missing.push(node.clone()),
            }
        }
        combined
    }
}

#[cfg(test)]
mod tests;
