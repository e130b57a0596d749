//! Desired against running: what has to change, in which order, and what happens when it cannot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use ig_config::runtime::{Gadget, Limits, RuntimeConfig};
use ig_image::{Digest, access::Acquired};
use ig_model::Host;
use ig_operators::FormatContext;
use ig_series::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::supply::{Delivery, Route, Stock, Supply};
use crate::{
    instance::{Built, Running},
    plan::{GadgetPlan, PlanContext, ProgramKey, Purpose, SinkFactory, SourcePlan},
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
    supply: Supply,
    reader: Reader,
    registry: Registry,
    status: Status,
    format: FormatContext,
    host: Arc<Host>,
    sinks: Vec<Arc<dyn SinkFactory>>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    spec: Gadget,
    running: Option<Running>,
    retry: Option<Retry>,
    /// The image that ran before the one that runs.
    previous: Option<Digest>,
}

impl Entry {
    /// The image that runs.
    fn digest(&self) -> Option<Digest> {
        self.running.as_ref().map(|running| running.programs.digest)
    }
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    tries: u32,
}

/// On whose behalf a configuration is applied.
#[derive(Debug)]
pub(super) enum Mode<'a> {
    /// The first time: a gadget that cannot run is refused, the others start.
    Start,
    /// Later: all or nothing.
    Reload {
        /// The configuration in force.
        from: &'a RuntimeConfig,
        /// Another way to images than before.
        route: Option<Box<Route>>,
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
    Switch(Box<Built>),
    /// Its image is not here yet.
    ToFetch,
    /// Cannot run on this machine.
    Refused(Reason),
}

impl Gadgets {
    pub(super) fn new(
        supply: Supply,
        reader: Reader,
        registry: Registry,
        status: Status,
        format: FormatContext,
        host: Arc<Host>,
        sinks: Vec<Arc<dyn SinkFactory>>,
    ) -> Self {
        Self { supply, reader, registry, status, format, host, sinks, entries: BTreeMap::new() }
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
        stop: &CancellationToken,
    ) -> Result<Changes, Vec<String>> {
        let mut changes = Changes::default();
        let changed = self.changed(config, &mode, &mut changes);
        let is_start = matches!(mode, Mode::Start);
        let same_limits = matches!(&mode, Mode::Reload { from, .. } if from.limits == config.limits);
        let route = match mode {
            Mode::Reload { route: Some(route), .. } => *route,
            _ => self.supply.route(),
        };
        let images = if is_start {
            changed.iter().map(|gadget| self.supply.stock(gadget)).collect()
        } else {
            // All that can take long comes first, and nothing is changed before it is over.
            fetch_all(&route, &changed, stop).await?
        };

        // Held so that the kernel's types are parsed once for all gadgets of this change.
        let kernel = ig_kernel::btf::vmlinux().ok();
        let mut prepared = Vec::new();
        let mut faults = Vec::new();
        for (gadget, image) in changed.into_iter().zip(images) {
            // The way to images may have changed, and lead to the same one.
            if let (Some(entry), Stock::Here(image)) = (self.entries.get(&gadget.name), &image)
                && entry.spec == *gadget
                && same_limits
                && entry.digest() == Some(image.gadget.digest)
            {
                changes.untouched += 1;
                continue;
            }
            let running = self.running(&gadget.name).map(|running| running.programs.clone());
            let is_replacement = running.is_some();
            let was_refused =
                self.entries.get(&gadget.name).is_some_and(|entry| !is_replacement && entry.spec == *gadget);
            let outcome = match image {
                Stock::Here(image) => {
                    self.prepare(gadget, *image, running, &config.limits, kernel.clone()).await
                }
                Stock::ToFetch => Ok(Prepared::ToFetch),
                Stock::Refused(reason) => Err(vec![reason]),
            };
            match outcome {
                Ok(change) => prepared.push((gadget, change)),
                Err(reasons) => {
                    let tolerated = if is_start {
                        reasons.iter().all(|reason| reason.kind != ReasonKind::Config)
                    } else {
                        // One file may serve a fleet of kernels.
                        was_refused
                            || !is_replacement && reasons.iter().all(|reason| reason.kind.is_of_the_machine())
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
        self.supply.reroute(route);
        for (gadget, change) in prepared {
            self.carry_out(gadget, change, &mut changes).await;
        }
        self.remove_all_but(config, &mut changes).await;
        // Positions may have moved without a change of meaning.
        for gadget in &config.gadgets {
            if let Some(entry) = self.entries.get_mut(&gadget.name) {
                entry.spec = gadget.clone();
            }
        }
        if is_start {
            // What runs from the store may have a newer image.
            self.refresh();
        }
        self.pin();
        ig_kernel::sys::memory::malloc_trim();
        Ok(changes)
    }

    /// The gadgets that are new, differ from what is in force, or may have another image now.
    fn changed<'c>(
        &self,
        config: &'c RuntimeConfig,
        mode: &Mode<'_>,
        changes: &mut Changes,
    ) -> Vec<&'c Gadget> {
        let mut changed = Vec::new();
        for gadget in &config.gadgets {
            let known = self.entries.get(&gadget.name);
            if let (Some(entry), Mode::Reload { from, route: None }) = (known, mode)
                && entry.spec == *gadget
                && from.limits == config.limits
            {
                changes.untouched += 1;
                continue;
            }
            if known.is_none() {
                self.announce(gadget);
            }
            changed.push(gadget);
        }
        changed
    }

    async fn remove_all_but(&mut self, config: &RuntimeConfig, changes: &mut Changes) {
        let wanted: BTreeSet<&str> = config.gadgets.iter().map(|gadget| gadget.name.as_str()).collect();
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
    }

    /// Looks in the background for newer images of running gadgets, where the configuration wants it.
    pub(super) fn refresh(&mut self) {
        let entries = self.entries.values().filter(|entry| entry.running.is_some());
        let followed: Vec<Gadget> = entries
            .filter(|entry| self.supply.follows(&entry.spec))
            .map(|entry| entry.spec.clone())
            .collect();
        for gadget in &followed {
            self.supply.fetch(gadget);
        }
    }

    /// Time between two calls of [`Gadgets::refresh`].
    pub(super) fn refresh_interval(&self) -> Option<Duration> {
        self.supply.refresh_interval()
    }

    /// The next image that was fetched in the background.
    ///
    /// # Cancel safety
    /// No delivery is lost.
    pub(super) async fn delivered(&mut self) -> Option<Delivery> {
        self.supply.delivered().await
    }

    /// Starts or replaces a gadget with an image that was fetched in the background.
    pub(super) async fn deliver(&mut self, delivery: Delivery, config: &RuntimeConfig) {
        let Some(entry) = self.entries.get(&delivery.gadget) else { return };
        if entry.spec.image != delivery.image {
            return; // the configuration has changed meanwhile
        }
        let gadget = entry.spec.clone();
        let running = entry.running.as_ref().map(|running| running.programs.clone());
        let is_replacement = running.is_some();
        let change = match delivery.result {
            Ok(image) if running.as_ref().is_some_and(|key| key.digest == image.gadget.digest) => {
                return;
            }
            Ok(image) => {
                let kernel = ig_kernel::btf::vmlinux().ok();
                self.prepare(&gadget, image, running, &config.limits, kernel).await
            }
            Err(reason) => Err(vec![reason]),
        };
        match change {
            Ok(change) => {
                self.carry_out(&gadget, change, &mut Changes::default()).await;
                self.pin();
            }
            Err(reasons) if is_replacement => {
                let Reason { kind, text } = join(reasons);
                warn!(name: "gadget.refresh.refused", gadget = gadget.name, kind = kind.name(), "what runs keeps running: {text}");
            }
            Err(reasons) => {
                self.carry_out(&gadget, Prepared::Refused(join(reasons)), &mut Changes::default()).await;
            }
        }
        ig_kernel::sys::memory::malloc_trim();
    }

    fn running(&self, name: &str) -> Option<&Running> {
        self.entries.get(name)?.running.as_ref()
    }

    fn pin(&mut self) {
        let digests: BTreeSet<Digest> =
            self.entries.values().flat_map(|entry| [entry.digest(), entry.previous]).flatten().collect();
        self.supply.pin(&digests.into_iter().collect::<Vec<_>>());
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
            let change = match self.supply.stock(&gadget) {
                Stock::Here(image) => {
                    self.prepare(&gadget, *image, None, &config.limits, kernel.clone()).await
                }
                Stock::ToFetch => Ok(Prepared::ToFetch),
                Stock::Refused(reason) => Err(vec![reason]),
            };
            let change = change.unwrap_or_else(|reasons| Prepared::Refused(join(reasons)));
            self.carry_out(&gadget, change, &mut Changes::default()).await;
        }
        self.pin();
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

    /// Plan, load, attach: everything that can fail.
    async fn prepare(
        &self,
        gadget: &Gadget,
        image: Acquired,
        running: Option<ProgramKey>,
        limits: &Limits,
        kernel: Option<Arc<ig_kernel::btf::Btf>>,
    ) -> Result<Prepared, Vec<Reason>> {
        let context = PlanContext {
            host: Arc::clone(&self.host),
            format: self.format.clone(),
            kernel,
            limits: *limits,
            purpose: Purpose::Collect,
        };
        let sinks = self.sinks.clone();
        let gadget = gadget.clone();
        let work =
            tokio::task::spawn_blocking(move || prepare(&image, &gadget, running.as_ref(), &context, &sinks));
        work.await.unwrap_or_else(|panic| {
            Err(vec![Reason { kind: ReasonKind::Object, text: format!("loading panicked: {panic}") }])
        })
    }

    async fn carry_out(&mut self, gadget: &Gadget, change: Prepared, changes: &mut Changes) {
        let name = gadget.name.as_str();
        let previous = self.entries.remove(name);
        let tries = previous.as_ref().and_then(|entry| entry.retry).map_or(0, |retry| retry.tries);
        let ran = previous.as_ref().and_then(Entry::digest);
        let ran_before = previous.as_ref().and_then(|entry| entry.previous);
        let mut entry = Entry { spec: gadget.clone(), running: None, retry: None, previous: ran_before };
        let refusals = match change {
            Prepared::ToFetch => {
                entry.retry = Some(Retry { at: Instant::now() + LAST_RETRY, tries });
                let text = format!("image `{}` is being fetched", gadget.image);
                self.status.set(name, State::Pending, Some(Reason { kind: ReasonKind::Image, text }));
                self.supply.fetch(gadget);
                self.entries.insert(name.to_owned(), entry);
                return;
            }
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
                    Some(running) => running.rewire(sources, &self.registry, &self.status, &self.host).await,
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
                let digest = running.programs.digest;
                if ran.is_some_and(|ran| ran != digest) {
                    entry.previous = ran;
                }
                self.status.gadget(name, |status| status.digest = Some(digest.to_string()));
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

/// Fetches and verifies the images of all these gadgets at the same time.
async fn fetch_all(
    route: &Route,
    gadgets: &[&Gadget],
    stop: &CancellationToken,
) -> Result<Vec<Stock>, Vec<String>> {
    // Cancel-safe: what was fetched stays for another try.
    let acquired = tokio::select! {
        () = stop.cancelled() => return Err(vec!["stopped while images were fetched".to_owned()]),
        acquired = join_all(gadgets.iter().map(|gadget| route.acquire(gadget))) => acquired,
    };
    let stock = |image: Result<_, _>| image.map_or_else(Stock::Refused, |image| Stock::Here(Box::new(image)));
    Ok(acquired.into_iter().map(stock).collect())
}

/// The blocking part of a preparation.
fn prepare(
    image: &Acquired,
    gadget: &Gadget,
    running: Option<&ProgramKey>,
    context: &PlanContext,
    sinks: &[Arc<dyn SinkFactory>],
) -> Result<Prepared, Vec<Reason>> {
    for warning in &image.gadget.warnings {
        warn!(name: "image.warning", gadget = gadget.name, "{warning}");
    }
    let mut plan = GadgetPlan::new(gadget, &image.into(), context)?;
    for factory in sinks {
        let reasons = |problems: Vec<String>| {
            problems.into_iter().map(|text| Reason { kind: ReasonKind::Config, text }).collect::<Vec<_>>()
        };
        plan.open_sinks(factory.as_ref()).map_err(reasons)?;
    }
    if running == Some(&plan.programs) {
        return Ok(Prepared::Rewire(plan.sources));
    }
    Built::new(plan, &context.host)
        .map(|built| Prepared::Switch(Box::new(built)))
        .map_err(|reason| vec![reason])
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
