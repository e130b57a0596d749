//! The series store as a source of messages: one walk a round, cumulative or delta.

use std::collections::HashSet;
use std::sync::Arc;

use ig_model::Temporality;
use ig_series::{Clock, Registry, Subscription, Table};

use super::collect::{Collection, Context};
use super::delta::Commit;
use super::memory::RowMemory;
use super::source::{Message, Service, Source};
use super::stats::{DropReason, SharedStats};

/// Tables that left, kept for a receiver that is away.
const MOST_LEFT: usize = 64;

/// What one exporter has to tell of a registry.
pub(super) struct Metrics {
    exporter: String,
    registry: Registry,
    subscription: Subscription,
    clock: Arc<dyn Clock>,
    temporality: Temporality,
    /// The encoded resource.
    resource: Vec<u8>,
    stats: SharedStats,
    memory: RowMemory,
    /// Tables that have left and whose last values are still to be sent.
    left: Vec<Table>,
    walk: Option<Collection>,
    /// The walk under way has had a message that was dropped, or is in a queue that may still drop it.
    spoiled: bool,
    /// Messages that were handed out and of which nothing has been heard.
    unsettled: usize,
}

impl Metrics {
    pub(super) fn new(
        exporter: &str,
        registry: &Registry,
        temporality: Temporality,
        resource: Vec<u8>,
        stats: SharedStats,
    ) -> Self {
        Self {
            exporter: exporter.to_owned(),
            subscription: registry.subscribe(),
            clock: registry.clock(),
            registry: registry.clone(),
            temporality,
            resource,
            stats,
            memory: RowMemory::default(),
            left: Vec::new(),
            walk: None,
            spoiled: false,
            unsettled: 0,
        }
    }

    /// Lets go of what nobody needs after a walk.
    fn end(&mut self) {
        if let Some(walk) = self.walk.take()
            && !self.spoiled
            && self.unsettled == 0
        {
            walk.delivered(&self.exporter);
        }
        // With deltas, tables that left stay until their last values are accepted: the last message of the walk has
        // been settled by now, because only one is made at a time.
        if self.temporality == Temporality::Cumulative || !self.spoiled {
            self.left.clear();
        }
        let directory = self.registry.directory();
        let listed = directory.tables.iter().map(|listed| listed.table.id());
        let kept: HashSet<u64> = listed.chain(self.left.iter().map(Table::id)).collect();
        self.memory.retain(&kept);
    }
}

impl Source for Metrics {
    type Receipt = Commit;

    const SERVICE: Service = Service::METRICS;

    fn begin(&mut self) {
        self.left.extend(self.subscription.take_tables());
        let lost = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..lost);
        self.stats.lock().tables_lost += lost as u64 + self.subscription.take_lost_tables();
        self.spoiled = false;
        self.walk = Some(Collection::new(&self.registry.directory(), &self.left, &self.exporter));
    }

    fn next(&mut self) -> Option<(Message, Commit)> {
        let mut context = Context {
            resource: &self.resource,
            temporality: self.temporality,
            clock: &*self.clock,
            subscription: &self.subscription,
            memory: &mut self.memory,
        };
        let Some(batch) = self.walk.as_mut()?.next(&mut context) else {
            self.end();
            return None;
        };
        self.unsettled += 1;
        Some((Message { bytes: batch.bytes, items: batch.points }, batch.commit))
    }

    /// Totals supersede each other. A difference counts from what was accepted before.
    fn may_queue(&self) -> bool {
        self.temporality == Temporality::Cumulative
    }

    fn accepted(&mut self, commit: Commit) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.memory.commit(commit);
    }

    fn queued(&mut self, _: Commit) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.spoiled = true;
    }

    fn dropped(&mut self, _: Commit, _: DropReason) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.spoiled = true;
    }
}
