//! The making of OTLP exporters: what becomes of one that cannot be made.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ig_exporters::otlp::{OtlpExporter, OtlpHandle};
use ig_files::Changed;
use ig_model::{Reason, ReasonKind, otlp::OtlpSettings};

use super::{Occasion, OutputError, Outputs};
use crate::{collector::files::concern_exporter, status::State};

/// The files of an exporter have to be read in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of the exporters of a configuration.
#[derive(Default)]
pub(super) struct Planned {
    /// New ones.
    pub(super) started: Vec<(OtlpSettings, OtlpExporter, OtlpHandle)>,
    /// Those that run already and go on.
    pub(super) kept: Vec<String>,
    /// Those that are not as they should be.
    pub(super) wrong: BTreeMap<String, Wrong>,
}

/// An exporter that cannot be made as it should be.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    spec: OtlpSettings,
    /// Degraded if it runs as it was made before, else refused.
    pub(super) state: State,
    pub(super) reason: Reason,
}

impl Planned {
    /// Makes what `wanted` asks for beyond what runs, and anew what is made from a file that `changed`.
    ///
    /// At a start, an exporter that cannot be made is refused alone. At a reload it refuses the reload, unless the
    /// configuration says of it what it said before: then it stays as it was, running or refused.
    pub(super) async fn of(
        outputs: &Outputs,
        wanted: &BTreeMap<String, OtlpSettings>,
        changed: &Changed,
        occasion: Occasion,
    ) -> Result<Self, OutputError> {
        let mut planned = Self::default();
        for (name, spec) in wanted {
            let runs = outputs.otlp.get(name).is_some_and(|(known, _)| known == spec);
            let is_wrong = outputs.wrong.get(name).is_some_and(|wrong| wrong.spec == *spec);
            if runs && !is_wrong && !concern_exporter(changed, spec) {
                planned.kept.push(name.clone());
                continue;
            }
            let error = match make(outputs, spec).await {
                Ok((exporter, handle)) => {
                    planned.started.push((spec.clone(), exporter, handle));
                    continue;
                }
                Err(error) => error,
            };
            if occasion != Occasion::Start && !runs && !is_wrong {
                return Err(error);
            }
            let is_late = matches!(error, OutputError::Late { .. });
            let kind = if is_late { ReasonKind::Transient } else { ReasonKind::Config };
            let reason = Reason::hinted(kind, error);
            let state = if runs { State::Degraded } else { State::Refused };
            if runs {
                planned.kept.push(name.clone());
            }
            planned.wrong.insert(name.clone(), Wrong { spec: spec.clone(), state, reason });
        }
        Ok(planned)
    }
}

/// Makes an exporter on a thread that may wait for files.
async fn make(outputs: &Outputs, spec: &OtlpSettings) -> Result<(OtlpExporter, OtlpHandle), OutputError> {
    let resource = outputs.identity.resource(&spec.resource);
    let (registry, proxies) = (outputs.registry.clone(), outputs.proxies.clone());
    let (name, settings) = (spec.name.clone(), spec.clone());
    let own = Arc::clone(&outputs.own.0);
    let work = tokio::task::spawn_blocking(move || {
        OtlpExporter::new(&settings, &resource, &registry, &proxies, Some(own))
    });
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(made)) => made.map_err(|cause| OutputError::Otlp { name, cause }),
        Ok(Err(cause)) => Err(OutputError::Panicked { name, cause }),
        Err(_elapsed) => Err(OutputError::Late { name, patience: PATIENCE }),
    }
}
