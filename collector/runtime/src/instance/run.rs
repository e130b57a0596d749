//! A gadget from its first record to its last.

use ig_model::Host;
use ig_operators::stats::bpfstats::Owner;
use ig_series::Registry;

use super::{Built, links::Links};
use crate::{
    owners::Registered,
    pipeline::Handover,
    plan::{ProgramKey, SourcePlan},
    reader::{Feed, Reader, SourceHandle, SourceName},
    status::{Reason, Status},
    wiring::{self, build, wire},
};

/// Read and delivered.
pub struct Running {
    /// Name in the configuration.
    pub name: String,
    /// What is loaded.
    pub programs: ProgramKey,
    pub(super) sources: Vec<RunningSource>,
    /// What operators that are put in its way later read.
    operated: wiring::Loaded,
    pub(super) links: Links,
    /// Its entry among the gadgets whose programs are known.
    _registered: Registered,
}

pub(super) struct RunningSource {
    pub(super) name: String,
    pub(super) handle: SourceHandle,
    /// Whether a handover divides its records by their time stamps.
    pub(super) stamped: bool,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Built {
    /// Begins to read and deliver. With a predecessor, delivers only what it has not.
    pub async fn start(
        self,
        reader: &Reader,
        registry: &Registry,
        status: &Status,
        replaces: Option<Running>,
    ) -> (Running, Vec<Reason>) {
        let mut refusals = Vec::new();
        let handover = if replaces.is_some() { Handover::NOT_YET } else { Handover::None };
        let mut sources = Vec::new();
        self.links.follow_cpus(&self.name, reader.followers());
        status.sources_begin(&self.name);
        for (plan, feed) in self.sources {
            let name = plan.schema.name().to_owned();
            let pipeline = wire(&self.name, plan, registry, status, &mut refusals);
            // What stages emit was divided before they saw it.
            let stamped = matches!(feed, Feed::Emitted(_))
                || (matches!(feed, Feed::Ring(_) | Feed::Perf(_)) && pipeline.has_timestamp());
            let source = SourceName { gadget: self.name.clone(), source: name.clone() };
            let handle = reader.read(source, feed, pipeline, handover);
            sources.push(RunningSource { name, handle, stamped });
        }
        if let Some(old) = replaces {
            old.hand_over(&sources).await;
        }
        let image = status.with(|board| board.gadgets.get(&self.name).map(|gadget| gadget.image.clone()));
        let registered = reader.owners().enter(Owner { image: image.unwrap_or_default(), ..self.owner });
        let running = Running {
            name: self.name,
            programs: self.programs,
            sources,
            operated: self.operated,
            links: self.links,
            _registered: registered,
        };
        (running, refusals)
    }
}

impl Running {
    /// Puts new operators and sinks behind the same programs; not one record is missed or seen twice. If they cannot be
    /// built, the old ones stay.
    pub async fn rewire(
        &self,
        plans: Vec<SourcePlan>,
        registry: &Registry,
        status: &Status,
        host: &Host,
    ) -> Vec<Reason> {
        let built =
            plans.into_iter().map(|plan| build(plan, &self.operated, host)).collect::<Result<Vec<_>, _>>();
        let plans = match built {
            Ok(plans) => plans,
            Err(reason) => return vec![reason],
        };
        let mut refusals = Vec::new();
        for plan in plans {
            if let Some(source) = self.sources.iter().find(|source| source.name == plan.schema.name()) {
                let pipeline = wire(&self.name, plan, registry, status, &mut refusals);
                source.handle.swap(pipeline).await;
            }
        }
        refusals
    }

    /// Brings everything the kernel has now to the sinks.
    pub async fn drain(&self) {
        for source in &self.sources {
            source.handle.drain().await;
        }
    }

    /// Waits until every source has given all it will; for ever where one of them has no end.
    pub async fn exhausted(&self) {
        for source in &self.sources {
            source.handle.exhausted().await;
        }
    }

    /// Handles of the sources, to drain without holding the gadget.
    pub fn handles(&self) -> Vec<SourceHandle> {
        self.sources.iter().map(|source| source.handle.clone()).collect()
    }

    /// Stops: drains a last time, then detaches in the background.
    pub async fn stop(self) {
        for source in &self.sources {
            source.handle.stop().await;
        }
    }
}
