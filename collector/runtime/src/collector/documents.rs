//! The documents that say what runs, read on threads that may wait for the disk.

use std::path::Path;

use ig_config::{
    Fault, Position,
    runtime::{LoadError, Loaded},
};
use tracing::warn;

use crate::status::{Reason, ReasonKind};

/// Reads the configuration on a thread that may wait for the disk.
pub(super) async fn load(path: &Path) -> Result<Loaded, LoadError> {
    let (path, name) = (path.to_owned(), path.display().to_string());
    let read = tokio::task::spawn_blocking(move || ig_config::runtime::load(&path)).await;
    read.unwrap_or_else(|panic| {
        let at = Position::whole(&name);
        let fault = Fault::new(at, "", format!("reading the configuration panicked: {panic}"));
        Err(LoadError { faults: vec![fault], hash: String::new(), referenced: Vec::new() })
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
