//! One receiver from its settings to its end: the connection, the signals that share it, and the handle on them.

use std::sync::Arc;

use ig_model::otlp::OtlpSettings;
use ig_series::Registry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::deliver::{Deliverer, FlushReport, Stop};
use super::encode;
use super::error::OtlpError;
use super::log::FailureLog;
use super::metrics::Metrics;
use super::queue::MemoryQueue;
use super::stats::{OtlpStats, SharedStats};
use super::transport::Wire;

/// Pushes to one receiver, so far the series of a registry. It spawns nothing: the caller does so with
/// [`OtlpExporter::run`].
pub struct OtlpExporter {
    name: String,
    metrics: Deliverer<Metrics, Wire>,
    stop: Stop,
    /// Tells the handle that the exporter has ended; dropped with it.
    ended: watch::Sender<Option<FlushReport>>,
}

/// Steers an exporter and reads its counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OtlpHandle {
    name: Arc<str>,
    metrics: SharedStats,
    stop: Arc<watch::Sender<Option<Instant>>>,
    ended: watch::Receiver<Option<FlushReport>>,
}

impl OtlpHandle {
    /// The exporter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What has happened to metrics so far.
    pub fn metrics(&self) -> OtlpStats {
        self.metrics.lock().clone()
    }

    /// Collects once more, delivers what can be delivered before `deadline`, and ends the exporter.
    ///
    /// Returns when the exporter has ended, at most shortly after the deadline; with nothing delivered if it was
    /// never run, has been dropped or has panicked.
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

impl OtlpExporter {
    /// Makes an exporter that says `resource` of itself, and its handle. Nothing is connected or spawned.
    ///
    /// # Errors
    /// [`OtlpError`] if the settings cannot work: endpoint, headers, certificate files.
    pub fn new(
        settings: &OtlpSettings,
        resource: &[(String, String)],
        registry: &Registry,
    ) -> Result<(Self, OtlpHandle), OtlpError> {
        let wire = Wire::new(settings)?;
        Ok(Self::over(wire, settings, resource, registry))
    }

    pub(super) fn over(
        transport: Wire,
        settings: &OtlpSettings,
        resource: &[(String, String)],
        registry: &Registry,
    ) -> (Self, OtlpHandle) {
        let log = FailureLog::new(&settings.name, &settings.endpoint);
        let connection = Connection::new(transport, settings.timeout, settings.retry.policy(), log);
        let stats = SharedStats::default();
        let source = Metrics::new(
            &settings.name,
            registry,
            settings.temporality,
            encode::resource(resource),
            stats.clone(),
        );
        let queue = MemoryQueue::new(usize::try_from(settings.queue.max_bytes).unwrap_or(usize::MAX));
        let metrics = Deliverer::new(
            source,
            connection,
            Box::new(queue),
            settings.interval,
            registry.clock(),
            stats.clone(),
        );
        let (stop, stopped) = watch::channel(None);
        let (ended, end) = watch::channel(None);
        let handle = OtlpHandle {
            name: settings.name.as_str().into(),
            metrics: stats,
            stop: Arc::new(stop),
            ended: end,
        };
        (Self { name: settings.name.clone(), metrics, stop: stopped, ended }, handle)
    }

    /// Runs until `cancel` fires or [`OtlpHandle::flush_and_stop`] is called, then flushes.
    ///
    /// After `cancel`, the flush ends by the deadline of [`OtlpHandle::flush_and_stop`] if one comes, else after
    /// the timeout of one attempt.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued or under way, uncounted.
    pub async fn run(self, cancel: CancellationToken) -> FlushReport {
        let report = self.metrics.run(cancel, self.stop).await;
        self.ended.send_replace(Some(report));
        report
    }
}

impl std::fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpExporter").field("name", &self.name).finish_non_exhaustive()
    }
}
