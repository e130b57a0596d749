//! Where series leave the process: the HTTP endpoint and the OTLP exporters, as the configuration lists them.
//!
//! A change is prepared first (ports bound, certificates read) and carried out only when nothing can fail any more.

mod setup;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use ig_config::runtime::Exporters;
use ig_exporters::{
    otlp::{OtlpError, OtlpExporter, OtlpHandle, OtlpStats, ReadOwn},
    prometheus::PageSource,
    scrape::{ScrapeSettings, Scrapes},
};
use ig_files::Changed;
use ig_http::{Limits, Listener, Predecessor, Server, Stats, StatsReader, status_page};
use ig_model::{Hint, Host, Proxies, otlp::OtlpSettings};
use ig_series::Registry;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use self::setup::{Planned, Wrong};
use super::{CollectorOptions, Drains, decide::Occasion, identity::instance_id};
use crate::{
    health::{OwnMetrics, OwnSources, ready},
    status::{ExporterStatus, Status},
    tasks::Tasks,
};

/// An exporter that is taken out of the configuration gets this long to flush.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Requests that are under way when the endpoint is closed get this long to finish.
const FINISH_PATIENCE: Duration = Duration::from_secs(5);

/// An output that cannot be opened.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The endpoint's address cannot be bound.
    #[error("failed to listen on {address} (exporters.prometheus.listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The settings of an OTLP exporter cannot work.
    #[error("failed to set up OTLP exporter `{name}` (exporters.otlp.{name})")]
    Otlp {
        /// The exporter.
        name: String,
        /// Why.
        #[source]
        cause: OtlpError,
    },
    /// The files of an OTLP exporter cannot be read in time.
    #[error("failed to set up OTLP exporter `{name}`: its files could not be read within {patience:?}")]
    Late {
        /// The exporter.
        name: String,
        /// How long was waited for them.
        patience: Duration,
    },
    /// Setting up an OTLP exporter panicked, which is a fault of the collector.
    #[error("failed to set up OTLP exporter `{name}`")]
    Panicked {
        /// The exporter.
        name: String,
        /// The panic.
        #[source]
        cause: tokio::task::JoinError,
    },
}

impl Hint for OutputError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Otlp { cause, .. } => cause.hint(),
            Self::Listen { .. } | Self::Late { .. } | Self::Panicked { .. } => None,
        }
    }
}

/// The open outputs.
#[derive(Debug)]
pub(super) struct Outputs {
    registry: Registry,
    tasks: Tasks,
    scrapes: Scrapes,
    status: Status,
    identity: Identity,
    endpoint: Option<Endpoint>,
    proxies: Proxies,
    otlp: BTreeMap<String, (OtlpSettings, OtlpSlot)>,
    /// The exporters of the configuration in force that are not as they should be.
    wrong: BTreeMap<String, Wrong>,
    counted: Counted,
    own: Own,
}

/// Reads the collector's own metrics.
struct Own(ReadOwn);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Endpoint {
    wanted: SocketAddr,
    bound: SocketAddr,
    /// For an endpoint on the same port at another address.
    listener: Predecessor,
    stop: CancellationToken,
}

/// What has numbers that are among the collector's own metrics.
#[derive(Clone, Debug, Default)]
struct Counted {
    slots: Arc<Mutex<Vec<OtlpSlot>>>,
    /// Of every server so far: its counts do not go back when another address takes over.
    servers: Arc<Mutex<Vec<StatsReader>>>,
}

/// The handle of an exporter that may be made anew while it is held.
#[derive(Clone, Debug)]
struct OtlpSlot(Arc<Mutex<OtlpHandle>>);

impl OtlpSlot {
    fn handle(&self) -> OtlpHandle {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, handle: OtlpHandle) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }
}

impl OwnSources for Counted {
    fn otlp(&self) -> Vec<(String, OtlpStats)> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .map(OtlpSlot::handle)
            .map(|handle| (handle.name().to_owned(), handle.metrics()))
            .collect()
    }

    fn http(&self) -> Stats {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().fold(Stats::default(), |sum, server| sum + server.read())
    }
}

/// What becomes of the endpoint.
enum EndpointChange {
    Keep,
    Close,
    Open(SocketAddr, Listener),
}

/// Outputs that can be put in force.
pub(super) struct Prepared {
    endpoint: EndpointChange,
    planned: Planned,
}

impl Outputs {
    pub(super) fn new(
        options: &CollectorOptions,
        registry: Registry,
        status: Status,
        drains: Drains,
        tasks: Tasks,
    ) -> Self {
        let identity = Identity::new(options.version, &options.host, &options.config);
        let counted = Counted::default();
        let proxies = Proxies::of_process();
        for (variable, value) in proxies.shown() {
            info!(name: "proxy.named", variable, value, "loopback is reached directly");
        }
        let own = OwnMetrics::new(
            status.clone(),
            registry.clone(),
            Arc::new(counted.clone()),
            identity.version,
            tasks.clone(),
            options.lost_log_lines,
        );
        let mut on_page = prometheus_client::registry::Registry::default();
        on_page.register_collector(Box::new(own.clone()));
        let resource = identity.resource(&BTreeMap::new());
        let source = PageSource::new(registry.clone(), resource, Some(Arc::new(on_page)));
        let settings = ScrapeSettings {
            before_scrape: Some(Arc::new(move || {
                let drains = drains.clone();
                Box::pin(async move { drains.drain().await })
            })),
            ..ScrapeSettings::default()
        };
        Self {
            registry,
            tasks,
            scrapes: Scrapes::new(source, settings),
            status,
            identity,
            endpoint: None,
            proxies,
            otlp: BTreeMap::new(),
            wrong: BTreeMap::new(),
            counted,
            own: Own(Arc::new(move || own.families())),
        }
    }

    /// Where the endpoint listens.
    pub(super) fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|endpoint| endpoint.bound)
    }

    /// Opens what `exporters` asks for beyond what is open, and anew what is made from a file that `changed`.
    pub(super) async fn prepare(
        &self,
        exporters: &Exporters,
        changed: &Changed,
        occasion: Occasion,
    ) -> Result<Prepared, OutputError> {
        let wanted = exporters.prometheus.as_ref().map(|prometheus| prometheus.listen);
        let endpoint = if wanted == self.endpoint.as_ref().map(|endpoint| endpoint.wanted) {
            EndpointChange::Keep
        } else if let Some(address) = wanted {
            let old = self.endpoint.as_ref().map(|endpoint| endpoint.listener.clone()).unwrap_or_default();
            let listener = Listener::tcp_after(address, &old)
                .await
                .map_err(|cause| OutputError::Listen { address, cause })?;
            EndpointChange::Open(address, listener)
        } else {
            EndpointChange::Close
        };
        let planned = Planned::of(self, &exporters.otlp, changed, occasion).await?;
        Ok(Prepared { endpoint, planned })
    }

    /// Flushes every OTLP exporter by `deadline` and closes the endpoint; returns bytes nobody took.
    pub(super) async fn stop(&mut self, deadline: Instant) -> u64 {
        let handles: Vec<OtlpHandle> =
            std::mem::take(&mut self.otlp).into_values().map(|(_, slot)| slot.handle()).collect();
        // All at once: one receiver that hangs must not eat the time of the others.
        let flushes = handles.iter().map(|handle| handle.flush_and_stop(deadline));
        let mut left = 0;
        for (flush, handle) in join_all(flushes).await.into_iter().zip(&handles) {
            if flush.dropped_items > 0 {
                error!(
                    name: "otlp.flush.incomplete",
                    exporter = handle.name(),
                    points = flush.dropped_items,
                    "given up at the end"
                );
                left += handle.metrics().queue_bytes as u64;
            }
        }
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.stop.cancel();
        }
        left
    }

    /// Shows the exporters on the board.
    fn show(&self) {
        let running = self.otlp.keys().map(|name| (name.clone(), ExporterStatus::running()));
        let wrong = self.wrong.iter().map(|(name, Wrong { state, reason, .. })| {
            (name.clone(), ExporterStatus { state: *state, reason: Some(reason.clone()) })
        });
        let exporters = running.chain(wrong).collect();
        self.status.with(|board| board.exporters = exporters);
    }

    fn serve(&self, listener: Listener, address: SocketAddr, stop: CancellationToken) {
        let (status, tasks) = (self.status.clone(), self.tasks.clone());
        let readiness = Arc::new(move |query: &str| {
            let is_strict = query.split('&').any(|part| part == "strict" || part.starts_with("strict="));
            let troubles = tasks.troubles();
            let answer = status.with(|board| ready(board, &troubles, SystemTime::now(), is_strict));
            (answer.ok, answer.body)
        });
        let router = self
            .scrapes
            .router("/metrics")
            .merge(status_page("/healthz", Arc::new(|_| (true, "ok\n".to_owned()))))
            .merge(status_page("/readyz", readiness))
            .merge(status_page("/", Arc::new(|_| (true, "ig: /metrics /healthz /readyz\n".to_owned()))));
        let mut first = Some(listener);
        let servers = Arc::clone(&self.counted.servers);
        self.tasks.supervise("http", address.to_string(), move |all_stop| {
            let (listener, router, stop) = (first.take(), router.clone(), stop.clone());
            let servers = Arc::clone(&servers);
            async move {
                let listener = match listener {
                    Some(listener) => listener,
                    // The socket has gone with the server that panicked.
                    None => Listener::tcp(address)
                        .await
                        .map_err(|cause| OutputError::Listen { address, cause })?,
                };
                let shutdown = async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = all_stop.cancelled() => {}
                    }
                };
                let server = Server::new(listener, Limits::default());
                let stats = server.stats();
                servers.lock().unwrap_or_else(PoisonError::into_inner).push(stats.clone());
                let cut_off = server.run(router, shutdown, FINISH_PATIENCE).await;
                debug!(name: "http.server.ended", cut_off, stats = ?stats.read());
                Ok(())
            }
        });
    }

    /// Runs an exporter, and one like it after each that panics. What was not sent yet is sent by the next one, as far as
    /// the series still hold it.
    fn export(&self, settings: OtlpSettings, exporter: OtlpExporter, slot: OtlpSlot) {
        let resource = self.identity.resource(&settings.resource);
        let (registry, proxies) = (self.registry.clone(), self.proxies.clone());
        let own = Arc::clone(&self.own.0);
        let mut first = Some(exporter);
        self.tasks.supervise("otlp", settings.name.clone(), move |stop| {
            let exporter = match first.take() {
                Some(exporter) => Ok(exporter),
                None => OtlpExporter::new(&settings, &resource, &registry, &proxies, Some(Arc::clone(&own)))
                    .map(|(exporter, handle)| {
                        slot.set(handle);
                        exporter
                    }),
            };
            async move {
                exporter?.run(stop).await;
                Ok(())
            }
        });
    }
}

impl Prepared {
    /// Puts the outputs in force and closes those that are no longer wanted.
    pub(super) fn commit(self, outputs: &mut Outputs) {
        if !matches!(self.endpoint, EndpointChange::Keep)
            && let Some(old) = outputs.endpoint.take()
        {
            old.stop.cancel();
        }
        if let EndpointChange::Open(wanted, listener) = self.endpoint {
            let bound = listener.tcp_address().unwrap_or(wanted);
            let stop = CancellationToken::new();
            let predecessor = listener.predecessor();
            outputs.serve(listener, bound, stop.clone());
            outputs.endpoint = Some(Endpoint { wanted, bound, listener: predecessor, stop });
            info!(name: "prometheus.listening", address = %bound);
        }
        let Planned { started, kept, wrong } = self.planned;
        let old = std::mem::take(&mut outputs.otlp);
        for (name, (spec, slot)) in old {
            if kept.contains(&name) {
                outputs.otlp.insert(name, (spec, slot));
            } else {
                let is_replaced = started.iter().any(|(spec, ..)| spec.name == name);
                outputs.tasks.spawn("otlp-flush", move |_| async move {
                    let deadline = Instant::now() + FLUSH_PATIENCE;
                    if is_replaced {
                        slot.handle().flush_and_hand_over(deadline).await;
                    } else {
                        slot.handle().flush_and_stop(deadline).await;
                    }
                });
            }
        }
        for (spec, exporter, handle) in started {
            info!(name: "otlp.started", exporter = spec.name, endpoint = spec.shown_endpoint());
            let slot = OtlpSlot(Arc::new(Mutex::new(handle)));
            outputs.export(spec.clone(), exporter, slot.clone());
            outputs.otlp.insert(spec.name.clone(), (spec, slot));
        }
        for (exporter, Wrong { state, reason, .. }) in &wrong {
            error!(name: "otlp.refused", exporter, state = state.name(), reason = reason.text());
        }
        outputs.wrong = wrong;
        outputs.show();
        let slots = outputs.otlp.values().map(|(_, slot)| slot.clone()).collect();
        *outputs.counted.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }
}

/// Who exports.
#[derive(Clone, Debug)]
struct Identity {
    version: &'static str,
    host_name: String,
    instance_id: String,
    node: Option<String>,
}

impl Identity {
    /// The collector of this version that runs the configuration at `config` on `host`.
    fn new(version: &'static str, host: &Host, config: &Path) -> Self {
        Self {
            version,
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            instance_id: instance_id(host, config),
            node: host.node.clone(),
        }
    }

    /// Resource attributes that say so, with `extra` ones, which go before.
    fn resource(&self, extra: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let mut attributes = BTreeMap::from([
            ("service.name".to_owned(), "ig".to_owned()),
            ("service.version".to_owned(), self.version.to_owned()),
            ("service.instance.id".to_owned(), self.instance_id.clone()),
            ("host.name".to_owned(), self.host_name.clone()),
        ]);
        attributes.extend(self.node.iter().map(|node| ("k8s.node.name".to_owned(), node.clone())));
        attributes.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        attributes.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an exporter's `resource:` names the instance and adds an attribute.
    /// Guarantees: what was written counts; else there is an instance id by default.
    #[test]
    fn resource_settings_go_before_the_default_identity() {
        let host = Host::of([("NODE_NAME".into(), "node-7".into())]);
        let identity = Identity::new("1.2.3", &host, Path::new("/etc/ig/config.yaml"));
        let value = |extra: &BTreeMap<String, String>, key: &str| {
            identity.resource(extra).into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
        };
        let none = BTreeMap::new();
        assert_eq!(value(&none, "service.instance.id").map(|id| id.len()), Some(36));
        assert_eq!(value(&none, "k8s.node.name").as_deref(), Some("node-7"));
        let given = BTreeMap::from([("service.instance.id".to_owned(), "mine".to_owned())]);
        assert_eq!(value(&given, "service.instance.id").as_deref(), Some("mine"));
        assert_eq!(value(&given, "service.name").as_deref(), Some("ig"));
    }
}
