//! The documents that say what runs, read on threads that may wait for the disk.

use std::path::Path;

use ig_config::{
    Fault, Position,
    runtime::{LoadError, Loaded},
};
use tokio::time::Instant;
use tracing::warn;

use super::decide::pause;
use crate::{
    status::{Reason, ReasonKind},
    tasks::Tasks,
};

/// When documents that could not be read are read again.
#[derive(Debug, Default)]
pub(super) struct Reread {
    at: Option<Instant>,
    tries: u32,
}

impl Reread {
    /// Notes what came of a reading: whether a file could not be read.
    pub(super) fn note(&mut self, unread: bool) {
        self.at = unread.then(|| Instant::now() + pause(self.tries));
        self.tries = if unread { self.tries.saturating_add(1) } else { 0 };
    }

    /// Waits until it is time.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn due(&mut self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.at = None;
    }
}

/// Reads the configuration on a thread that may wait for the disk.
pub(super) async fn load(tasks: &Tasks, path: &Path) -> Result<Loaded, LoadError> {
    let (path, name) = (path.to_owned(), path.display().to_string());
    let read = tasks.blocking("config", move || ig_config::runtime::load(&path)).await;
    read.unwrap_or_else(|panic| {
        let fault = Fault::new(Position::whole(&name), "", panic.to_string());
        Err(LoadError { faults: vec![fault], hash: String::new(), referenced: Vec::new(), unread: true })
    })
}

/// Faults of documents as reasons.
pub(super) fn reasons(faults: Vec<Fault>) -> Vec<Reason> {
    faults.into_iter().map(|fault| Reason::new(ReasonKind::Config, fault)).collect()
}

/// Logs what is odd and no fault.
pub(super) fn warn_of(warnings: &[Fault]) {
    for warning in warnings {
        warn!(name: "config.warning", "{warning}");
    }
}
