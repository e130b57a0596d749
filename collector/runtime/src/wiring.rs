//! From the plan of a data source to what runs: its feed from the kernel, and its pipeline into tables and sinks.

use std::sync::Arc;

use ig_datasource::Origin;
use ig_exporters::series::Registry;
use ig_loader::{Link, Map, MapKind};
use ig_model::Host;
use ig_operators::{Arrange, Measure, Outlets, Stages, Step, expression::ExpressionStage, stack::StackMaps};

use crate::{
    pipeline::Pipeline,
    plan::SourcePlan,
    reader::{Feed, Fetcher, PerfFeed, RingFeed, StatsFeed},
    status::{Reason, ReasonKind, Status},
};

/// Registers the tables of a source and makes its pipeline.
pub(crate) fn wire(
    gadget: &str,
    plan: SourcePlan,
    stacks: &Arc<StackMaps>,
    registry: &Registry,
    status: &Status,
    refusals: &mut Vec<Reason>,
) -> Pipeline {
    let mut measures = Vec::new();
    for measure in &plan.measures {
        match registry.register(measure.table_spec(plan.place.clone()), measure.labeler()) {
            Ok(registration) => {
                refusals.extend(registration.refused.into_iter().map(|refusal| Reason {
                    kind: ReasonKind::MetricConflict,
                    text: format!("metric `{}` is not exported: {}", refusal.metric, refusal.reason),
                }));
                measures.push(Measure::new(measure, registration.table));
            }
            Err(error) => refusals.push(Reason::new(ReasonKind::MetricConflict, &error)),
        }
    }
    let stats = status.source(gadget, plan.schema.name());
    if let Some(slot) = &plan.stacks {
        slot.bind(Arc::clone(stacks), Arc::clone(&stats.stacks));
    }
    let mut steps = Vec::new();
    steps.extend(plan.filter.map(|filter| Step::Filter(filter.into())));
    steps.extend(plan.expression.map(|expression| Step::Stage(Box::new(ExpressionStage::from(expression)))));
    if plan.sort.is_some() || plan.limit.is_some() {
        steps.push(Step::Stage(Box::new(Arrange::new(plan.sort, plan.limit))));
    }
    Pipeline::new(plan.schema, Stages::new(steps), Outlets::new(measures, plan.sinks), stats)
}

/// Opens the kernel side of a source.
pub(crate) fn feed<'a>(
    plan: &SourcePlan,
    map: &dyn Fn(&str) -> Option<&'a Map>,
    links: &[(String, Arc<Link>)],
    host: &Host,
) -> Result<Feed, Reason> {
    let missing = |what: String| Reason { kind: ReasonKind::Object, text: what };
    let map = |name: &str| map(name).ok_or_else(|| missing(format!("the object has no map `{name}`")));
    let copy = |map: &Map| map.fd.try_clone().map_err(|error| Reason::new(ReasonKind::Transient, &error));
    let fetcher = match &plan.schema.source().origin {
        Origin::Tracer { map: name } => {
            let buffer = map(name)?;
            if buffer.kind == MapKind::PERF_EVENT_ARRAY {
                return PerfFeed::open(name, copy(buffer)?)
                    .map(|perf| Feed::Perf(Box::new(perf)))
                    .map_err(|error| Reason::new(ReasonKind::Transient, &error));
            }
            let lost = map(&format!("{name}_lost_samples")).ok().map(copy).transpose()?;
            return RingFeed::open(name, copy(buffer)?, buffer.max_entries as usize, lost)
                .map(|ring| Feed::Ring(Box::new(ring)))
                .map_err(|error| Reason::new(ReasonKind::Transient, &error));
        }
        Origin::Operator { operator } => {
            let statistics = plan.statistics.as_ref();
            let statistics =
                statistics.ok_or_else(|| missing(format!("operator `{operator}` is unknown")))?;
            let feed = StatsFeed::open(statistics, host)
                .map_err(|error| Reason::new(error.reason_kind(), &error))?;
            Fetcher::Statistics(feed)
        }
        Origin::MapIterator { map: name, .. } => Fetcher::Map(copy(map(name)?)?),
        Origin::Iterator { programs } => {
            let mut iterators = Vec::new();
            for program in programs {
                let link = links.iter().find(|(name, _)| name == program).map(|(_, link)| Arc::clone(link));
                iterators.push(link.ok_or_else(|| missing(format!("iterator `{program}` is not attached")))?);
            }
            Fetcher::Iterator(Box::new(move || {
                let open = |link: &Arc<Link>| link.iter_reader().map_err(std::io::Error::other);
                iterators.iter().map(open).collect()
            }))
        }
    };
    Ok(Feed::Fetched(fetcher, plan.schedule))
}
