//! Statistics: read from procfs, cgroupfs and the kernel's list of eBPF objects, at intervals.
//!
//! A reading of ten thousand processes takes some hundred milliseconds, and a file of procfs can block behind a lock of the
//! process it is about. So readings are made on a thread that may wait, at ordinary priority, and only what they gave
//! comes to the reader thread. The first reading gives no records: what is reported are differences.
//!
//! # Source
//! Processes and cgroups are those of the [`Host`], also in a container that has the host's file system mounted.

mod bpf;
mod cgroup;
mod process;
mod procfs;

use std::{io, path::PathBuf};

use ig_model::Host;
use ig_operators::{Batch, stats::Statistics};
use thiserror::Error;

use super::SourceName;
use crate::{
    owners::Owners,
    pipeline::{Handover, Pipeline},
    status::ReasonKind,
};

/// Records handed on before other sources get their turn.
const TURN: usize = 512;

/// The niceness of ordinary threads; readings inherit that of the reader otherwise, which goes before all others.
const ORDINARY: i32 = 0;

/// A source of statistics.
pub struct StatsFeed {
    /// Away while a reading is under way.
    gatherer: Option<Box<Gatherer>>,
    batch: Batch,
}

/// What makes readings.
enum Gatherer {
    Process(process::Processes),
    Cgroup(cgroup::Cgroups),
    Bpf(bpf::Programs),
}

/// Statistics that cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A file cannot be read.
    #[error("failed to read `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// No hierarchy of cgroups is mounted that limits processor time.
    #[error("no cgroup hierarchy with the cpu controller is mounted (see `{}`)", .mounts.display())]
    NoHierarchy {
        /// Where mounts are listed.
        mounts: PathBuf,
    },
    /// The kernel refuses a command of bpf(2).
    #[error("failed to {action}{}", if is_denied(.cause) { " (needs CAP_SYS_ADMIN)" } else { "" })]
    Bpf {
        /// What the command was for.
        action: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An earlier reading panicked, which is a fault of this program.
    #[error("a reading panicked; the source gives nothing any more")]
    Panicked,
}

impl StatsError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause }
    }

    fn bpf(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Bpf { action, cause }
    }

    /// What kind of reason it is for a gadget not to start.
    pub fn reason_kind(&self) -> ReasonKind {
        match self {
            Self::File { cause, .. } | Self::Bpf { cause, .. } if is_denied(cause) => ReasonKind::Permission,
            Self::NoHierarchy { .. } => ReasonKind::Kernel,
            Self::Bpf { cause, .. } if cause.kind() == io::ErrorKind::InvalidInput => ReasonKind::Kernel,
            _ => ReasonKind::Transient,
        }
    }
}

fn is_denied(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::PermissionDenied
}

impl StatsFeed {
    /// Opens what `statistics` are read from.
    ///
    /// # Errors
    /// When the system does not give it.
    pub fn open(statistics: &Statistics, host: &Host) -> Result<Self, StatsError> {
        let gatherer = match statistics {
            Statistics::Process(shown) => Gatherer::Process(process::Processes::open(shown, host)?),
            Statistics::Cgroup => Gatherer::Cgroup(cgroup::Cgroups::open(host)?),
            Statistics::Bpf(scope) => Gatherer::Bpf(bpf::Programs::open(*scope, host)?),
        };
        Ok(Self { gatherer: Some(Box::new(gatherer)), batch: Batch::default() })
    }

    /// The same feed, which knows whose programs are whose.
    #[must_use]
    pub(super) fn knowing(mut self, owners: Owners) -> Self {
        if let Some(Gatherer::Bpf(programs)) = self.gatherer.as_deref_mut() {
            programs.know(owners);
        }
        self
    }

    /// Makes a reading that the next one is compared with.
    pub(super) async fn prime(&mut self, name: &SourceName) {
        if let Err(error) = self.gather().await {
            // The next reading says it again, where it counts.
            let SourceName { gadget, source } = name;
            tracing::debug!(name: "source.prime.failed", gadget, source,
                error = &error as &dyn std::error::Error);
        }
        self.batch.clear();
    }

    /// Makes a reading and hands its records on.
    pub(super) async fn fetch(&mut self, pipeline: &mut Pipeline) -> Result<(), StatsError> {
        self.gather().await?;
        for (number, record) in self.batch.iter().enumerate() {
            pipeline.take(record, Handover::None);
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.batch.clear();
        Ok(())
    }

    async fn gather(&mut self) -> Result<(), StatsError> {
        let mut gatherer = self.gatherer.take().ok_or(StatsError::Panicked)?;
        let mut batch = std::mem::take(&mut self.batch);
        let work = tokio::task::spawn_blocking(move || {
            // `None` is this thread alone; to step back is always allowed.
            rustix::process::setpriority_process(None, ORDINARY).ok();
            batch.clear();
            let result = gatherer.gather(&mut batch);
            (gatherer, batch, result)
        });
        let Ok((gatherer, batch, result)) = work.await else { return Err(StatsError::Panicked) };
        self.gatherer = Some(gatherer);
        self.batch = batch;
        result
    }
}

impl Gatherer {
    fn gather(&mut self, batch: &mut Batch) -> Result<(), StatsError> {
        match self {
            Self::Process(processes) => processes.gather(batch),
            Self::Cgroup(cgroups) => cgroups.gather(batch),
            Self::Bpf(programs) => programs.gather(batch),
        }
    }
}
