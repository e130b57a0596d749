//! The series store as a source of messages: one walk a round, cumulative or delta.

use std::collections::HashSet;
use std::sync::Arc;

use ig_model::Temporality;
use ig_series::{Clock, LeftTables, Registry, Subscription, Table};

use super::collect::{Collection, Context, MOST_POINTS, Scope};
use super::delta::Commit;
use super::memory::{Farewell, RowMemory};
use super::source::{Message, Round, Service, Smaller, Source};
use super::stats::{DropReason, SharedStats};

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
    left: LeftTables,
    /// The most points of a message: fewer once the receiver has found one too large.
    most_points: u64,
    round: Round,
    walk: Option<Collection>,
    /// The walk under way has had a message that was dropped or divided, or is in a queue that may still drop it.
    spoiled: bool,
    /// One was dropped because the receiver refused it.
    refused: bool,
    /// One was dropped for another reason.
    missed: bool,
    /// Messages that were handed out and of which nothing has been heard.
    unsettled: usize,
}

/// What a message settles once it is accepted.
#[derive(Debug, Default)]
pub(super) struct Receipt {
    commit: Commit,
    /// Ends of rows that it tells.
    told: Vec<Farewell>,
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
            memory: RowMemory::new(temporality),
            left: LeftTables::default(),
            most_points: MOST_POINTS,
            round: Round::Next,
            walk: None,
            spoiled: false,
            refused: false,
            missed: false,
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
        // been settled by now, because only one is made at a time. Totals that were refused would be again.
        let keeps = match self.temporality {
            Temporality::Delta => self.spoiled,
            Temporality::Cumulative => self.missed,
        };
        if !keeps {
            self.left.clear();
        }
        let directory = self.registry.directory();
        let listed = directory.tables.iter().map(|listed| listed.table.id());
        let kept: HashSet<u64> = listed.chain(self.left.iter().map(Table::id)).collect();
        self.memory.retain(&kept);
    }
}

impl Source for Metrics {
    type Receipt = Receipt;

    const SERVICE: Service = Service::METRICS;

    fn begin(&mut self, round: Round) {
        self.memory.begin();
        self.left.append(self.subscription.take_tables());
        {
            let mut stats = self.stats.lock();
            stats.tables_lost += self.left.take_lost();
            stats.ends_lost += self.memory.take_lost();
        }
        let scope = Scope {
            exporter: &self.exporter,
            left: &self.left,
            // The ends may be what the receiver refused; the values come again.
            ends: !self.refused,
            round,
            now: self.clock.now().unix_nanos,
        };
        self.walk = Some(Collection::new(&self.registry.directory(), &scope));
        self.round = round;
        (self.spoiled, self.refused, self.missed) = (false, false, false);
    }

    fn next(&mut self) -> Option<(Message, Receipt)> {
        let mut context = Context {
            resource: &self.resource,
            temporality: self.temporality,
            most_points: self.most_points,
            clock: &*self.clock,
            subscription: &self.subscription,
            memory: &mut self.memory,
        };
        let Some(batch) = self.walk.as_mut()?.next(&mut context) else {
            self.end();
            return None;
        };
        self.unsettled += 1;
        let receipt = Receipt { commit: batch.commit, told: batch.told };
        Some((Message { bytes: batch.bytes, items: batch.points }, receipt))
    }

    /// Totals supersede each other. A difference counts from what was accepted before.
    fn may_queue(&self) -> bool {
        self.temporality == Temporality::Cumulative
    }

    fn accepted(&mut self, receipt: Receipt) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.memory.commit(receipt.commit);
    }

    fn queued(&mut self, _: Receipt) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.spoiled = true;
    }

    /// Totals are divided as they are. Differences are counted anew: what one half settles must not hang on the other.
    fn too_large(&mut self, message: &Message, receipt: Option<Receipt>) -> Smaller<Receipt> {
        let first = message.items / 2;
        if first == 0 {
            return Smaller::Nothing(receipt);
        }
        self.most_points = self.most_points.min(message.items - first);
        match (self.temporality, receipt) {
            (Temporality::Delta, Some(receipt)) => {
                self.unsettled = self.unsettled.saturating_sub(1);
                self.memory.take_back(receipt.told, false);
                let round = self.round;
                self.begin(round);
                Smaller::Round
            }
            (_, receipt) => {
                // Nothing is heard of the first part.
                self.spoiled = true;
                Smaller::Parts(message.split(first, receipt))
            }
        }
    }

    fn dropped(&mut self, receipt: Receipt, reason: DropReason) {
        self.unsettled = self.unsettled.saturating_sub(1);
        let refused = reason == DropReason::Refused;
        self.memory.take_back(receipt.told, refused);
        self.spoiled = true;
        self.refused |= refused;
        self.missed |= !refused;
    }
}
