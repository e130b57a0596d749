//! One gadget, run for somebody who watches.
//!
//! The same plan, instance and reader as in a collector, without configuration file, exporters and reloads: the rows go
//! to the sinks of the plan, and the run is over when the gadget has given all it will or is told to stop.

use std::{collections::BTreeMap, io, sync::Arc};

use ig_model::Host;
use ig_series::{Registry, RegistryLimits, Verbatim};
use thiserror::Error;

use crate::{
    instance::{Built, Running},
    plan::{GadgetPlan, SinkFactory},
    reader::Reader,
    status::{GadgetStatus, Reason, SourceStats, State, Status},
    tasks::Tasks,
};

/// A gadget that is running.
#[derive(Debug)]
pub struct Interactive {
    running: Running,
    status: Status,
    /// Keeps the thread; sources end with it.
    _reader: Reader,
}

/// Why a gadget did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The system has no thread or event loop to give.
    #[error("failed to start the reader thread")]
    Reader(#[source] io::Error),
    /// The kernel said no.
    #[error("{}", .0.text())]
    Refused(Reason),
    /// The sinks do not fit the data sources, in words.
    #[error("{}", .0.join("\n"))]
    Sinks(Vec<String>),
    /// Loading panicked, which is a fault of this program.
    #[error("loading panicked: {0}")]
    Panicked(String),
}

impl Interactive {
    /// Loads, attaches, opens the sinks and reads.
    ///
    /// # Errors
    /// The first thing the kernel or the system refused; nothing stays attached.
    pub async fn start(
        plan: GadgetPlan,
        image: String,
        host: Arc<Host>,
        sinks: &dyn SinkFactory,
    ) -> Result<Self, StartError> {
        let status = Status::default();
        let reader = Reader::start(Tasks::new(), status.clone()).map_err(StartError::Reader)?;
        let mut state = GadgetStatus::new(State::Running, image);
        state.digest = Some(plan.programs.digest.to_string());
        status.with(|board| board.gadgets.insert(plan.name.clone(), state));
        let registry = Registry::new(RegistryLimits { series_total: 0 }, Arc::new(Verbatim));
        let built = tokio::task::spawn_blocking(move || Built::new(plan, &host)).await;
        let mut built =
            built.map_err(|panic| StartError::Panicked(panic.to_string()))?.map_err(StartError::Refused)?;
        // Last, so that a gadget that does not load prints no header.
        built.open_sinks(sinks).map_err(StartError::Sinks)?;
        ig_kernel::sys::memory::malloc_trim();
        let (running, _) = built.start(&reader, &registry, &status, None).await;
        Ok(Self { running, status, _reader: reader })
    }

    /// Waits until every data source has given all it will; for ever where one of them has no end.
    pub async fn exhausted(&self) {
        self.running.exhausted().await;
    }

    /// Drains a last time and detaches in the background; the numbers of each data source.
    pub async fn stop(self) -> BTreeMap<String, Arc<SourceStats>> {
        self.running.stop().await;
        self.status.with(|board| board.gadgets.values().flat_map(|gadget| gadget.sources.clone()).collect())
    }
}
