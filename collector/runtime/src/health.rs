//! The collector's own health: what it says on `/healthz` and `/readyz`, and its own metrics.

mod inventory;
mod own;
mod process;

use std::time::SystemTime;

pub use inventory::{INVENTORY, OwnMetric, ledger, markdown};
pub use own::{OwnMetrics, OwnSources};

use crate::status::{Board, Reason, State};

/// The answer of a health endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the answer is a success.
    pub ok: bool,
    /// Text for people and for probes' logs.
    pub body: String,
}

/// Readiness: a configuration is in force and every gadget of it has been tried, whatever came of it; if `is_strict`, all
/// of them run as well, the last reload was carried out, and no task is in trouble. The body says what is not so.
pub fn ready(board: &Board, troubles: &[(String, String)], now: SystemTime, is_strict: bool) -> Answer {
    let is_tried = board.reload.applied_at.is_some();
    let total = board.gadgets.len();
    let running = board.gadgets.values().filter(|gadget| gadget.state.is_read()).count();
    let is_well = running == total
        && board.gadgets.values().all(|gadget| gadget.state == State::Running)
        && board.exporters.values().all(|exporter| exporter.state == State::Running)
        && board.reload.faults.is_empty()
        && troubles.is_empty();
    let ok = is_tried && (is_well || !is_strict);
    let mut lines = vec![match (is_tried, running == total) {
        (true, true) => "ready".to_owned(),
        (true, false) => format!("{running} of {total} running"),
        (false, _) => format!("not ready: {running} of {total} running"),
    }];
    for (name, gadget) in &board.gadgets {
        let kind = gadget.reasons.first().map(|reason| format!(" ({}): ", reason.kind.name()));
        let reasons = Reason::join(&gadget.reasons);
        lines.push(format!("gadget {name}: {}{}{reasons}", gadget.state.name(), kind.unwrap_or_default()));
    }
    for (name, exporter) in &board.exporters {
        if let Some(reason) = &exporter.reason {
            let (state, kind) = (exporter.state.name(), reason.kind.name());
            lines.push(format!("exporter {name}: {state} ({kind}): {}", reason.text()));
        }
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
    lines.extend(troubles.iter().map(|(task, trouble)| format!("task {task}: begun anew after: {trouble}")));
    let body = lines.join("\n") + "\n";
    Answer { ok, body }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::{ExporterStatus, GadgetStatus, ReasonKind};

    /// Scenario: one exporter runs and one is refused.
    /// Guarantees: the page names the refused one with its reason; the collector is ready.
    #[test]
    fn a_refused_exporter_is_named() {
        let now = SystemTime::UNIX_EPOCH;
        let mut board = Board::default();
        board.reload.applied_at = Some(now);
        board.exporters.insert("good".to_owned(), ExporterStatus::running());
        let reason = Some(Reason::new(ReasonKind::Config, "no such file"));
        board.exporters.insert("bad".to_owned(), ExporterStatus { state: State::Refused, reason });
        let answer = ready(&board, &[], now, false);
        assert!(answer.ok && !ready(&board, &[], now, true).ok);
        assert!(answer.body.contains("\nexporter bad: refused (config): no such file\n"), "{}", answer.body);
        assert!(!answer.body.contains("good"), "{}", answer.body);
    }

    /// Scenario: a configuration is in force, and the wall clock is set back by an hour.
    /// Guarantees: it stays in force on the page, as one that was applied just now.
    #[test]
    fn a_clock_set_back_takes_nothing_out_of_force() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_hours(10);
        let mut board = Board::default();
        board.reload.applied_at = Some(at);
        board.reload.hash = "abc".to_owned();
        assert_eq!(
            ready(&board, &[], at + Duration::from_secs(5), true).body,
            "ready\nconfig: abc applied 5 s ago\n"
        );
        let early = ready(&board, &[], at - Duration::from_hours(1), false);
        assert_eq!((early.ok, early.body.as_str()), (true, "ready\nconfig: abc applied 0 s ago\n"));
    }
    /// Scenario: nothing was tried yet; then one of two gadgets is refused, the other one loses records; then all is well,
    /// but for a task that was begun anew.
    /// Guarantees: the first line says how many run; once all were tried the answer is a success, unless somebody asks for
    /// more, who hears of whatever is not as it should be.
    #[test]
    fn strict_readiness_wants_all_to_be_well() {
        let gadget = |state| GadgetStatus::new(state, "image".to_owned());
        let mut board = Board::default();
        board.gadgets.insert("a".to_owned(), gadget(State::Pending));
        board.gadgets.insert("b".to_owned(), gadget(State::Running));
        let answers = |board: &Board, troubles: &[(String, String)]| {
            let [plain, strict] =
                [false, true].map(|strict| ready(board, troubles, SystemTime::now(), strict));
            assert_eq!(plain.body, strict.body);
            (plain.ok, strict.ok, plain.body.lines().next().unwrap().to_owned())
        };
        assert_eq!(answers(&board, &[]), (false, false, "not ready: 1 of 2 running".to_owned()));
        board.reload.applied_at = Some(SystemTime::now());
        board.gadgets.insert("a".to_owned(), gadget(State::Refused));
        assert_eq!(answers(&board, &[]), (true, false, "1 of 2 running".to_owned()));
        board.gadgets.insert("a".to_owned(), gadget(State::Degraded));
        assert_eq!(answers(&board, &[]), (true, false, "ready".to_owned()));
        board.gadgets.insert("a".to_owned(), gadget(State::Running));
        assert_eq!(answers(&board, &[]), (true, true, "ready".to_owned()));
        let trouble = ("otlp main".to_owned(), "task `otlp` panicked: no".to_owned());
        assert_eq!(answers(&board, std::slice::from_ref(&trouble)), (true, false, "ready".to_owned()));
    }
}
