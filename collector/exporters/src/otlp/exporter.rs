//! The life of one exporter: collect at each interval, deliver, flush at the end.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::collect::{Batch, Collection, Context};
use super::delta::Accepted;
use super::encode;
use super::log::FailureLog;
use super::queue::Queue;
use super::retry::Backoff;
use super::settings::{OtlpError, OtlpSettings, RetrySettings, Temporality};
use super::stats::{DropReason, OtlpStats, SharedStats};
use super::transport::{Answer, Transport};
use crate::clock::Clock;
use crate::series::{Registry, Subscription, TableInner};

/// Pushes the series of a registry to one receiver. It spawns nothing: the caller does so with
/// [`OtlpExporter::run`].
pub struct OtlpExporter {
    settings: OtlpSettings,
    registry: Registry,
    subscription: Subscription,
    clock: Arc<dyn Clock>,
    transport: Transport,
    resource: Vec<u8>,
    stats: SharedStats,
    accepted: Accepted,
    /// Tables that have left and whose last values are still to be sent.
    left: Vec<Arc<TableInner>>,
    queue: Queue,
    collection: Option<Collection>,
    /// The collection under way has had a message dropped.
    spoiled: bool,
    log: FailureLog,
    stop: watch::Receiver<Option<Instant>>,
    /// Tells the handle that the exporter has ended; dropped with it.
    ended: watch::Sender<Option<FlushReport>>,
}

/// Steers an exporter and reads its counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OtlpHandle {
    name: Arc<str>,
    stats: SharedStats,
    stop: Arc<watch::Sender<Option<Instant>>>,
    ended: watch::Receiver<Option<FlushReport>>,
}

/// What the end of an exporter left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Points delivered after the stop was asked for.
    pub delivered_points: u64,
    /// Points given up because time ran out or the receiver did not take them.
    pub dropped_points: u64,
}

impl OtlpHandle {
    /// The exporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What has happened so far.
    pub fn stats(&self) -> OtlpStats {
        self.stats.lock().clone()
    }

    /// Collects once more, delivers what can be delivered before `deadline`, and ends the exporter.
    ///
    /// Returns when the exporter has ended, at most shortly after the deadline; with nothing delivered if it was
    /// never run or has been dropped.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the stop back.
    pub async fn flush_and_stop(&self, deadline: Instant) -> FlushReport {
        self.stop.send_replace(Some(deadline));
        let mut ended = self.ended.clone();
        let report = ended.wait_for(Option::is_some).await.map(|report| *report);
        report.ok().flatten().unwrap_or_default()
    }
}

/// How the delivery of one message ended.
enum Delivery {
    Accepted { rejected: u64, message: String },
    Dropped(DropReason),
}

/// A message being delivered.
struct Inflight {
    batch: Batch,
    /// Ends the waits between attempts early.
    hurry: CancellationToken,
    delivery: Pin<Box<dyn Future<Output = Delivery> + Send>>,
}

impl OtlpExporter {
    /// Makes an exporter and its handle. Nothing is connected or spawned.
    ///
    /// # Errors
    /// [`OtlpError`] if the settings cannot work: endpoint, headers, certificate files.
    pub fn new(settings: OtlpSettings, registry: &Registry) -> Result<(Self, OtlpHandle), OtlpError> {
        let transport = Transport::new(&settings)?;
        Ok(Self::with_transport(settings, registry, transport))
    }

    pub(super) fn with_transport(
        settings: OtlpSettings,
        registry: &Registry,
        transport: Transport,
    ) -> (Self, OtlpHandle) {
        let stats = SharedStats::default();
        let (stop, stopped) = watch::channel(None);
        let (ended, end) = watch::channel(None);
        let handle = OtlpHandle {
            name: settings.name.as_str().into(),
            stats: stats.clone(),
            stop: Arc::new(stop),
            ended: end,
        };
        let exporter = Self {
            resource: encode::resource(&settings.resource),
            queue: Queue::new(settings.queue_max_bytes),
            subscription: registry.subscribe(),
            clock: registry.clock(),
            registry: registry.clone(),
            log: FailureLog::new(&settings),
            settings,
            transport,
            stats,
            accepted: Accepted::default(),
            left: Vec::new(),
            collection: None,
            spoiled: false,
            stop: stopped,
            ended,
        };
        (exporter, handle)
    }

    /// Runs until `cancel` fires or [`OtlpHandle::flush_and_stop`] is called, then flushes.
    ///
    /// After `cancel`, the flush ends by the deadline of [`OtlpHandle::flush_and_stop`] if one comes, else after
    /// the timeout of one attempt.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued or under way, uncounted.
    pub async fn run(mut self, cancel: CancellationToken) -> FlushReport {
        let mut stop = self.stop.clone();
        let mut inflight: Option<Inflight> = None;
        // The first interval ends after one interval: there is nothing to tell before.
        let mut ticks =
            tokio::time::interval_at(Instant::now() + self.settings.interval, self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            if inflight.is_none() {
                inflight = self.next_batch().map(|batch| self.launch(batch));
            }
            tokio::select! {
                // The end first, so that a busy receiver cannot put it off.
                biased;
                () = cancel.cancelled() => break,
                () = asked_to_stop(&mut stop) => break,
                delivery = arrival(&mut inflight) => self.settle(&mut inflight, delivery),
                _ = ticks.tick() => self.tick(inflight.is_some()).await,
            }
        }
        let report = self.flush(inflight, stop).await;
        self.ended.send_replace(Some(report));
        report
    }

    /// Starts a collection, unless deltas are still waiting to be accepted.
    async fn tick(&mut self, busy: bool) {
        if self.collection.is_some() || busy || !self.queue.is_empty() {
            if self.settings.temporality == Temporality::Delta {
                self.stats.lock().collections_skipped += 1;
                return;
            }
            self.queue_the_rest().await;
        }
        self.begin();
    }

    fn begin(&mut self) {
        self.left.extend(self.subscription.take());
        let lost = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..lost);
        {
            let mut stats = self.stats.lock();
            stats.collections += 1;
            stats.tables_lost += lost as u64 + u64::from(self.subscription.take_overflowed());
        }
        self.spoiled = false;
        let directory = self.registry.directory();
        self.collection = Some(Collection::new(&directory, &self.left, &self.settings.name));
    }

    /// Moves what is left of the collection under way into the queue.
    async fn queue_the_rest(&mut self) {
        while let Some(batch) = self.collected() {
            for dropped in self.queue.push(batch) {
                self.stats.dropped(DropReason::QueueFull, dropped.points);
                self.log.dropped(DropReason::QueueFull, dropped.points);
            }
            self.stats.lock().queue_bytes = self.queue.bytes();
            // A batch takes a fraction of a millisecond to write; others may run in between.
            tokio::task::yield_now().await;
        }
    }

    /// The next message of the collection under way.
    fn collected(&mut self) -> Option<Batch> {
        let context = Context {
            resource: &self.resource,
            temporality: self.settings.temporality,
            clock: &*self.clock,
            accepted: &self.accepted,
        };
        let batch = self.collection.as_mut()?.next(&context);
        if batch.is_none() {
            self.collection = None;
            // With deltas, tables that left stay until their last values are accepted: the last message of the
            // collection has been settled by now, because only one is made at a time.
            if self.settings.temporality == Temporality::Cumulative || !self.spoiled {
                self.left.clear();
            }
            let directory = self.registry.directory();
            let kept: HashSet<u64> = directory
                .tables
                .iter()
                .map(|listed| listed.table.id)
                .chain(self.left.iter().map(|table| table.id))
                .collect();
            self.accepted.retain(&kept);
        }
        batch
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let queued = self.queue.pop();
        self.stats.lock().queue_bytes = self.queue.bytes();
        queued.or_else(|| self.collected())
    }

    fn launch(&self, batch: Batch) -> Inflight {
        let hurry = CancellationToken::new();
        let delivery = deliver(
            self.transport.clone(),
            batch.bytes.clone(),
            self.settings.timeout,
            self.settings.retry,
            hurry.clone(),
            self.stats.clone(),
            self.log.clone(),
        );
        Inflight { batch, hurry, delivery: Box::pin(delivery) }
    }

    /// Books the end of a delivery.
    fn settle(&mut self, inflight: &mut Option<Inflight>, delivery: Delivery) {
        let Some(Inflight { batch, .. }) = inflight.take() else { return };
        match delivery {
            Delivery::Accepted { rejected, message } => {
                let rejected = rejected.min(batch.points);
                {
                    let mut stats = self.stats.lock();
                    stats.exported_batches += 1;
                    stats.exported_points += batch.points - rejected;
                    stats.exported_bytes += batch.bytes.len() as u64;
                    stats.rejected_points += rejected;
                    stats.last_success_unix_nanos = self.clock.now().unix_nanos;
                    if rejected > 0 {
                        stats.last_error = Some(format!("receiver rejected {rejected} points: {message}"));
                    }
                }
                self.log.accepted(rejected, &message);
                self.accepted.commit(batch.commit);
            }
            Delivery::Dropped(reason) => {
                self.spoiled = true;
                self.stats.dropped(reason, batch.points);
                self.log.dropped(reason, batch.points);
            }
        }
    }

    /// Delivers what is under way and queued, and one more collection, before the deadline.
    async fn flush(
        &mut self,
        mut inflight: Option<Inflight>,
        mut stop: watch::Receiver<Option<Instant>>,
    ) -> FlushReport {
        let before = self.stats.lock().clone();
        let by_itself = Instant::now() + self.settings.timeout;
        let mut collected_last = false;
        let work = async {
            if let Some(under_way) = &inflight {
                under_way.hurry.cancel();
            }
            loop {
                if inflight.is_none() {
                    let mut batch = self.next_batch();
                    if batch.is_none() && !collected_last {
                        collected_last = true;
                        self.begin();
                        batch = self.next_batch();
                    }
                    let Some(batch) = batch else { break };
                    inflight = Some(self.launch(batch));
                }
                let delivery = arrival(&mut inflight).await;
                self.settle(&mut inflight, delivery);
            }
        };
        tokio::select! {
            () = work => {}
            () = deadline(&mut stop, by_itself) => {}
        }
        // What time did not suffice for.
        if let Some(under_way) = inflight {
            self.stats.dropped(DropReason::Shutdown, under_way.batch.points);
        }
        if !collected_last {
            self.queue_the_rest().await;
            self.begin();
        }
        while let Some(batch) = self.next_batch() {
            self.stats.dropped(DropReason::Shutdown, batch.points);
        }
        let after = self.stats.lock().clone();
        let dropped = |stats: &OtlpStats| stats.dropped_points.iter().sum::<u64>();
        FlushReport {
            delivered_points: after.exported_points - before.exported_points,
            dropped_points: dropped(&after) - dropped(&before),
        }
    }
}

impl std::fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpExporter").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

/// Tables that left, kept for a receiver that is away.
const MOST_LEFT: usize = 64;

/// Completes with the delivery under way; never if there is none.
async fn arrival(inflight: &mut Option<Inflight>) -> Delivery {
    match inflight {
        Some(inflight) => (&mut inflight.delivery).await,
        None => std::future::pending().await,
    }
}

/// Completes when a deadline has been set; never if nobody can set one any more.
async fn asked_to_stop(stop: &mut watch::Receiver<Option<Instant>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes at the deadline that was set, or `by_itself` if none is.
async fn deadline(stop: &mut watch::Receiver<Option<Instant>>, by_itself: Instant) {
    tokio::select! {
        () = tokio::time::sleep_until(by_itself), if stop.borrow().is_none() => {}
        () = asked_to_stop(stop) => {
            let at = (*stop.borrow()).unwrap_or(by_itself);
            tokio::time::sleep_until(at).await;
        }
    }
}

/// Delivers one message, attempt after attempt.
async fn deliver(
    transport: Transport,
    message: bytes::Bytes,
    timeout: Duration,
    retry: RetrySettings,
    hurry: CancellationToken,
    stats: SharedStats,
    log: FailureLog,
) -> Delivery {
    let began = Instant::now();
    let mut backoff = Backoff::new(retry);
    loop {
        let (after, error) = match transport.send(message.clone(), timeout).await {
            Answer::Accepted { rejected, message } => return Delivery::Accepted { rejected, message },
            Answer::Refused { error } => {
                log.failed(&stats, &error);
                return Delivery::Dropped(DropReason::Refused);
            }
            Answer::Retry { after, error } => (after, error),
        };
        log.failed(&stats, &error);
        let Some(wait) = backoff.wait(after, began.elapsed()) else {
            return Delivery::Dropped(DropReason::RetriesExhausted);
        };
        let hurried = hurry.is_cancelled();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // Only the wait that was under way is cut: later ones still spare a receiver that is down.
            () = hurry.cancelled(), if !hurried && after.is_none() => {}
        }
    }
}
