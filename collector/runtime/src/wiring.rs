//! From the plan of a data source to what runs: its feed from the kernel, and its pipeline into tables and sinks.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc};

use ig_datasource::Origin;
use ig_loader::{Link, Map, MapType};
use ig_model::Host;
use ig_operators::{
    Measure, Outlets, Sink, SourceSchema, Stages, Step,
    feed::{FeedError, FeedErrorKind},
    operator::{Emit, Feed as SourceFeed, LoadedGadget, PlannedMeasure, StageCounter},
};
use ig_series::Registry;

use crate::{
    pipeline::Pipeline,
    plan::SourcePlan,
    reader::{EmitQueue, Feed, Fetcher, GatherFeed, PerfFeed, RingFeed},
    status::{Reason, ReasonKind, Status},
};

/// What operators find of a loaded gadget: the maps that they read, and the ways into its derived data sources.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    maps: BTreeMap<String, Map>,
    emitters: BTreeMap<String, EmitQueue>,
}

/// A data source whose operators are built: nothing that follows can fail.
#[derive(Debug)]
pub(crate) struct BuiltSource {
    pub(crate) schema: Arc<SourceSchema>,
    steps: Vec<Step>,
    counters: Vec<StageCounter>,
    measures: Vec<PlannedMeasure>,
    sinks: Vec<Box<dyn Sink>>,
}

impl BuiltSource {
    /// What its packets look like, and where they go.
    pub(crate) fn sinks(&mut self) -> (&SourceSchema, &mut Vec<Box<dyn Sink>>) {
        (&self.schema, &mut self.sinks)
    }
}

impl Loaded {
    /// Keeps what `sources` ask for.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn of<'a>(sources: &[SourcePlan], map: &dyn Fn(&str) -> Option<&'a Map>) -> io::Result<Self> {
        let mut kept = Self::default();
        for name in sources.iter().flat_map(|source| &source.maps) {
            if let (false, Some(map)) = (kept.maps.contains_key(name), map(name)) {
                kept.maps.insert(name.clone(), map.try_clone()?);
            }
        }
        let derived = sources.iter().filter(|source| matches!(source.feed, Some(SourceFeed::Emitted)));
        kept.emitters =
            derived.map(|source| (source.schema.name().to_owned(), EmitQueue::default())).collect();
        Ok(kept)
    }
}

impl LoadedGadget for Loaded {
    fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name)
    }

    fn emitter(&self, source: &str) -> Option<Arc<dyn Emit>> {
        self.emitters.get(source).map(|queue| Arc::new(queue.clone()) as Arc<dyn Emit>)
    }
}

/// Builds the operators of a source.
pub(crate) fn build(plan: SourcePlan, loaded: &Loaded, host: &Host) -> Result<BuiltSource, Reason> {
    let SourcePlan { schema, parts, measures, sinks, .. } = plan;
    let (mut steps, mut counters) = (Vec::new(), Vec::new());
    for part in parts {
        let ready = part.build(loaded, host).map_err(|error| Reason::new(ReasonKind::Transient, error))?;
        steps.extend(ready.step);
        counters.extend(ready.counters);
    }
    Ok(BuiltSource { schema, steps, counters, measures, sinks })
}

/// Registers the tables of a source and makes its pipeline.
pub(crate) fn wire(
    gadget: &str,
    source: BuiltSource,
    registry: &Registry,
    status: &Status,
    refusals: &mut Vec<Reason>,
) -> Pipeline {
    let BuiltSource { schema, steps, counters, measures: planned, sinks } = source;
    let mut measures = Vec::new();
    for PlannedMeasure { plan, place } in planned {
        match registry.register(plan.table_spec(place), plan.labeler()) {
            Ok(registration) => {
                refusals.extend(registration.refused.into_iter().map(|refusal| {
                    let text = format!("metric `{}` is not exported: {}", refusal.metric, refusal.reason);
                    Reason::new(ReasonKind::MetricConflict, text)
                }));
                measures.push(Measure::new(&plan, registration.table));
            }
            Err(error) => refusals.push(Reason::new(ReasonKind::MetricConflict, error)),
        }
    }
    let stats = status.source(gadget, schema.name());
    for counter in counters {
        stats.counters.enter(counter);
    }
    Pipeline::new(schema, Stages::new(steps), Outlets::new(measures, sinks), stats)
}

fn feed_reason(error: FeedError) -> Reason {
    let kind = match error.kind() {
        FeedErrorKind::Permission => ReasonKind::Permission,
        FeedErrorKind::Kernel => ReasonKind::Kernel,
        FeedErrorKind::Transient => ReasonKind::Transient,
    };
    Reason::new(kind, error)
}

/// Opens the kernel side of a source.
pub(crate) fn feed<'a>(
    plan: &SourcePlan,
    map: &dyn Fn(&str) -> Option<&'a Map>,
    links: &[(String, Arc<Link>)],
    loaded: &Loaded,
    host: &Host,
) -> Result<Feed, Reason> {
    let missing = |what: String| Reason::new(ReasonKind::Object, what);
    let map = |name: &str| map(name).ok_or_else(|| missing(format!("the object has no map `{name}`")));
    let copy = |map: &Map| map.try_clone().map_err(|error| Reason::new(ReasonKind::Transient, error));
    let fetcher = match &plan.schema.source().origin {
        Origin::Tracer { map: name } => {
            let buffer = map(name)?;
            if buffer.kind() == MapType::PERF_EVENT_ARRAY {
                return PerfFeed::open(name, copy(buffer)?.into())
                    .map(|perf| Feed::Perf(Box::new(perf)))
                    .map_err(|error| Reason::new(ReasonKind::Transient, error));
            }
            let lost = map(&format!("{name}_lost_samples")).ok().map(copy).transpose()?.map(OwnedFd::from);
            return RingFeed::open(name, copy(buffer)?.into(), buffer.max_entries() as usize, lost)
                .map(|ring| Feed::Ring(Box::new(ring)))
                .map_err(|error| Reason::new(ReasonKind::Transient, error));
        }
        Origin::Operator { operator } => {
            let unknown = || missing(format!("operator `{operator}` is unknown"));
            match plan.feed.as_ref().ok_or_else(unknown)? {
                SourceFeed::Gathered(feed) => {
                    let feed = GatherFeed::open(feed.as_ref(), host).map_err(feed_reason)?;
                    Fetcher::Gathered(feed)
                }
                SourceFeed::Emitted => {
                    let queue = loaded.emitters.get(plan.schema.name()).cloned().ok_or_else(unknown)?;
                    return Ok(Feed::Emitted(queue));
                }
            }
        }
        Origin::MapIterator { map: name, .. } => Fetcher::Map(copy(map(name)?)?),
        Origin::Iterator { programs } => {
            let mut iterators = Vec::new();
            for program in programs {
                let link = links.iter().find(|(name, _)| name == program).map(|(_, link)| Arc::clone(link));
                iterators.push(link.ok_or_else(|| missing(format!("iterator `{program}` is not attached")))?);
            }
            Fetcher::Iterator(Box::new(move || {
                let open = |link: &Arc<Link>| link.iter_reader().map_err(io::Error::other);
                iterators.iter().map(open).collect()
            }))
        }
    };
    Ok(Feed::Fetched(fetcher, plan.schedule))
}
