//! Data sources that operators feed: read by asking the system, at intervals.
//!
//! A reading of ten thousand processes takes some hundred milliseconds, and a file of procfs can block behind a lock of
//! the process it is about. So readings are made on a thread that may wait, and only the batch comes to the thread that
//! reads records.

use std::{fmt::Debug, io, path::PathBuf, sync::Arc};

use ig_model::Host;
use thiserror::Error;

use crate::{batch::Batch, stats::bpfstats::Owner};

/// What a data source of an operator is made of, decided.
pub trait FeedPlan: Debug + Send {
    /// What makes one reading different from another: equal keys mean that nothing needs to be opened again.
    fn key(&self) -> String;

    /// Opens what is read.
    ///
    /// # Errors
    /// The system does not give it.
    fn open(&self, host: &Host) -> Result<Box<dyn Gather>, FeedError>;
}

/// Makes readings.
///
/// The first reading gives no records where what is reported are differences.
pub trait Gather: Send {
    /// Learns of the gadgets of this process.
    fn meet(&mut self, _gadgets: Arc<dyn RunningGadgets>) {}

    /// Appends the records of one reading. It may wait, on a thread that may.
    ///
    /// # Errors
    /// The reading is not whole; what was appended counts.
    fn gather(&mut self, batch: &mut Batch) -> Result<(), FeedError>;
}

/// The gadgets of this process, by what they have in the kernel.
pub trait RunningGadgets: Send + Sync {
    /// Those that run now.
    fn list(&self) -> Vec<Owner>;
}

/// A reading that cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeedError {
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

/// What stands in the way of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedErrorKind {
    /// A capability.
    Permission,
    /// The kernel has it not.
    Kernel,
    /// Something that may pass.
    Transient,
}

impl FeedError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause }
    }

    pub(crate) fn bpf(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Bpf { action, cause }
    }

    /// What stands in the way.
    pub fn kind(&self) -> FeedErrorKind {
        match self {
            Self::File { cause, .. } | Self::Bpf { cause, .. } if is_denied(cause) => {
                FeedErrorKind::Permission
            }
            Self::NoHierarchy { .. } => FeedErrorKind::Kernel,
            Self::Bpf { cause, .. } if cause.kind() == io::ErrorKind::InvalidInput => FeedErrorKind::Kernel,
            _ => FeedErrorKind::Transient,
        }
    }
}

fn is_denied(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::PermissionDenied
}
