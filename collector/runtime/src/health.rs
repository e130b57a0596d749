//! The collector's own health: what it says on `/healthz` and `/readyz`, and its own metrics.

mod inventory;
mod own;
mod process;

use std::time::SystemTime;

pub use inventory::{INVENTORY, OwnMetric, ledger, markdown};
pub use own::{OwnMetrics, OwnSources};

use crate::status::{Board, Reason};

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
        let kind = gadget.reasons.first().map(|reason| format!(" ({}): ", reason.kind.name()));
        let reasons = Reason::join(&gadget.reasons);
        lines.push(format!("gadget {name}: {}{}{reasons}", gadget.state.name(), kind.unwrap_or_default()));
    }
    lines.push(match board.reload.applied_at {
        // Nothing is older than it was when the wall clock is set back.
        Some(at) => {
            let age = now.duration_since(at).unwrap_or_default();
            format!("config: {} applied {} s ago", board.reload.hash, age.as_secs())
        }
        None => "config: not applied yet".to_owned(),
    });
    if !board.reload.faults.is_empty() {
        lines.push(format!(
            "last reload: refused with {} fault(s); the configuration above stays in force",
            board.reload.faults.len()
        ));
        lines.extend(board.reload.faults.iter().map(|fault| format!("  {}", fault.text())));
    }
    let body = lines.join("\n") + "\n";
    Answer { ok, body }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Scenario: a configuration is in force, and the wall clock is set back by an hour.
    /// Guarantees: it stays in force on the page, as one that was applied just now.
    #[test]
    fn a_clock_set_back_takes_nothing_out_of_force() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_hours(10);
        let mut board = Board::default();
        board.reload.applied_at = Some(at);
        board.reload.hash = "abc".to_owned();
        assert_eq!(ready(&board, at + Duration::from_secs(5)).body, "ready\nconfig: abc applied 5 s ago\n");
        let early = ready(&board, at - Duration::from_hours(1));
        assert_eq!((early.ok, early.body.as_str()), (true, "ready\nconfig: abc applied 0 s ago\n"));
    }
}
