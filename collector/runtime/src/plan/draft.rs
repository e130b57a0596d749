//! Walks the operators over the data sources of a gadget.

use std::sync::Arc;

use ig_config::{metadata::Metadata, runtime::Gadget};
use ig_datasource::DataSource;
use ig_loader::Object;
use ig_operators::{
    Operators, SourceSchema,
    operator::{Draft, Fault, FaultKind, GadgetContext, ParamValues, Phase, PlanContext as OperatorContext},
};

use super::{PlanContext, SourcePlan, fault, schedule};
use crate::status::{Reason, ReasonKind};

/// What every data source of a gadget is planned from.
pub(super) struct Walk<'a> {
    pub(super) operators: &'a Operators,
    pub(super) gadget: &'a Gadget,
    pub(super) context: &'a PlanContext,
    pub(super) metadata: &'a Metadata,
    pub(super) object: Option<&'a Object>,
}

/// The data sources that operators bring, completed by gadget.yaml.
pub(super) fn brought(
    operators: &Operators,
    gadget: &Gadget,
    metadata: &Metadata,
    sources: &mut Vec<DataSource>,
    warnings: &mut Vec<String>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for operator in operators.iter() {
        let mut found = operator.sources(metadata);
        reasons.extend(found.faults.into_iter().map(|fault| reason(gadget, fault)));
        warnings.append(&mut found.warnings);
        for mut source in found.sources {
            warnings.extend(source.complete(metadata));
            let name = &source.name;
            if sources.iter().any(|known| known.name == *name) {
                let text = format!(
                    "data source `{name}` is declared twice: by the eBPF object and under `operator`"
                );
                reasons.push(Reason::new(ReasonKind::Object, text));
            } else {
                sources.push(source);
            }
        }
    }
    reasons
}

/// Has every operator check what is for the gadget as a whole; what is wrong counts as unset.
pub(super) fn check(
    operators: &Operators,
    gadget: &Gadget,
    sources: &[DataSource],
    params: &mut ParamValues,
) -> Vec<Reason> {
    let sources: Vec<&DataSource> = sources.iter().collect();
    let mut reasons = Vec::new();
    for operator in operators.iter() {
        let context = GadgetContext { gadget, sources: &sources, params: params.of(operator.name()) };
        if let Err(faults) = operator.check(&context) {
            reasons.extend(faults.into_iter().map(|fault| reason(gadget, fault)));
            params.clear(operator.name());
        }
    }
    reasons
}

impl Walk<'_> {
    /// Plans what happens to the records of each data source; all reasons why one cannot be.
    pub(super) fn plan(
        &self,
        sources: Vec<DataSource>,
        params: &ParamValues,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<SourcePlan>, Vec<Reason>> {
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut plans, mut reasons) = (Vec::new(), Vec::new());
        for source in sources {
            let (draft, faults) = self.draft(source, &names, params);
            reasons.extend(faults.into_iter().map(|fault| reason(self.gadget, fault)));
            for warning in &draft.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
            plans.push(self.planned(draft));
        }
        if reasons.is_empty() { Ok(plans) } else { Err(reasons) }
    }

    /// Hands a draft from operator to operator; what does not fit is in the second part.
    fn draft(&self, source: DataSource, names: &[&str], params: &ParamValues) -> (Draft, Vec<Fault>) {
        let Self { operators, gadget, context, metadata, object } = *self;
        let mut draft = Draft::new(SourceSchema::new(source, &context.format));
        let has_map = |name: &str| object.is_some_and(|object| object.map(name).is_some());
        let mut faults = Vec::new();
        for operator in operators.iter() {
            if operator.phase() > Phase::Extend {
                draft.schema.seal();
            }
            let context = OperatorContext {
                gadget,
                metadata,
                limits: &context.limits,
                params: params.of(operator.name()),
                names,
                host: &context.host,
                has_map: &has_map,
            };
            faults.extend(operator.plan(&context, &mut draft).err().into_iter().flatten());
        }
        (draft, faults)
    }

    fn planned(&self, draft: Draft) -> SourcePlan {
        let Draft { mut schema, timing, feed, maps, parts, measures, .. } = draft;
        schema.seal();
        let schedule = schedule::plan(schema.source(), self.gadget.interval, timing, self.context.purpose);
        SourcePlan { schema: Arc::new(schema), parts, maps, measures, sinks: Vec::new(), schedule, feed }
    }
}

fn reason(gadget: &Gadget, fault: Fault) -> Reason {
    match (fault.kind, fault.at) {
        (FaultKind::Image, _) => Reason::new(ReasonKind::Object, fault.text),
        (FaultKind::Config, None) => self::fault(gadget, fault.text),
        (FaultKind::Config, Some(at)) => {
            Reason::new(ReasonKind::Config, fault.text).located(&at, &gadget.name)
        }
    }
}
