//! Processes as a data source.

use std::time::Duration;

use ig_config::metadata::Metadata;
use ig_model::Host;

use super::{OPERATOR, Shown, complete, gather::Processes, source};
use crate::{
    feed::{FeedError, FeedPlan, Gather},
    operator::{Brought, Draft, Fault, Feed, Operator, Phase, PlanContext},
    stats::operator::{Section, is_of},
};

/// Time between reports unless gadget.yaml says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);

/// Brings processes.
#[derive(Debug)]
pub(crate) struct ProcessOperator;

fn shown(section: Section<'_>) -> (Shown, Vec<String>) {
    Shown::parse(&section.metadata.list(&section.path("fields")))
}

impl Operator for ProcessOperator {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn sources(&self, metadata: &Metadata) -> Brought {
        let section = Section { operator: OPERATOR, metadata };
        let (shown, unknown) = shown(section);
        let mut brought = section.bring(|| source(&shown), INTERVAL);
        if !brought.sources.is_empty() {
            brought.warnings.extend(unknown);
        }
        brought
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if !is_of(&draft.schema, OPERATOR) {
            return Ok(());
        }
        let section = Section { operator: OPERATOR, metadata: context.metadata };
        // Faults are known since the source was brought.
        draft.timing = section.timing(INTERVAL, &mut Vec::new());
        draft.feed = Some(Feed::Gathered(Box::new(shown(section).0)));
        let (source, columns) = draft.schema.parts_mut();
        complete(source, context.host, columns).map_err(|error| vec![Fault::config(error.to_string())])
    }
}

impl FeedPlan for Shown {
    fn key(&self) -> String {
        format!("{OPERATOR} {self:?}")
    }

    fn open(&self, host: &Host) -> Result<Box<dyn Gather>, FeedError> {
        Ok(Box::new(Processes::open(self, host)?))
    }
}
