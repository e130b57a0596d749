//! The collector as a whole: start, follow the configuration, stop.

mod files;
mod outputs;
mod reconcile;
mod supply;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ig_config::runtime::RuntimeConfig;
use ig_exporters::prometheus::Names;
use ig_model::Host;
use ig_operators::{FormatContext, format::Accounts};
use ig_series::{Registry, RegistryLimits};
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    reader::{Reader, SourceHandle},
    status::{Board, Status},
    tasks::Tasks,
};
use files::Files;
use outputs::{OutputError, Outputs};
use reconcile::{Gadgets, Mode};
use supply::{Route, Supply};

/// How long a scrape waits for the readers to hand over what the kernel has.
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);

/// How often gauges nobody sets any more are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// What the caller decides.
#[derive(Clone)]
pub struct CollectorOptions {
    /// The runtime-config file or directory.
    pub config: PathBuf,
    /// The image store, unless the configuration names one.
    pub store: PathBuf,
    /// Version of the program.
    pub version: &'static str,
    /// Puts the configuration's `log` section in force.
    pub apply_log: fn(ig_config::runtime::Log),
    /// What flags and environment say about images.
    pub images: crate::images::ImageFlags,
    /// The machine that is observed.
    pub host: Arc<Host>,
    /// Makes sinks beside the exporters, if there are to be any.
    pub sinks: Vec<Arc<dyn crate::plan::SinkFactory>>,
}

impl std::fmt::Debug for CollectorOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the collector is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Read the configuration again.
    Reload,
    /// Drain and end.
    Stop,
}

/// Why the collector did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong; nothing was started.
    #[error("the configuration has {} fault(s)", .0.len())]
    Config(Vec<String>),
    /// An output could not be opened.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Images cannot be had under these settings.
    #[error(transparent)]
    Images(#[from] crate::images::ImagesError),
    /// The system has no thread or event loop to give.
    #[error("failed to start the reader thread")]
    Reader(#[source] std::io::Error),
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    options: CollectorOptions,
    config: RuntimeConfig,
    /// Hash of the last configuration looked at, applied or not.
    seen: String,
    tasks: Tasks,
    status: Status,
    registry: Registry,
    gadgets: Gadgets,
    outputs: Outputs,
    drains: Drains,
    files: Files,
}

/// What was left behind when the collector ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Tasks that did not end in time.
    pub tasks: usize,
    /// Bytes of OTLP requests nobody took.
    pub otlp_bytes: u64,
}

/// The sources to drain before anybody looks at the series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drains(Arc<Mutex<Vec<SourceHandle>>>);

impl Drains {
    fn set(&self, handles: Vec<SourceHandle>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handles;
    }

    /// Asks every source to hand over what the kernel has, and waits a moment for the answers.
    pub(crate) async fn drain(&self) {
        let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers: Vec<_> = handles.iter().filter_map(SourceHandle::request_drain).collect();
        let deadline = Instant::now() + DRAIN_PATIENCE;
        for answer in answers {
            // Late or gone: the scrape goes on with what is there.
            drop(tokio::time::timeout_at(deadline, answer).await);
        }
    }
}

impl Collector {
    /// Reads the configuration, opens the outputs and starts every gadget that can be started.
    ///
    /// # Errors
    /// When the configuration is wrong or an output cannot be opened; nothing keeps running then. A gadget that
    /// cannot start is no error: it is refused with a reason, and the others run.
    pub async fn start(options: CollectorOptions) -> Result<Self, StartError> {
        // Before the first load, so that no edit falls between the two.
        let mut files = Files::follow(&options.config);
        let loaded = ig_config::runtime::load(&options.config)
            .map_err(|error| StartError::Config(error.faults.iter().map(ToString::to_string).collect()))?;
        for warning in &loaded.warnings {
            warn!(name: "config.warning", "{warning}");
        }
        // Before certificates and keys are read.
        files.also(loaded.referenced.clone(), &loaded.config);
        let config = loaded.config;
        (options.apply_log)(config.log);
        let route = Route::open(&config.images, &options.images, &options.store, &options.host)?;
        files.set_images(route.files());
        files.also(loaded.referenced, &config);
        let tasks = Tasks::new();
        let status = Status::default();
        let registry =
            Registry::new(RegistryLimits { series_total: config.limits.series_total }, Arc::new(Names));
        let reader = Reader::start(status.clone()).map_err(StartError::Reader)?;
        let format = FormatContext {
            clock: options.host.clock,
            accounts: Arc::new(Accounts::in_root(&options.host.root)),
        };
        let drains = Drains::default();
        let mut outputs = Outputs::new(
            registry.clone(),
            status.clone(),
            drains.clone(),
            tasks.clone(),
            options.version,
            Arc::clone(&options.host),
        );
        outputs.prepare(&config.exporters, files.changed()).await?.commit(&mut outputs);
        let mut gadgets = Gadgets::new(
            Supply::new(route, tasks.clone()),
            reader,
            registry.clone(),
            status.clone(),
            format,
            Arc::clone(&options.host),
            options.sinks.clone(),
        );
        if let Err(faults) = gadgets.apply(&config, Mode::Start, &CancellationToken::new()).await {
            outputs.stop(Instant::now() + Duration::from_secs(1)).await;
            return Err(StartError::Config(faults));
        }
        drains.set(gadgets.handles());
        status.with(|board| {
            board.reload.applied_at = Some(SystemTime::now());
            board.reload.hash.clone_from(&loaded.hash);
            board.reload.last_success = true;
        });
        Ok(Self {
            options,
            config,
            seen: loaded.hash,
            tasks,
            status,
            registry,
            gadgets,
            outputs,
            drains,
            files,
        })
    }

    /// What is known now.
    pub fn board(&self) -> Board {
        self.status.with(|board| board.clone())
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.outputs.metrics_address()
    }

    /// Follows the configuration file and `events` until [`Event::Stop`].
    pub async fn run(&mut self, mut events: mpsc::Receiver<Event>) {
        let mut sweeps = tokio::time::interval(SWEEP_INTERVAL);
        sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refreshes = Refreshes::default();
        loop {
            let retry = self.gadgets.next_retry();
            refreshes.follow(self.gadgets.refresh_interval());
            // Cancel-safe: both channels lose nothing, and a sleep that is cut short is set up again.
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Reload) => if self.reload_unless_stopped(true, &mut events).await { return },
                    Some(Event::Stop) | None => return,
                },
                Some(()) = self.files.change() => {
                    if self.reload_unless_stopped(false, &mut events).await { return }
                }
                _ = sweeps.tick() => self.registry.sweep(),
                Some(delivery) = self.gadgets.delivered() => {
                    self.gadgets.deliver(delivery, &self.config).await;
                    self.drains.set(self.gadgets.handles());
                }
                () = refreshes.due() => self.gadgets.refresh(),
                () = tokio::time::sleep_until(retry.unwrap_or_else(far_future)), if retry.is_some() => {
                    self.gadgets.retry(&self.config).await;
                    self.drains.set(self.gadgets.handles());
                }
            }
        }
    }

    /// Reloads; true when told to stop meanwhile, which ends the wait for registries but no switch under way.
    async fn reload_unless_stopped(&mut self, forced: bool, events: &mut mpsc::Receiver<Event>) -> bool {
        let mut stopped = false;
        let mut again = false;
        {
            let stop = CancellationToken::new();
            let reload = self.reload(forced, stop.clone());
            tokio::pin!(reload);
            loop {
                // Cancel-safe: the reload is pinned and goes on, the channel loses nothing.
                tokio::select! {
                    () = &mut reload => break,
                    event = events.recv(), if !stopped => match event {
                        Some(Event::Reload) => again = true,
                        Some(Event::Stop) | None => {
                            stopped = true;
                            stop.cancel();
                        }
                    },
                }
            }
        }
        if again && !stopped {
            return Box::pin(self.reload_unless_stopped(true, events)).await;
        }
        stopped
    }

    /// Reads the configuration again and makes it so, wholly or not at all.
    async fn reload(&mut self, forced: bool, stop: CancellationToken) {
        let loaded = match ig_config::runtime::load(&self.options.config) {
            Ok(loaded) => loaded,
            Err(error) => {
                if forced || error.hash != self.seen {
                    self.seen.clone_from(&error.hash);
                    self.refuse(error.faults.iter().map(ToString::to_string).collect());
                }
                self.files.also(error.referenced, &self.config);
                return;
            }
        };
        let images_changed = self.files.concern_images(&loaded.config.images);
        let exporters_changed = self.files.concern_exporters(&loaded.config.exporters);
        let last_failed = self.status.with(|board| !board.reload.last_success);
        let in_force = self.status.with(|board| board.reload.hash.clone());
        // After a refused reload the configuration in force is looked at again when it comes back.
        let is_news = loaded.hash != self.seen || (last_failed && loaded.hash == in_force);
        if !forced && !images_changed && !exporters_changed && !is_news {
            self.files.applied();
            return;
        }
        self.seen.clone_from(&loaded.hash);
        self.files.also(loaded.referenced.clone(), &loaded.config);
        for warning in &loaded.warnings {
            warn!(name: "config.warning", "{warning}");
        }
        let started = Instant::now();
        let prepared = match self.outputs.prepare(&loaded.config.exporters, self.files.changed()).await {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse(vec![ig_model::chain(&error)]),
        };
        let images = &loaded.config.images;
        // Somebody who asks for a reload may know of changes that were not noticed.
        let route = if forced || images_changed || *images != self.config.images {
            match Route::open(images, &self.options.images, &self.options.store, &self.options.host) {
                Ok(route) => Some(Box::new(route)),
                Err(error) => {
                    return self.refuse(vec![format!("{}: {}", images.at, ig_model::chain(&error))]);
                }
            }
        } else {
            None
        };
        let made_from = route.as_ref().map(|route| route.files());
        match self.gadgets.apply(&loaded.config, Mode::Reload { from: &self.config, route }, &stop).await {
            Err(faults) if stop.is_cancelled() => {
                debug!(name: "config.reload.cancelled", faults = faults.len());
            }
            Err(faults) => self.refuse(faults),
            Ok(changes) => {
                prepared.commit(&mut self.outputs);
                self.registry.set_limits(RegistryLimits { series_total: loaded.config.limits.series_total });
                self.drains.set(self.gadgets.handles());
                (self.options.apply_log)(loaded.config.log);
                self.config = loaded.config;
                self.status.with(|board| {
                    board.reload.succeeded += 1;
                    board.reload.last_success = true;
                    board.reload.applied_at = Some(SystemTime::now());
                    board.reload.hash = loaded.hash;
                    board.reload.faults.clear();
                });
                let files = self.files.changed().to_string();
                info!(name: "config.reload.applied", %changes, files, took = ?started.elapsed());
                if let Some(made_from) = made_from {
                    self.files.set_images(made_from);
                }
                self.files.also(loaded.referenced, &self.config);
                self.files.applied();
            }
        }
    }

    fn refuse(&self, faults: Vec<String>) {
        error!(
            name: "config.reload.refused",
            faults = faults.len(),
            files = %self.files.changed(),
            "the configuration in force stays as it was:\n{}",
            faults.join("\n")
        );
        self.status.with(|board| {
            board.reload.failed += 1;
            board.reload.last_success = false;
            board.reload.faults = faults;
        });
    }

    /// Drains in the order of the flow (sources, series, exporters) and ends by `patience`.
    pub async fn stop(mut self, patience: Duration) -> Leftovers {
        let deadline = Instant::now() + patience;
        if tokio::time::timeout_at(deadline, self.gadgets.stop()).await.is_err() {
            warn!(name: "collector.stop.late", "some sources were not drained in time");
        }
        let otlp_bytes = self.outputs.stop(deadline).await;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
        let tasks = self.tasks.drain(left).await.err().unwrap_or(0);
        Leftovers { tasks, otlp_bytes }
    }
}

/// When tags are looked up again.
#[derive(Debug, Default)]
struct Refreshes {
    interval: Option<Duration>,
    ticks: Option<tokio::time::Interval>,
}

impl Refreshes {
    /// Goes by another interval, if it is another one.
    fn follow(&mut self, interval: Option<Duration>) {
        if interval != self.interval {
            self.interval = interval;
            self.ticks = interval.map(|interval| {
                let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                ticks
            });
        }
    }

    /// # Cancel safety
    /// No tick is lost.
    async fn due(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_hours(24)
}
