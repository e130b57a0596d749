//! The collector's own health: what it says on `/healthz` and `/readyz`, and its own metrics.

mod inventory;
mod own;
mod process;

use std::time::SystemTime;

pub use inventory::{INVENTORY, OwnMetric, ledger, markdown};
pub use own::{OwnMetrics, OwnSources};

use crate::status::Board;

/// The answer of a health endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the answer is a success.
    pub ok: bool,
    /// Text for people and for probes' logs.
    pub body: String,
}

/// Readiness: a configuration is in force and every gadget of it has been tried, whatever came of it. The body says
/// what, and how the last reload went.
pub fn ready(board: &Board, now: SystemTime) -> Answer {
    let ok = board.reload.applied_at.is_some();
    let mut lines = vec![if ok { "ready" } else { "not ready" }.to_owned()];
    for (name, gadget) in &board.gadgets {
        let reason = gadget.reason.as_ref();
        let reason =
            reason.map(|reason| format!(" ({}): {}", reason.kind.name(), reason.text)).unwrap_or_default();
        lines.push(format!("gadget {name}: {}{reason}", gadget.state.name()));
    }
    lines.push(match board.reload.applied_at.and_then(|at| now.duration_since(at).ok()) {
        Some(age) => format!("config: {} applied {} s ago", board.reload.hash, age.as_secs()),
        None => "config: not applied yet".to_owned(),
    });
    if !board.reload.faults.is_empty() {
        lines.push(format!(
            "last reload: refused with {} fault(s); the configuration above stays in force",
            board.reload.faults.len()
        ));
        lines.extend(board.reload.faults.iter().map(|fault| format!("  {fault}")));
    }
    let body = lines.join("\n") + "\n";
    Answer { ok, body }
}
