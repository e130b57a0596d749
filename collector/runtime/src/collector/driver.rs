//! Carries out what is decided: loads configurations, waits for images, switches, follows timers.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use ig_config::runtime::{Gadget, RuntimeConfig};
use ig_series::{Registry, RegistryLimits};
use tokio::{sync::mpsc, time::Instant};
use tracing::{debug, error, info, warn};

use super::{
    CollectorOptions, Command, Drains, Leftovers, Reloaded, StartError,
    decide::{Occasion, Summary, to_prepare},
    documents::{load, reasons, warn_of},
    files::Files,
    gadgets::{Gadgets, Preparations, Terms},
    image_source::ImageSource,
    inbox::{Inbox, Request},
    machine::{Availability, ImageAccess as _, ImageOf, Machine},
    outputs::Outputs,
};
use crate::{
    status::{Reason, ReasonKind, Status},
    tasks::Tasks,
};

/// How often series that are idle are looked for; a table in which none can be due is not walked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a driver is made of.
pub(super) struct Parts<M> {
    pub(super) options: CollectorOptions,
    pub(super) machine: M,
    pub(super) status: Status,
    pub(super) registry: Registry,
    pub(super) tasks: Tasks,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) files: Files,
}

/// Keeps the running set as the configuration says.
pub(super) struct Driver<M: Machine> {
    options: CollectorOptions,
    config: RuntimeConfig,
    /// Hash of the last configuration looked at, applied or not.
    seen: String,
    tasks: Tasks,
    status: Status,
    registry: Registry,
    gadgets: Gadgets<M>,
    outputs: Outputs,
    drains: Drains,
    inbox: Inbox,
    files: Files,
}

/// Why a configuration was not put in force.
#[derive(Debug)]
enum Halt {
    /// It, or something that it asks for, is wrong.
    Refused(Vec<Reason>),
    /// A newer command took the place of this one.
    Superseded,
    /// The collector ends.
    Stopped,
}

impl<M: Machine> std::fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("config", &self.options.config).finish_non_exhaustive()
    }
}

impl<M: Machine> Driver<M> {
    /// Puts the first configuration in force.
    pub(super) async fn start(parts: Parts<M>) -> Result<Self, StartError> {
        let Parts { options, machine, status, registry, tasks, commands, mut files } = parts;
        let loaded =
            load(&options.config).await.map_err(|error| StartError::Config(reasons(error.faults)))?;
        warn_of(&loaded.warnings);
        // Before certificates and keys are read.
        files.also(loaded.referenced, &loaded.config);
        let config = loaded.config;
        (options.apply_log)(config.log);
        registry.set_limits(RegistryLimits { series_total: config.limits.series_total });
        let access = machine.open(&config.images).await?;
        files.set_images(access.files());
        let drains = Drains::default();
        let mut outputs = Outputs::new(
            registry.clone(),
            status.clone(),
            drains.clone(),
            tasks.clone(),
            options.version,
            Arc::clone(&options.host),
        );
        outputs.prepare(&config.exporters, files.changed()).await?.commit(&mut outputs);
        let images = ImageSource::new(access, tasks.clone());
        let gadgets = Gadgets::new(machine, images, status.clone());
        let mut driver = Self {
            options,
            config,
            seen: loaded.hash.clone(),
            tasks,
            status,
            registry,
            gadgets,
            outputs,
            drains,
            inbox: Inbox::new(commands),
            files,
        };
        match driver.start_gadgets().await {
            Ok(()) => driver.applied(loaded.hash),
            Err(Halt::Stopped | Halt::Superseded) => {}
            Err(Halt::Refused(faults)) => {
                driver.outputs.stop(Instant::now() + Duration::from_secs(1)).await;
                return Err(StartError::Config(faults));
            }
        }
        Ok(driver)
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.outputs.metrics_address()
    }

    pub(super) fn is_stopping(&mut self) -> bool {
        self.inbox.is_stopping()
    }

    /// Carries out commands and follows timers until it is told to stop.
    pub(super) async fn run(&mut self) {
        let mut sweeps = tokio::time::interval(SWEEP_INTERVAL);
        sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refreshes = Refreshes::default();
        loop {
            let retry = self.gadgets.next_retry();
            let images = self.gadgets.images();
            refreshes.follow(images.access().refresh_interval());
            // Cancel-safe: the channels lose nothing, and a sleep that is cut short is set up again.
            tokio::select! {
                request = self.inbox.next() => match request {
                    Some(request) => self.reload(request).await,
                    None => return,
                },
                Some(()) = self.files.change() => self.inbox.file_changed(),
                _ = sweeps.tick() => self.registry.sweep(),
                Some(delivery) = images.delivered() => {
                    self.gadgets.deliver(delivery, self.config.limits).await;
                    self.drains.set(self.gadgets.sources());
                }
                () = refreshes.due() => self.gadgets.refresh(),
                () = tokio::time::sleep_until(retry.unwrap_or_else(far_future)), if retry.is_some() => {
                    self.gadgets.retry(self.config.limits).await;
                    self.drains.set(self.gadgets.sources());
                }
            }
        }
    }

    /// Drains in the order of the flow and ends by `patience`.
    pub(super) async fn stop(mut self, patience: Duration) -> Leftovers {
        let deadline = Instant::now() + patience;
        if tokio::time::timeout_at(deadline, self.gadgets.stop()).await.is_err() {
            warn!(name: "collector.stop.late", "some sources were not drained in time");
        }
        let otlp_bytes = self.outputs.stop(deadline).await;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
        let tasks = self.tasks.drain(left).await.err().unwrap_or(0);
        Leftovers { tasks, otlp_bytes }
    }

    /// Starts what the store has; the rest is fetched in the background, so that no start waits for a network.
    async fn start_gadgets(&mut self) -> Result<(), Halt> {
        let Self { gadgets, inbox, config, .. } = self;
        let wanted: Vec<&Gadget> = config.gadgets.iter().collect();
        gadgets.announce(&wanted);
        let terms = Terms { limits: config.limits, same_limits: true };
        let mut preparations = Preparations::default();
        let session = gadgets.machine().session();
        for gadget in wanted {
            if inbox.is_stopping() {
                return Err(Halt::Stopped);
            }
            let image = gadgets.images().local(gadget).await;
            gadgets.prepare(gadget, image, terms, &mut preparations).await;
        }
        gadgets.apply(Occasion::Start, config, preparations, None).await.map_err(Halt::Refused)?;
        drop(session);
        // What runs from the store may have a newer image.
        gadgets.refresh();
        self.drains.set(self.gadgets.sources());
        Ok(())
    }

    /// Reads the configuration again and makes it so, wholly or not at all.
    async fn reload(&mut self, request: Request) {
        let answer = match self.put_in_force(request.is_forced).await {
            Ok(()) => return request.answer(|| Reloaded::Applied),
            Err(halt) => halt,
        };
        match answer {
            Halt::Refused(faults) => {
                self.renew_access(request.is_forced).await;
                request.answer(|| Reloaded::Refused(faults.clone()));
                self.refuse(faults);
            }
            Halt::Superseded => {
                debug!(name: "config.reload.superseded", forced = request.is_forced);
                self.inbox.inherit(&request);
                request.answer(|| Reloaded::Superseded);
            }
            Halt::Stopped => request.answer(|| Reloaded::Stopped),
        }
    }

    async fn put_in_force(&mut self, is_forced: bool) -> Result<(), Halt> {
        let loaded = match load(&self.options.config).await {
            Ok(loaded) => loaded,
            Err(error) if is_forced || error.hash != self.seen => {
                self.seen = error.hash;
                self.files.also(error.referenced, &self.config);
                return Err(Halt::Refused(reasons(error.faults)));
            }
            Err(error) => {
                self.files.also(error.referenced, &self.config);
                return Ok(());
            }
        };
        let images_changed = self.files.concern_images(&loaded.config.images);
        let exporters_changed = self.files.concern_exporters(&loaded.config.exporters);
        let (last_failed, in_force) =
            self.status.with(|board| (!board.reload.last_success, board.reload.hash.clone()));
        // After a refused reload the configuration in force is looked at again when it comes back.
        let is_news = loaded.hash != self.seen || (last_failed && loaded.hash == in_force);
        if !is_forced && !images_changed && !exporters_changed && !is_news {
            self.files.applied();
            return Ok(());
        }
        self.seen.clone_from(&loaded.hash);
        self.files.also(loaded.referenced, &loaded.config);
        warn_of(&loaded.warnings);
        let started = Instant::now();
        let desired = loaded.config;
        let outputs = self.outputs.prepare(&desired.exporters, self.files.changed()).await;
        let outputs = outputs.map_err(|error| Halt::Refused(vec![Reason::new(ReasonKind::Config, error)]))?;
        // Somebody who asks for a reload may know of changes that were not noticed.
        let other_access = is_forced || images_changed || desired.images != self.config.images;
        let summary = self.change_gadgets(&desired, other_access).await?;
        outputs.commit(&mut self.outputs);
        self.registry.set_limits(RegistryLimits { series_total: desired.limits.series_total });
        self.drains.set(self.gadgets.sources());
        (self.options.apply_log)(desired.log);
        self.config = desired;
        self.applied(loaded.hash);
        self.status.with(|board| board.reload.succeeded += 1);
        let files = self.files.changed().to_string();
        info!(name: "config.reload.applied", changes = %summary, files, took = ?started.elapsed());
        self.files.set_images(self.gadgets.images().access().files());
        self.files.applied();
        Ok(())
    }

    /// After a refused reload everything runs on, but a key that was taken away must let in nothing new: the way to the
    /// images of the configuration in force is made from the files as they are now. Where these cannot be used, the
    /// refusal has said so, and the next change of them comes back here.
    async fn renew_access(&mut self, is_forced: bool) {
        if !is_forced && !self.files.concern_images(&self.config.images) {
            return;
        }
        if let Ok(access) = self.gadgets.machine().open(&self.config.images).await {
            self.files.set_images(access.files());
            self.gadgets.images().use_access(access);
        }
    }

    /// Fetches, prepares and switches the gadgets that `desired` changes.
    async fn change_gadgets(&mut self, desired: &RuntimeConfig, other_access: bool) -> Result<Summary, Halt> {
        let access = if other_access {
            let access = self.gadgets.machine().open(&desired.images).await;
            Some(access.map_err(|error| {
                // It may come, or be put right.
                if let Some(file) = error.unread() {
                    self.files.unread_image(file);
                }
                Halt::Refused(vec![Reason::new(ReasonKind::Config, error).at(&desired.images.at)])
            })?)
        } else {
            None
        };
        let wanted = to_prepare(desired, Some(&self.config), self.gadgets.standings(), other_access);
        self.gadgets.announce(&wanted);
        let done = self.prepare_and_apply(desired, &wanted, access).await;
        if done.is_err() {
            self.gadgets.retract();
        }
        done
    }

    async fn prepare_and_apply(
        &mut self,
        desired: &RuntimeConfig,
        wanted: &[&Gadget],
        access: Option<M::Access>,
    ) -> Result<Summary, Halt> {
        let way = access.clone().unwrap_or_else(|| self.gadgets.images().access().clone());
        // All that can take long comes first, and nothing is changed before it is over. What was fetched stays for
        // another try when something newer ends the wait.
        let images = tokio::select! {
            biased; // what ends the wait has come before the images
            halt = superseded(&mut self.inbox, &mut self.files, &self.options.config, &self.seen, desired) => {
                return Err(halt);
            }
            images = acquire_all::<M>(&way, wanted) => images,
        };
        let terms = Terms { limits: desired.limits, same_limits: desired.limits == self.config.limits };
        let mut preparations = Preparations::default();
        let session = self.gadgets.machine().session();
        for (gadget, image) in wanted.iter().zip(images) {
            if self.inbox.is_stopping() {
                return Err(Halt::Stopped);
            }
            self.gadgets.prepare(gadget, image, terms, &mut preparations).await;
        }
        let applied = self.gadgets.apply(Occasion::Reload, desired, preparations, access).await;
        drop(session);
        applied.map_err(Halt::Refused)
    }

    fn applied(&self, hash: String) {
        self.status.with(|board| {
            board.reload.last_success = true;
            board.reload.applied_at = Some(SystemTime::now());
            board.reload.hash = hash;
            board.reload.faults.clear();
        });
    }

    fn refuse(&self, faults: Vec<Reason>) {
        error!(
            name: "config.reload.refused",
            faults = faults.len(),
            files = %self.files.changed(),
            "the configuration in force stays as it was:\n{}",
            faults.iter().map(Reason::text).collect::<Vec<_>>().join("\n")
        );
        self.status.with(|board| {
            board.reload.failed += 1;
            board.reload.last_success = false;
            board.reload.faults = faults;
        });
    }
}

/// Fetches and verifies the images of all these gadgets at the same time.
async fn acquire_all<M: Machine>(access: &M::Access, gadgets: &[&Gadget]) -> Vec<Availability<ImageOf<M>>> {
    let acquired = join_all(gadgets.iter().map(|gadget| access.acquire(gadget))).await;
    let available = |image: Result<_, _>| {
        image.map_or_else(Availability::Refused, |image| Availability::Here(Box::new(image)))
    };
    acquired.into_iter().map(available).collect()
}

/// Waits for what makes a reload under way pointless: the end, somebody who asks for another one, another content of the
/// configuration or of a file that it is made from.
async fn superseded(
    inbox: &mut Inbox,
    files: &mut Files,
    config: &Path,
    seen: &str,
    desired: &RuntimeConfig,
) -> Halt {
    loop {
        // Cancel-safe: what changed stays on the list of files, commands in the inbox.
        let is_change = tokio::select! {
            () = inbox.news() => false,
            Some(()) = files.change() => true,
        };
        if is_change {
            inbox.file_changed();
        }
        if inbox.is_stopping() {
            return Halt::Stopped;
        }
        let is_concerned = is_change
            && (files.concern_images(&desired.images) || files.concern_exporters(&desired.exporters));
        if inbox.is_forced() || is_concerned {
            return Halt::Superseded;
        }
        let hash = load(config).await.map_or_else(|error| error.hash, |loaded| loaded.hash);
        if hash != seen {
            return Halt::Superseded;
        }
        inbox.nothing_changed();
    }
}

/// When tags are looked up again.
#[derive(Debug, Default)]
struct Refreshes {
    interval: Option<Duration>,
    ticks: Option<tokio::time::Interval>,
}

impl Refreshes {
    /// Goes by another interval, if it is another one.
    fn follow(&mut self, interval: Option<Duration>) {
        if interval != self.interval {
            self.interval = interval;
            self.ticks = interval.map(|interval| {
                let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                ticks
            });
        }
    }

    /// # Cancel safety
    /// No tick is lost.
    async fn due(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_hours(24)
}
