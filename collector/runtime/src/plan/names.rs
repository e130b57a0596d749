//! Metrics of which an exporter would lose one, because it shows both under one name: those of the configuration and those
//! of the image, over all data sources.

use ig_config::runtime::Gadget;
use ig_model::names::{Claims, Exposed};

use super::{SourcePlan, fault};
use crate::status::{Reason, ReasonKind};

/// Compares the names of all metrics of a gadget as exporters show them. Where one is the configuration's, the fault is
/// there.
pub(super) fn clashes(gadget: &Gadget, sources: &[SourcePlan]) -> Vec<Reason> {
    let mut claims: Claims<String> = Claims::default();
    let mut reasons = Vec::new();
    for of_image in [true, false] {
        for source in sources {
            let measures = source.measures.iter().flat_map(|measure| {
                measure.plan.instruments.iter().map(|instrument| (measure.place.scope.as_str(), instrument))
            });
            for (scope, instrument) in measures.filter(|(_, known)| known.at.is_none() == of_image) {
                let (spec, at) = (&instrument.spec, &instrument.at);
                let exposed = Exposed { name: &spec.name, unit: &spec.unit, kind: spec.kind, scope };
                let place = match at {
                    Some(at) => at.to_string(),
                    None => format!("`{}` of the image's data source `{}`", spec.name, source.schema.name()),
                };
                let Err(clash) = claims.claim(exposed, place.clone()) else { continue };
                let other = clash.other.map(|other| format!(" ({other})")).unwrap_or_default();
                let problem = format!("metric `{}` {}{other}", spec.name, clash.reason);
                reasons.push(match at {
                    Some(at) => {
                        let text = format!("{problem}; rename it, or set `image-metrics: false`");
                        Reason::new(ReasonKind::Config, text).located(at, &gadget.name)
                    }
                    None => image_reason(gadget, &problem, &place),
                });
            }
        }
    }
    reasons
}

/// Two metrics of the image, which the configuration can leave out or rename.
fn image_reason(gadget: &Gadget, problem: &str, place: &str) -> Reason {
    let text = format!("{place}: {problem}; rename one by `annotate`, or set `image-metrics: false`");
    fault(gadget, text)
}
