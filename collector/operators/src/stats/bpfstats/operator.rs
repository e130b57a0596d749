//! eBPF programs as a data source, and the parameters of a run.

use std::time::Duration;

use ig_config::metadata::Metadata;
use ig_datasource::{DataSource, Origin, ParamDesc};
use ig_model::Host;

use super::{OPERATOR, Scope, complete, gather::Programs, source};
use crate::{
    feed::{FeedError, FeedPlan, Gather},
    operator::{Brought, Draft, Fault, Feed, GadgetContext, Operator, Params, Phase, PlanContext},
    stats::operator::{Section, is_of},
};

/// Time between reports.
const STATISTICS_INTERVAL: &str = "operator.ebpf.statistics-interval";
/// Whether there is one record for each gadget.
const GADGETS_ONLY: &str = "operator.ebpf.gadgets-only";

/// Time between reports unless somebody says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

/// Brings eBPF programs.
#[derive(Debug)]
pub(crate) struct BpfOperator;

impl Operator for BpfOperator {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        let is_own = |source: &&DataSource| matches!(&source.origin, Origin::Operator { operator } if operator == OPERATOR);
        if !sources.iter().any(is_own) {
            return Vec::new();
        }
        let new = |key, description| ParamDesc::new("operator.ebpf.", key, description);
        vec![
            new("statistics-interval", "Time between reports").of_type("duration", "1000ms"),
            new("gadgets-only", "One record for each gadget of this process instead of one for each program")
                .of_type("bool", "false"),
        ]
    }

    fn check(&self, gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        interval(gadget.params).map(|_interval| ()).map_err(|fault| vec![fault])
    }

    fn sources(&self, metadata: &Metadata) -> Brought {
        Section { operator: OPERATOR, metadata }.bring(source, INTERVAL)
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if !is_of(&draft.schema, OPERATOR) {
            return Ok(());
        }
        let section = Section { operator: OPERATOR, metadata: context.metadata };
        // Faults are known since the source was brought.
        let mut timing = section.timing(INTERVAL, &mut Vec::new());
        if let Some(interval) = interval(context.params).map_err(|fault| vec![fault])? {
            timing.interval = Some(interval);
        }
        draft.timing = timing;
        let is_true = |text: &str| text.eq_ignore_ascii_case("true");
        let gadgets_only = context.params.get(GADGETS_ONLY).is_some_and(is_true);
        let scope = if gadgets_only { Scope::Gadgets } else { Scope::Programs };
        draft.feed = Some(Feed::Gathered(Box::new(scope)));
        let (source, columns) = draft.schema.parts_mut();
        complete(source, context.host, columns).map_err(|error| vec![Fault::config(error.to_string())])
    }
}

/// The interval that somebody set; zero is as good as none.
fn interval(params: &Params) -> Result<Option<Duration>, Fault> {
    let Some(text) = params.get(STATISTICS_INTERVAL) else { return Ok(None) };
    let interval = ig_config::value::duration(text).map_err(|hint| {
        let problem = format!("`{text}` is no duration; expected one like 1s or 500ms: {hint}");
        Fault::param(STATISTICS_INTERVAL, problem)
    })?;
    Ok(Some(interval).filter(|interval| !interval.is_zero()))
}

impl FeedPlan for Scope {
    fn key(&self) -> String {
        format!("{OPERATOR} {self:?}")
    }

    fn open(&self, host: &Host) -> Result<Box<dyn Gather>, FeedError> {
        Ok(Box::new(Programs::open(*self, host)?))
    }
}
