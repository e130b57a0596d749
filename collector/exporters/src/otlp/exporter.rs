//! One receiver from its settings to its end: the connection, the signals that share it, and the handle on them.

use std::sync::Arc;

use ig_model::Proxies;
use ig_model::otlp::OtlpSettings;
use ig_series::Registry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::deliver::{Deliverer, Ending, FlushReport, Stop};
use super::encode;
use super::error::OtlpError;
use super::log::FailureLog;
use super::metrics::Metrics;
use super::own::{Own, ReadOwn};
use super::queue::MemoryQueue;
use super::stats::{OtlpStats, SharedStats};
use super::transport::Wire;

/// Pushes to one receiver the series of a registry and the numbers of the process itself. It spawns nothing: the caller does so with
/// [`OtlpExporter::run`].
pub struct OtlpExporter {
    name: String,
    metrics: Deliverer<Metrics, Wire>,
    own: Option<Deliverer<Own, Wire>>,
    stop: Stop,
    /// Tells the handle that the exporter has ended; dropped with it.
    ended: watch::Sender<Option<FlushReport>>,
}

/// Steers an exporter and reads its counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OtlpHandle {
    name: Arc<str>,
    metrics: SharedStats,
    own: SharedStats,
    stop: Arc<watch::Sender<Option<Ending>>>,
    ended: watch::Receiver<Option<FlushReport>>,
}

impl OtlpHandle {
    /// The exporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What has happened to metrics so far, those of the process itself included.
    pub fn metrics(&self) -> OtlpStats {
        let gadgets = self.metrics.lock().clone();
        gadgets.merged(self.own.lock().clone())
    }

    /// Collects once more, delivers what can be delivered before `deadline`, and ends the exporter: the receiver is told
    /// that gauges have ended.
    ///
    /// Returns when the exporter has ended, at most shortly after the deadline; with nothing delivered if it was
    /// never run, has been dropped or has panicked.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the stop back.
    pub async fn flush_and_stop(&self, deadline: Instant) -> FlushReport {
        self.end(Ending { by: deadline, continued: false }).await
    }

    /// [`Self::flush_and_stop`] for an exporter that another one takes the place of: its series go on.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the stop back.
    pub async fn flush_and_hand_over(&self, deadline: Instant) -> FlushReport {
        self.end(Ending { by: deadline, continued: true }).await
    }

    async fn end(&self, ending: Ending) -> FlushReport {
        self.stop.send_replace(Some(ending));
        let mut ended = self.ended.clone();
        let report = ended.wait_for(Option::is_some).await.map(|report| *report);
        report.ok().flatten().unwrap_or_default()
    }
}

impl OtlpExporter {
    /// Makes an exporter that says `resource` of itself, and its handle. What `own` reads is sent beside the series of the
    /// registry. Nothing is connected or spawned; files are read, which may take a while.
    ///
    /// # Errors
    /// [`OtlpError`] if the settings cannot work: endpoint, headers, certificate files, the proxy on the way.
    pub fn new(
        settings: &OtlpSettings,
        resource: &[(String, String)],
        registry: &Registry,
        proxies: &Proxies,
        own: Option<ReadOwn>,
    ) -> Result<(Self, OtlpHandle), OtlpError> {
        let wire = Wire::new(settings, proxies)?;
        Ok(Self::over(wire, settings, resource, registry, own))
    }

    pub(super) fn over(
        transport: Wire,
        settings: &OtlpSettings,
        resource: &[(String, String)],
        registry: &Registry,
        own: Option<ReadOwn>,
    ) -> (Self, OtlpHandle) {
        let log = FailureLog::new(&settings.name, settings.shown_endpoint());
        let connection = Connection::new(transport, settings.timeout, settings.retry.policy(), log);
        let resource = encode::resource(resource);
        let (stats, own_stats) = (SharedStats::default(), SharedStats::default());
        let (interval, clock) = (settings.interval, registry.clock());
        let own = own.map(|read| {
            let source = Own::new(read, Arc::clone(&clock), resource.clone());
            // It never queues.
            let queue = Box::new(MemoryQueue::new(0));
            let (clock, stats) = (Arc::clone(&clock), own_stats.clone());
            Deliverer::new(source, connection.clone(), queue, interval, clock, stats)
        });
        let source = Metrics::new(&settings.name, registry, settings.temporality, resource, stats.clone());
        let queue = MemoryQueue::new(usize::try_from(settings.queue.max_bytes).unwrap_or(usize::MAX));
        let metrics = Deliverer::new(source, connection, Box::new(queue), interval, clock, stats.clone());
        let (stop, stopped) = watch::channel(None);
        let (ended, end) = watch::channel(None);
        let handle = OtlpHandle {
            name: settings.name.as_str().into(),
            metrics: stats,
            own: own_stats,
            stop: Arc::new(stop),
            ended: end,
        };
        (Self { name: settings.name.clone(), metrics, own, stop: stopped, ended }, handle)
    }

    /// Runs until `cancel` fires or [`OtlpHandle::flush_and_stop`] is called, then flushes.
    ///
    /// After `cancel`, the flush ends by the deadline of [`OtlpHandle::flush_and_stop`] if one comes, else after
    /// the timeout of one attempt.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued or under way, uncounted.
    pub async fn run(self, cancel: CancellationToken) -> FlushReport {
        let Self { metrics, own, stop, ended, .. } = self;
        let (also_cancel, also_stop) = (cancel.clone(), stop.clone());
        let own = async move {
            match own {
                Some(own) => own.run(also_cancel, also_stop).await,
                None => FlushReport::default(),
            }
        };
        let (report, own) = tokio::join!(metrics.run(cancel, stop), own);
        let report = FlushReport {
            delivered_items: report.delivered_items + own.delivered_items,
            dropped_items: report.dropped_items + own.dropped_items,
        };
        ended.send_replace(Some(report));
        report
    }
}

impl std::fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpExporter").field("name", &self.name).finish_non_exhaustive()
    }
}
