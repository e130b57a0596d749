//! The delivery of one signal to one receiver: a round at each interval, a message at a time, a queue behind them, a
//! flush at the end. What the messages hold is the [`Source`]'s business, how they travel the [`Connection`]'s.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ig_series::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Delivery};
use super::queue::Queue;
use super::source::{Message, Round, Smaller, Source};
use super::stats::{DropReason, SharedStats};
use super::transport::Transport;

/// When a deliverer is told to stop, how.
pub(super) type Stop = watch::Receiver<Option<Ending>>;

/// How an exporter ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// When it should have ended.
    pub(super) by: Instant,
    /// Whether its series go on, because another exporter takes its place.
    pub(super) continued: bool,
}

/// What the end of an exporter left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Items (data points, spans, log records) delivered after the stop was asked for.
    pub delivered_items: u64,
    /// Items given up because time ran out or the receiver did not take them.
    pub dropped_items: u64,
}

/// Delivers what a source has.
pub(super) struct Deliverer<S: Source, T> {
    source: S,
    connection: Connection<T>,
    queue: Box<dyn Queue>,
    interval: Duration,
    clock: Arc<dyn Clock>,
    stats: SharedStats,
    inflight: Option<Inflight<S::Receipt>>,
    /// Parts of a message that was too large, to be sent before anything else.
    parts: VecDeque<(Message, Option<S::Receipt>)>,
    /// Another round will not follow.
    in_last_round: bool,
    /// A round of the source is under way.
    in_round: bool,
}

/// A message being delivered.
struct Inflight<R> {
    message: Message,
    /// Absent if the source has no part in the message any more: it comes out of the queue.
    receipt: Option<R>,
    /// Ends the wait between two attempts early.
    hurry: CancellationToken,
    delivery: Pin<Box<dyn Future<Output = Delivery> + Send>>,
}

impl<S: Source, T: Transport> Deliverer<S, T> {
    pub(super) fn new(
        source: S,
        connection: Connection<T>,
        queue: Box<dyn Queue>,
        interval: Duration,
        clock: Arc<dyn Clock>,
        stats: SharedStats,
    ) -> Self {
        Self {
            source,
            connection,
            queue,
            interval,
            clock,
            stats,
            inflight: None,
            parts: VecDeque::new(),
            in_last_round: false,
            in_round: false,
        }
    }

    /// Runs until `cancel` fires or `stop` names a deadline, then flushes.
    ///
    /// After `cancel`, the flush ends by the deadline of `stop` if one comes, else after the timeout of one attempt.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued or under way, uncounted.
    pub(super) async fn run(mut self, cancel: CancellationToken, mut stop: Stop) -> FlushReport {
        // The first interval ends after one interval: there is nothing to tell before. If time jumps over several,
        // they are one.
        let mut ticks = tokio::time::interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.launch_next();
            tokio::select! {
                // The end first, so that a busy receiver cannot put it off.
                biased;
                () = cancel.cancelled() => break,
                () = asked_to_stop(&mut stop) => break,
                delivery = arrival(&mut self.inflight) => self.settle(delivery),
                _ = ticks.tick() => self.tick().await,
            }
        }
        self.flush(stop).await
    }

    /// Starts a round, unless the source has to know first what becomes of the messages of the last.
    async fn tick(&mut self) {
        if self.in_round || self.inflight.is_some() || !self.parts.is_empty() || !self.queue.is_empty() {
            if !self.source.may_queue() {
                self.stats.lock().collections_skipped += 1;
                return;
            }
            self.queue_the_rest().await;
        }
        self.begin(Round::Next);
    }

    fn begin(&mut self, round: Round) {
        self.stats.lock().collections += 1;
        self.source.begin(round);
        self.in_round = true;
    }

    fn next_of_round(&mut self) -> Option<(Message, S::Receipt)> {
        if !self.in_round {
            return None;
        }
        let next = self.source.next();
        self.in_round = next.is_some();
        next
    }

    /// Moves what is left of the round under way into the queue.
    async fn queue_the_rest(&mut self) {
        while let Some((message, receipt)) = self.next_of_round() {
            self.source.queued(receipt);
            for dropped in self.queue.push(message) {
                self.give_up(&dropped, DropReason::QueueFull);
            }
            self.stats.lock().queue_bytes = self.queue.bytes();
            // A message takes a fraction of a millisecond to write; others may run in between.
            tokio::task::yield_now().await;
        }
    }

    /// Sends the next message, unless one is under way; false if there is none.
    fn launch_next(&mut self) -> bool {
        if self.inflight.is_some() {
            return true;
        }
        let waiting = self.parts.pop_front().or_else(|| self.queue.pop().map(|message| (message, None)));
        self.stats.lock().queue_bytes = self.queue.bytes();
        let next =
            waiting.or_else(|| self.next_of_round().map(|(message, receipt)| (message, Some(receipt))));
        let Some((message, receipt)) = next else { return false };
        let hurry = CancellationToken::new();
        let delivery = Box::pin(self.connection.clone().deliver(
            S::SERVICE,
            message.bytes.clone(),
            self.stats.clone(),
            hurry.clone(),
        ));
        self.inflight = Some(Inflight { message, receipt, hurry, delivery });
        true
    }

    /// Books the end of a delivery.
    fn settle(&mut self, delivery: Delivery) {
        let Some(Inflight { message, receipt, .. }) = self.inflight.take() else { return };
        match delivery {
            Delivery::Accepted { rejected, message: said } => {
                let rejected = rejected.min(message.items);
                {
                    let mut stats = self.stats.lock();
                    stats.exported_batches += 1;
                    stats.exported_items += message.items - rejected;
                    stats.exported_bytes += message.bytes.len() as u64;
                    stats.rejected_items += rejected;
                    stats.last_success_unix_nanos = self.clock.shown(self.clock.now().unix_nanos);
                    if rejected > 0 {
                        stats.last_error = Some(format!("receiver rejected {rejected} items: {said}"));
                    }
                }
                self.connection.log.accepted(S::SERVICE, rejected, &said);
                if let Some(receipt) = receipt {
                    self.source.accepted(receipt);
                }
            }
            Delivery::TooLarge => match self.source.too_large(&message, receipt) {
                Smaller::Parts(parts) => parts.into_iter().rev().for_each(|part| self.parts.push_front(part)),
                Smaller::Round => self.in_round = true,
                Smaller::Nothing(receipt) => self.drop_settled(&message, receipt, DropReason::Refused),
            },
            Delivery::Dropped(reason) => self.drop_settled(&message, receipt, reason),
        }
    }

    /// Books a message that will not be sent again.
    fn drop_settled(&mut self, message: &Message, receipt: Option<S::Receipt>, reason: DropReason) {
        if self.source.may_queue() || self.in_last_round {
            self.give_up(message, reason);
        } else {
            // Its values travel in the next round.
            let mut stats = self.stats.lock();
            stats.deferred_batches += 1;
            stats.deferred_items += message.items;
        }
        if let Some(receipt) = receipt {
            self.source.dropped(receipt, reason);
        }
    }

    fn give_up(&self, message: &Message, reason: DropReason) {
        self.stats.dropped(reason, message.items);
        self.connection.log.dropped(S::SERVICE, reason, message.items);
    }

    /// Delivers what is under way and queued, and one more round, before the deadline.
    async fn flush(&mut self, mut stop: Stop) -> FlushReport {
        let before = self.stats.lock().clone();
        let by_itself = Instant::now() + self.connection.timeout();
        let continued = stop.borrow().is_some_and(|ending| ending.continued);
        let last = if continued { Round::Next } else { Round::Last };
        if let Some(under_way) = &self.inflight {
            under_way.hurry.cancel();
        }
        tokio::select! {
            () = self.deliver_all(last) => {}
            () = deadline(&mut stop, by_itself) => {}
        }
        self.count_what_is_left(last);
        let after = self.stats.lock().clone();
        FlushReport {
            delivered_items: after.exported_items - before.exported_items,
            dropped_items: after.all_dropped_items() - before.all_dropped_items(),
        }
    }

    async fn deliver_all(&mut self, last: Round) {
        loop {
            if !self.launch_next() {
                if self.in_last_round {
                    return;
                }
                self.in_last_round = true;
                self.begin(last);
                continue;
            }
            let delivery = arrival(&mut self.inflight).await;
            self.settle(delivery);
        }
    }

    /// Counts what time did not suffice for: under way, queued, and what there was to collect.
    fn count_what_is_left(&mut self, last: Round) {
        let under_way = self.inflight.take().map(|under_way| under_way.message);
        let parts = std::mem::take(&mut self.parts).into_iter().map(|(message, _)| message);
        let queued = std::iter::from_fn(|| self.queue.pop());
        for message in under_way.into_iter().chain(parts).chain(queued) {
            self.stats.dropped(DropReason::Shutdown, message.items);
        }
        self.stats.lock().queue_bytes = 0;
        self.count_round();
        if !self.in_last_round {
            self.begin(last);
            self.count_round();
        }
    }

    fn count_round(&mut self) {
        while let Some((message, _)) = self.next_of_round() {
            self.stats.dropped(DropReason::Shutdown, message.items);
        }
    }
}

/// Completes with the delivery under way; never if there is none.
async fn arrival<R>(inflight: &mut Option<Inflight<R>>) -> Delivery {
    match inflight {
        Some(inflight) => (&mut inflight.delivery).await,
        None => std::future::pending().await,
    }
}

/// Completes when a deadline has been set; never if nobody can set one any more.
async fn asked_to_stop(stop: &mut Stop) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes at the deadline that was set, or `by_itself` if none is.
async fn deadline(stop: &mut Stop, by_itself: Instant) {
    tokio::select! {
        () = tokio::time::sleep_until(by_itself), if stop.borrow().is_none() => {}
        () = asked_to_stop(stop) => {
            let at = stop.borrow().map_or(by_itself, |ending| ending.by);
            tokio::time::sleep_until(at).await;
        }
    }
}
