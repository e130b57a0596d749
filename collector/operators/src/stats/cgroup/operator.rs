//! Cgroups with a processor limit as a data source.

use std::time::Duration;

use ig_config::metadata::Metadata;
use ig_model::Host;

use super::{OPERATOR, gather::Cgroups, source};
use crate::{
    feed::{FeedError, FeedPlan, Gather},
    operator::{Brought, Draft, Fault, Feed, Operator, Phase, PlanContext},
    stats::operator::{Section, is_of},
};

/// Time between reports unless gadget.yaml says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// Brings cgroups.
#[derive(Debug)]
pub(crate) struct CgroupOperator;

/// Every cgroup that has a limit.
#[derive(Debug)]
struct Limited;

impl Operator for CgroupOperator {
    fn name(&self) -> &'static str {
        OPERATOR
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn sources(&self, metadata: &Metadata) -> Brought {
        Section { operator: OPERATOR, metadata }.bring(source, INTERVAL)
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if is_of(&draft.schema, OPERATOR) {
            let section = Section { operator: OPERATOR, metadata: context.metadata };
            // Faults are known since the source was brought.
            draft.timing = section.timing(INTERVAL, &mut Vec::new());
            draft.feed = Some(Feed::Gathered(Box::new(Limited)));
        }
        Ok(())
    }
}

impl FeedPlan for Limited {
    fn key(&self) -> String {
        OPERATOR.to_owned()
    }

    fn open(&self, host: &Host) -> Result<Box<dyn Gather>, FeedError> {
        Ok(Box::new(Cgroups::open(host)?))
    }
}
