//! Desired against running: what has to change, in which order, and what happens when it cannot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use ig_config::runtime::{Gadget, Limits, RuntimeConfig};
use ig_exporters::series::Registry;
use ig_image::{reference::Reference, store::Store};
use ig_operators::FormatContext;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    instance::{Built, Running},
    plan::{GadgetPlan, ImageParts, PlanContext, ProgramKey, SourcePlan},
    reader::{Reader, SourceHandle},
    status::{GadgetStatus, Reason, ReasonKind, State, Status},
};

/// Pause before the first try again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest pause between tries.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// The running set.
#[derive(Debug)]
pub(super) struct Gadgets {
    store: Arc<Store>,
    reader: Reader,
    registry: Registry,
    status: Status,
    format: FormatContext,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    spec: Gadget,
    running: Option<Running>,
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    tries: u32,
}

/// On whose behalf a configuration is applied.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode<'a> {
    /// The first time: a gadget that cannot run is refused, the others start.
    Start,
    /// Later: all or nothing.
    Reload {
        /// The configuration in force.
        from: &'a RuntimeConfig,
    },
}

/// What a reload did.
#[derive(Debug, Default)]
pub(super) struct Changes {
    started: usize,
    replaced: usize,
    rewired: usize,
    stopped: usize,
    untouched: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { started, replaced, rewired, stopped, untouched } = self;
        write!(
            f,
            "{started} started, {replaced} replaced, {rewired} rewired, {stopped} stopped, {untouched} untouched"
        )
    }
}

/// A change of one gadget, ready to be carried out.
enum Prepared {
    /// Same programs, new sinks.
    Rewire(Vec<SourcePlan>),
    /// New programs, attached and waiting.
    Switch(Built),
    /// Cannot run on this machine.
    Refused(Reason),
}

impl Gadgets {
    pub(super) fn new(
        store: Store,
        reader: Reader,
        registry: Registry,
        status: Status,
        format: FormatContext,
    ) -> Self {
        Self { store: Arc::new(store), reader, registry, status, format, entries: BTreeMap::new() }
    }

    /// The sources to drain before a scrape.
    pub(super) fn handles(&self) -> Vec<SourceHandle> {
        self.entries.values().filter_map(|entry| entry.running.as_ref()).flat_map(Running::handles).collect()
    }

    /// When the next gadget wants to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.retry.map(|retry| retry.at)).min()
    }

    /// Makes `config` the running set.
    ///
    /// # Errors
    /// Every fault found while preparing. The running set is as it was: whatever was built is detached again.
    pub(super) async fn apply(
        &mut self,
        config: &RuntimeConfig,
        mode: Mode<'_>,
    ) -> Result<Changes, Vec<String>> {
        // Held so that the kernel's types are parsed once for all gadgets of this change.
        let kernel = ig_kernel::btf::vmlinux().ok();
        let wanted: BTreeSet<&str> = config.gadgets.iter().map(|gadget| gadget.name.as_str()).collect();
        let mut changes = Changes::default();
        let mut prepared = Vec::new();
        let mut faults = Vec::new();
        for gadget in &config.gadgets {
            let known = self.entries.get(&gadget.name);
            if let (Some(entry), Mode::Reload { from }) = (known, mode)
                && entry.spec == *gadget
                && from.limits == config.limits
            {
                changes.untouched += 1;
                continue;
            }
            if known.is_none() {
                self.announce(gadget);
            }
            let running =
                known.and_then(|entry| entry.running.as_ref()).map(|running| running.programs.clone());
            let is_replacement = running.is_some();
            match self.prepare(gadget, running, &config.limits, kernel.clone()).await {
                Ok(change) => prepared.push((gadget, change)),
                Err(reasons) => {
                    let tolerated = match mode {
                        Mode::Start => reasons.iter().all(|reason| reason.kind != ReasonKind::Config),
                        // One file may serve a fleet of kernels.
                        Mode::Reload { .. } => {
                            !is_replacement && reasons.iter().all(|reason| reason.kind.is_of_the_machine())
                        }
                    };
                    if tolerated {
                        prepared.push((gadget, Prepared::Refused(join(reasons))));
                    } else {
                        faults.extend(reasons.into_iter().map(|reason| located(gadget, reason)));
                    }
                }
            }
        }
        drop(kernel);
        if !faults.is_empty() {
            let known: Vec<String> = self.entries.keys().cloned().collect();
            self.status.with(|board| board.gadgets.retain(|name, _| known.contains(name)));
            return Err(faults);
        }

        // The switch: nothing below can fail.
        for (gadget, change) in prepared {
            self.carry_out(gadget, change, &mut changes).await;
        }
        let gone: Vec<String> =
            self.entries.keys().filter(|name| !wanted.contains(name.as_str())).cloned().collect();
        for name in gone {
            if let Some(Entry { running: Some(running), .. }) = self.entries.remove(&name) {
                running.stop().await;
            }
            self.status.with(|board| board.gadgets.remove(&name));
            info!(name: "gadget.stopped", gadget = name);
            changes.stopped += 1;
        }
        // Positions may have moved without a change of meaning.
        for gadget in &config.gadgets {
            if let Some(entry) = self.entries.get_mut(&gadget.name) {
                entry.spec = gadget.clone();
            }
        }
        ig_kernel::sys::memory::malloc_trim();
        Ok(changes)
    }

    /// Tries again every gadget whose time has come.
    pub(super) async fn retry(&mut self, config: &RuntimeConfig) {
        let kernel = ig_kernel::btf::vmlinux().ok();
        let now = Instant::now();
        let due: Vec<Gadget> = self
            .entries
            .values()
            .filter(|entry| entry.retry.is_some_and(|retry| retry.at <= now))
            .map(|entry| entry.spec.clone())
            .collect();
        for gadget in due {
            let change = self.prepare(&gadget, None, &config.limits, kernel.clone()).await;
            let change = change.unwrap_or_else(|reasons| Prepared::Refused(join(reasons)));
            self.carry_out(&gadget, change, &mut Changes::default()).await;
        }
    }

    /// Drains and stops everything.
    pub(super) async fn stop(&mut self) {
        for (_, entry) in std::mem::take(&mut self.entries) {
            if let Some(running) = entry.running {
                running.stop().await;
            }
        }
    }

    fn announce(&self, gadget: &Gadget) {
        let status = GadgetStatus {
            state: State::Pending,
            reason: None,
            image: gadget.image.clone(),
            digest: None,
            restarts: 0,
            sources: BTreeMap::new(),
        };
        self.status.with(|board| board.gadgets.insert(gadget.name.clone(), status));
    }

    /// Image, plan, load, attach: everything that can fail.
    async fn prepare(
        &self,
        gadget: &Gadget,
        running: Option<ProgramKey>,
        limits: &Limits,
        kernel: Option<Arc<ig_kernel::btf::Btf>>,
    ) -> Result<Prepared, Vec<Reason>> {
        let store = Arc::clone(&self.store);
        let context = PlanContext { format: self.format.clone(), kernel, limits: *limits };
        let gadget = gadget.clone();
        let status = self.status.clone();
        let work = tokio::task::spawn_blocking(move || {
            prepare(&store, &gadget, running.as_ref(), &context, &status)
        });
        work.await.unwrap_or_else(|panic| {
            Err(vec![Reason { kind: ReasonKind::Object, text: format!("loading panicked: {panic}") }])
        })
    }

    async fn carry_out(&mut self, gadget: &Gadget, change: Prepared, changes: &mut Changes) {
        let name = gadget.name.as_str();
        let previous = self.entries.remove(name);
        let tries = previous.as_ref().and_then(|entry| entry.retry).map_or(0, |retry| retry.tries);
        let mut entry = Entry { spec: gadget.clone(), running: None, retry: None };
        let refusals = match change {
            Prepared::Refused(reason) => {
                warn!(name: "gadget.refused", gadget = name, kind = reason.kind.name(), "{}", reason.text);
                if reason.kind.may_pass() {
                    let pause = FIRST_RETRY.saturating_mul(1 << tries.min(10)).min(LAST_RETRY);
                    entry.retry = Some(Retry { at: Instant::now() + pause, tries: tries + 1 });
                }
                self.status.set(name, State::Refused, Some(reason));
                self.entries.insert(name.to_owned(), entry);
                return;
            }
            Prepared::Rewire(sources) => {
                changes.rewired += 1;
                entry.running = previous.and_then(|entry| entry.running);
                match &entry.running {
                    Some(running) => running.rewire(&sources, &self.registry, &self.status).await,
                    None => Vec::new(),
                }
            }
            Prepared::Switch(built) => {
                let replaced = previous.and_then(|entry| entry.running);
                if replaced.is_some() {
                    self.status.gadget(name, |status| status.restarts += 1);
                    changes.replaced += 1;
                } else {
                    changes.started += 1;
                }
                let (running, refusals) =
                    built.start(&self.reader, &self.registry, &self.status, replaced).await;
                entry.running = Some(running);
                info!(name: "gadget.started", gadget = name, image = gadget.image);
                refusals
            }
        };
        for refusal in &refusals {
            warn!(name: "gadget.degraded", gadget = name, "{}", refusal.text);
        }
        let state = if refusals.is_empty() { State::Running } else { State::Degraded };
        self.status.set(name, state, (!refusals.is_empty()).then(|| join(refusals)));
        self.entries.insert(name.to_owned(), entry);
    }
}

/// The blocking part of a preparation.
fn prepare(
    store: &Store,
    gadget: &Gadget,
    running: Option<&ProgramKey>,
    context: &PlanContext,
    status: &Status,
) -> Result<Prepared, Vec<Reason>> {
    let image_reason = |error: &dyn std::error::Error, hint: Option<String>| {
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let text = format!(
            "{}: gadget `{}`: image `{}`: {}{hint}",
            gadget.at,
            gadget.name,
            gadget.image,
            Reason::chain(error)
        );
        vec![Reason { kind: ReasonKind::Image, text }]
    };
    let reference = Reference::parse(&gadget.image).map_err(|error| image_reason(&error, None))?;
    let image = store
        .load_gadget(&reference, ig_image::Arch::host())
        .map_err(|error| image_reason(&error, error.hint()))?;
    for warning in &image.warnings {
        warn!(name: "image.warning", gadget = gadget.name, "{warning}");
    }
    let digest = image.digest.to_string();
    status.gadget(&gadget.name, |status| status.digest = Some(digest.clone()));
    let Some(ebpf) = &image.ebpf else {
        let text = format!(
            "{}: gadget `{}`: image `{}` has no eBPF program; this version runs eBPF gadgets only",
            gadget.at, gadget.name, gadget.image
        );
        return Err(vec![Reason { kind: ReasonKind::Image, text }]);
    };
    let parts = ImageParts { digest: &digest, ebpf, metadata: image.metadata.as_deref().unwrap_or("") };
    let plan = GadgetPlan::new(gadget, &parts, context)?;
    if running == Some(&plan.programs) {
        return Ok(Prepared::Rewire(plan.sources));
    }
    Built::new(plan).map(Prepared::Switch).map_err(|reason| vec![reason])
}

fn join(reasons: Vec<Reason>) -> Reason {
    let kind = reasons.first().map_or(ReasonKind::Config, |reason| reason.kind);
    let texts: Vec<String> = reasons.into_iter().map(|reason| reason.text).collect();
    Reason { kind, text: texts.join("; ") }
}

/// A reason with the place of the gadget, unless it names one already.
fn located(gadget: &Gadget, reason: Reason) -> String {
    let place = gadget.at.to_string();
    if reason.text.contains(gadget.at.file.as_ref()) {
        reason.text
    } else {
        format!("{place}: gadget `{}`: {}", gadget.name, reason.text)
    }
}
