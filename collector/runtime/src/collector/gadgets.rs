//! The running set, and how decisions about it are carried out.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use ig_config::runtime::{Gadget, Limits, RuntimeConfig};
use ig_image::Digest;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    decide::{Change, Occasion, Outcome, Standing, Standings, Summary, decide, is_same, judge},
    image_source::{Delivery, ImageSource},
    inbox::Inbox,
    machine::{Availability, ImageAccess as _, ImageOf, Machine, Prepared},
};
use crate::{
    reader::SourceHandle,
    status::{GadgetStatus, Reason, ReasonKind, State, Status},
};

/// The running set.
pub(super) struct Gadgets<M: Machine> {
    machine: M,
    images: ImageSource<M::Access>,
    status: Status,
    standings: Standings,
    running: BTreeMap<String, M::Running>,
}

/// Gadgets that were prepared, and what came of it. Dropped, everything that was attached is detached.
pub(super) struct Preparations<M: Machine> {
    outcomes: BTreeMap<String, Outcome>,
    ready: BTreeMap<String, (Digest, Prepared<M>)>,
}

impl<M: Machine> Default for Preparations<M> {
    fn default() -> Self {
        Self { outcomes: BTreeMap::new(), ready: BTreeMap::new() }
    }
}

/// What gadgets are prepared under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Limits of the configuration.
    pub(super) limits: Limits,
    /// Whether they are those in force.
    pub(super) same_limits: bool,
}

impl<M: Machine> Gadgets<M> {
    pub(super) fn new(machine: M, images: ImageSource<M::Access>, status: Status) -> Self {
        Self { machine, images, status, standings: BTreeMap::new(), running: BTreeMap::new() }
    }

    pub(super) fn machine(&self) -> &M {
        &self.machine
    }

    /// The way that is taken to images.
    pub(super) fn access(&self) -> &M::Access {
        self.images.access()
    }

    pub(super) fn images(&mut self) -> &mut ImageSource<M::Access> {
        &mut self.images
    }

    pub(super) fn standings(&self) -> &Standings {
        &self.standings
    }

    /// The sources to drain before a scrape.
    pub(super) fn sources(&self) -> Vec<SourceHandle> {
        self.running.values().flat_map(M::sources).collect()
    }

    /// When the next gadget wants to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.standings.values().filter_map(|standing| standing.retry_at).min()
    }

    /// Shows gadgets that are new as pending.
    pub(super) fn announce(&self, gadgets: &[&Gadget]) {
        for gadget in gadgets.iter().filter(|gadget| !self.standings.contains_key(&gadget.name)) {
            let status = GadgetStatus::new(State::Pending, gadget.image.clone());
            self.status.with(|board| board.gadgets.insert(gadget.name.clone(), status));
        }
    }

    /// Takes back what was announced and does not come.
    pub(super) fn retract(&self) {
        self.status.with(|board| board.gadgets.retain(|name, _| self.standings.contains_key(name)));
    }

    /// Everything about a gadget that can fail. What was prepared waits in `preparations`.
    pub(super) async fn prepare(
        &self,
        gadget: &Gadget,
        image: Availability<ImageOf<M>>,
        terms: Terms,
        preparations: &mut Preparations<M>,
    ) {
        let name = &gadget.name;
        let outcome = match image {
            Availability::ToFetch => Outcome::ToFetch,
            Availability::Refused(reason) => Outcome::Failed(vec![reason]),
            Availability::Here(image) => {
                let digest = M::Access::digest(&image);
                let running = self.running.get(name);
                if is_same(self.standings.get(name), gadget, terms.same_limits, digest) {
                    Outcome::Same
                } else {
                    match self.machine.prepare(gadget, *image, running, &terms.limits).await {
                        Err(reasons) => Outcome::Failed(reasons),
                        Ok(ready) => {
                            let is_rewired = matches!(ready, Prepared::Rewire(_));
                            preparations.ready.insert(name.clone(), (digest, ready));
                            if is_rewired { Outcome::Rewire } else { Outcome::Switch }
                        }
                    }
                }
            }
        };
        preparations.outcomes.insert(name.clone(), outcome);
    }

    /// Starts a gadget of the first configuration if `is_wanted`, or says why it does not run.
    ///
    /// Each one runs before the next is loaded: its buffers do not fill unread meanwhile, and what runs is no burden to
    /// an end in between.
    ///
    /// # Errors
    /// Faults of the configuration, for which nothing must run.
    pub(super) async fn start(
        &mut self,
        gadget: &Gadget,
        mut preparations: Preparations<M>,
        is_wanted: bool,
    ) -> Result<(), Vec<Reason>> {
        let outcome = preparations.outcomes.remove(&gadget.name).unwrap_or(Outcome::Same);
        let change = judge(Occasion::Start, gadget, self.standings.get(&gadget.name), outcome)?;
        if is_wanted {
            self.carry_out(change, &mut preparations).await;
        }
        Ok(())
    }

    /// What the store has for a gadget, without asking anybody else.
    pub(super) async fn local(&self, gadget: &Gadget) -> Availability<ImageOf<M>> {
        self.images.local(gadget).await
    }

    /// Fetches where the pull policy of `access` asks for it, verifies and reads.
    pub(super) async fn acquire(&self, access: &M::Access, gadget: &Gadget) -> Availability<ImageOf<M>> {
        self.images.acquire(access, gadget).await
    }

    /// Makes `desired` the running set, with what was prepared.
    ///
    /// # Errors
    /// Every reason why it must not be. The running set is as it was: whatever was built is detached again.
    pub(super) async fn apply(
        &mut self,
        occasion: Occasion,
        desired: &RuntimeConfig,
        mut preparations: Preparations<M>,
        access: Option<M::Access>,
    ) -> Result<Summary, Vec<Reason>> {
        let outcomes = std::mem::take(&mut preparations.outcomes);
        let changes = decide(occasion, desired, &self.standings, outcomes)?;
        // The switch: nothing below can fail.
        if let Some(access) = access {
            self.images.use_access(access);
        }
        let summary = Summary::of(&changes);
        for change in changes {
            self.carry_out(change, &mut preparations).await;
        }
        self.pin();
        Ok(summary)
    }

    /// Looks in the background for newer images of running gadgets, where the configuration wants it.
    pub(super) fn refresh(&mut self) {
        let running = self.standings.values().filter(|standing| standing.digest.is_some());
        let followed: Vec<Gadget> = running
            .filter(|standing| self.images.access().follows(&standing.spec))
            .map(|standing| standing.spec.clone())
            .collect();
        for gadget in &followed {
            self.images.fetch(gadget);
        }
    }

    /// Starts or replaces a gadget with an image that was fetched in the background.
    pub(super) async fn deliver(&mut self, delivery: Delivery<ImageOf<M>>, limits: Limits) {
        let Some(standing) = self.standings.get(&delivery.gadget) else { return };
        if standing.spec.image != delivery.image {
            return; // the configuration has changed meanwhile
        }
        let gadget = standing.spec.clone();
        if !self.images.is_current(&delivery) {
            return self.images.fetch(&gadget); // a key may have been taken away since
        }
        let image = match delivery.result {
            Ok(image) => Availability::Here(Box::new(image)),
            Err(reason) => Availability::Refused(reason),
        };
        self.change_one(Occasion::Delivery, &gadget, image, limits).await;
    }

    /// Tries again every gadget whose time has come. News in the inbox end the wait for the store; then the rest stays due.
    pub(super) async fn retry(&mut self, limits: Limits, inbox: &mut Inbox) {
        let now = Instant::now();
        let is_due = |standing: &&Standing| standing.retry_at.is_some_and(|at| at <= now);
        let due: Vec<Gadget> =
            self.standings.values().filter(is_due).map(|standing| standing.spec.clone()).collect();
        let session = self.machine.session();
        for gadget in due {
            let image = tokio::select! {
                biased; // see above
                () = inbox.news() => break,
                image = self.images.local(&gadget) => image,
            };
            self.change_one(Occasion::Retry, &gadget, image, limits).await;
        }
        drop(session);
    }

    /// Drains and stops everything.
    pub(super) async fn stop(&mut self) {
        self.standings.clear();
        let running = std::mem::take(&mut self.running);
        // At the same time: each waits for the reader thread, and for nothing else.
        join_all(running.into_values().map(|running| self.machine.stop(running))).await;
    }

    async fn change_one(
        &mut self,
        occasion: Occasion,
        gadget: &Gadget,
        image: Availability<ImageOf<M>>,
        limits: Limits,
    ) {
        let session = self.machine.session();
        let mut preparations = Preparations::default();
        let terms = Terms { limits, same_limits: true };
        self.prepare(gadget, image, terms, &mut preparations).await;
        let outcome = preparations.outcomes.remove(&gadget.name).unwrap_or(Outcome::Same);
        // On these occasions every failure is one of this gadget alone.
        if let Ok(change) = judge(occasion, gadget, self.standings.get(&gadget.name), outcome) {
            self.carry_out(change, &mut preparations).await;
        }
        self.pin();
        drop(session);
    }

    async fn carry_out(&mut self, change: Change<'_>, preparations: &mut Preparations<M>) {
        let name = match &change {
            Change::Stop(name) => name.clone(),
            Change::Start(gadget)
            | Change::Replace(gadget)
            | Change::Rewire(gadget)
            | Change::Fetch(gadget)
            | Change::Refuse { gadget, .. }
            | Change::Keep { gadget, .. } => gadget.name.clone(),
        };
        let (image, ready) = preparations.ready.remove(&name).unzip();
        let before = self.standings.remove(&name);
        if let Some(standing) = Standing::after(before, &change, image, Instant::now()) {
            self.status.gadget(&name, |status| status.image.clone_from(&standing.spec.image));
            self.standings.insert(name.clone(), standing);
        }
        match (change, ready) {
            (Change::Keep { reasons, .. }, _) if !reasons.is_empty() => {
                let kind = reasons.first().map(|reason| reason.kind.name());
                let text = Reason::join(&reasons);
                warn!(name: "gadget.refresh.refused", gadget = name, kind, "what runs keeps running: {text}");
            }
            (Change::Stop(_), _) => self.remove(&name).await,
            (Change::Fetch(gadget), _) => self.fetch(gadget),
            (Change::Refuse { reasons, .. }, _) => {
                let kind = reasons.first().map(|reason| reason.kind.name());
                warn!(name: "gadget.refused", gadget = name, kind, "{}", Reason::join(&reasons));
                self.status.set(&name, State::Refused, reasons);
            }
            (Change::Start(gadget) | Change::Replace(gadget), Some(Prepared::Switch(built))) => {
                self.switch(gadget, built, image).await;
            }
            (Change::Rewire(_), Some(Prepared::Rewire(sinks))) => {
                if let Some(running) = self.running.get(&name) {
                    let reasons = self.machine.rewire(running, sinks).await;
                    self.runs(&name, reasons);
                }
            }
            (Change::Keep { .. } | Change::Start(_) | Change::Replace(_) | Change::Rewire(_), _) => {}
        }
    }

    async fn switch(&mut self, gadget: &Gadget, built: M::Built, image: Option<Digest>) {
        let name = gadget.name.as_str();
        let replaced = self.running.remove(name);
        if replaced.is_some() {
            self.status.gadget(name, |status| status.restarts += 1);
        }
        let (running, reasons) = self.machine.switch(built, replaced).await;
        self.running.insert(name.to_owned(), running);
        self.status.gadget(name, |status| status.digest = image.map(|image| image.to_string()));
        info!(name: "gadget.started", gadget = name, image = gadget.image);
        self.runs(name, reasons);
    }

    /// Notes that a gadget runs, and what it does not do.
    fn runs(&self, name: &str, reasons: Vec<Reason>) {
        for reason in &reasons {
            warn!(name: "gadget.degraded", gadget = name, "{}", reason.text());
        }
        let state = if reasons.is_empty() { State::Running } else { State::Degraded };
        self.status.set(name, state, reasons);
    }

    fn fetch(&mut self, gadget: &Gadget) {
        let reason = Reason::new(ReasonKind::Image, format!("image `{}` is being fetched", gadget.image));
        self.status.set(&gadget.name, State::Pending, vec![reason]);
        self.images.fetch(gadget);
    }

    async fn remove(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            self.machine.stop(running).await;
        }
        self.status.with(|board| board.gadgets.remove(name));
        info!(name: "gadget.stopped", gadget = name);
    }

    /// Pins the images that run and those that ran before them.
    pub(super) fn pin(&mut self) {
        let standings = self.standings.values();
        let images = standings.flat_map(|standing| [standing.digest, standing.previous]).flatten().collect();
        self.images.pin(images);
    }
}
