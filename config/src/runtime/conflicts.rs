//! Metrics of which an exporter would lose one, because it shows both under one name.

use ig_model::{
    Position,
    names::{Claims, Exposed},
};

use super::load::Draft;
use crate::{Fault, Span, source::join};

/// The parameter that gives data sources scopes of their own.
const SCOPES: &str = "operator.otel-metrics.otel-metrics-name";

/// Compares the names of all metrics in the documents as exporters show them. Those of images are compared when a gadget
/// is planned.
pub(super) fn conflicts(drafts: &[Draft<'_>]) -> Vec<Fault> {
    let mut claims: Claims<Position> = Claims::default();
    let mut faults = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        let has_scopes = draft.gadget.params.contains_key(SCOPES);
        for (written, metric) in draft.gadget.metrics.iter().enumerate() {
            // Said where the gadget was read.
            if draft.gadget.metrics.iter().take(written).any(|first| first.name == metric.name) {
                continue;
            }
            // Gadgets are scopes; a name may be missing or stand twice.
            let scope = match (&metric.datasource, has_scopes) {
                (Some(source), true) => format!("{index}.{source}"),
                _ => index.to_string(),
            };
            let unit = metric.unit.as_deref().unwrap_or_default();
            let exposed = Exposed { name: &metric.name, unit, kind: metric.kind, scope: &scope };
            let Err(clash) = claims.claim(exposed, metric.at.cloned()) else { continue };
            let Position { line, column, .. } = *metric.at;
            let span = Span { line, column, end_line: line, end_column: column };
            let path = join(&draft.path, "metrics");
            let problem = format!("metric `{}` {}", metric.name, clash.reason);
            let fault = draft.document.source.fault(span, path, problem);
            faults.push(match clash.other {
                Some(other) => fault.other(other).hint("rename one of them"),
                None => fault.hint("rename it"),
            });
        }
    }
    faults
}
