//! The collector as a whole: start, follow the configuration, stop.

mod decide;
mod documents;
mod driver;
mod files;
mod gadgets;
mod identity;
mod image_source;
mod image_thread;
mod inbox;
mod machine;
mod outputs;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ig_exporters::prometheus::Names;
use ig_model::Host;
use ig_operators::{FormatContext, format::Accounts};
use ig_series::{Registry, RegistryLimits};
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};

pub use inbox::{Command, Reloaded, commands};

use crate::{
    reader::{Reader, SourceHandle},
    status::{Board, Reason, Status},
    tasks::Tasks,
};
use driver::{Driver, Parts};
use files::Files;
use image_thread::ImageThread;
use machine::Kernel;
use outputs::OutputError;

/// How long a scrape waits for the readers to hand over what the kernel has.
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);

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
    /// How many lines of the log were lost because nobody took them.
    pub lost_log_lines: fn() -> u64,
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

/// Why the collector did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong; nothing was started.
    #[error("the configuration has {} fault(s)", .0.len())]
    Config(Vec<Reason>),
    /// An output could not be opened.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Images cannot be had under these settings.
    #[error(transparent)]
    Images(#[from] crate::images::ImagesError),
    /// The system has no thread or event loop to give.
    #[error("failed to start the collector's threads")]
    Threads(#[source] std::io::Error),
    /// It was told to stop before anything was started.
    #[error("stopped before anything was started")]
    Stopped,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    driver: Driver<Kernel>,
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
    /// [`Command::Stop`] ends a start, whatever it waits for: what runs is drained by [`Collector::stop`], and
    /// [`Collector::run`] returns at once.
    ///
    /// # Errors
    /// When the configuration is wrong or an output cannot be opened; nothing keeps running then. A gadget that
    /// cannot start is refused with a reason, and the others run.
    pub async fn start(
        options: CollectorOptions,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, StartError> {
        let status = Status::default();
        let registry = Registry::new(RegistryLimits { series_total: 0 }, Arc::new(Names));
        let format = FormatContext {
            clock: options.host.clock,
            accounts: Arc::new(Accounts::in_root(&options.host.root)),
        };
        let tasks = Tasks::new();
        let machine = Kernel {
            options: options.clone(),
            reader: Reader::start(tasks.clone(), status.clone()).map_err(StartError::Threads)?,
            images: ImageThread::start().map_err(StartError::Threads)?,
            tasks: tasks.clone(),
            registry: registry.clone(),
            status: status.clone(),
            format,
        };
        // Before the first load, so that no edit falls between the two.
        let files = Files::follow(&options.config, &tasks);
        let parts = Parts { options, machine, status, registry, tasks, commands, files };
        Ok(Self { driver: Driver::start(parts).await? })
    }

    /// What is known now.
    pub fn board(&self) -> Board {
        self.driver.status().with(|board| board.clone())
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.driver.metrics_address()
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&mut self) -> bool {
        self.driver.is_stopping()
    }

    /// Follows the configuration and carries out commands until [`Command::Stop`].
    pub async fn run(&mut self) {
        self.driver.run().await;
    }

    /// Drains in the order of the flow (sources, series, exporters) and ends by `patience`.
    pub async fn stop(self, patience: Duration) -> Leftovers {
        self.driver.stop(patience).await
    }
}
