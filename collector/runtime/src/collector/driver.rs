//! Carries out what is decided: loads configurations, waits for images, switches, follows timers.

use std::{
    path::Path,
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
    documents::{Reread, load, reasons, warn_of},
    files::Files,
    gadgets::{Gadgets, Preparations, Terms},
    image_source::ImageSource,
    inbox::{Inbox, Request},
    machine::{ImageAccess as _, Machine},
    outputs::Outputs,
};
use crate::{
    losses,
    status::{Reason, ReasonKind, Status},
    tasks::Tasks,
};

/// How often series that are idle are looked for; a table in which none can be due is not walked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Time that is given to what was begun by a start that failed.
const GIVEN_UP_PATIENCE: Duration = Duration::from_secs(1);

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
    reread: Reread,
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
        let loaded = load(&tasks, &options.config).await;
        let loaded = loaded.map_err(|error| StartError::Config(reasons(error.faults)))?;
        warn_of(&loaded.warnings);
        // Before certificates and keys are read.
        files.also(loaded.referenced, &loaded.config).await;
        let config = loaded.config;
        (options.apply_log)(config.log);
        registry.set_limits(RegistryLimits { series_total: config.limits.series_total });
        let drains = Drains::default();
        // First of all, so that somebody answers whatever the rest waits for.
        let mut outputs =
            Outputs::new(&options, registry.clone(), status.clone(), drains.clone(), tasks.clone());
        outputs.prepare(&config.exporters, files.changed(), Occasion::Start).await?.commit(&mut outputs);
        losses::watch(&tasks, &status);
        let mut inbox = Inbox::new(commands);
        let opened = tokio::select! {
            biased; // a stop must not wait for a store
            () = inbox.stopped() => Err(StartError::Stopped),
            access = machine.open(&config.images) => access.map_err(StartError::from),
        };
        let access = match opened {
            Ok(access) => access,
            Err(error) => {
                outputs.stop(Instant::now() + GIVEN_UP_PATIENCE).await;
                return Err(error);
            }
        };
        files.set_images(access.files()).await;
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
            inbox,
            files,
            reread: Reread::default(),
        };
        match driver.start_gadgets().await {
            Ok(()) => driver.applied(loaded.hash),
            Err(Halt::Stopped | Halt::Superseded) => {}
            Err(Halt::Refused(faults)) => {
                driver.stop(GIVEN_UP_PATIENCE).await;
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
                () = self.reread.due() => self.inbox.file_changed(),
                _ = sweeps.tick() => self.registry.sweep(),
                Some(delivery) = images.delivered() => {
                    self.gadgets.deliver(delivery, self.config.limits).await;
                    self.drains.set(self.gadgets.sources());
                }
                () = refreshes.due() => self.gadgets.refresh(),
                () = tokio::time::sleep_until(retry.unwrap_or_else(far_future)), if retry.is_some() => {
                    self.gadgets.retry(self.config.limits, &mut self.inbox).await;
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
        gadgets.announce(&config.gadgets.iter().collect::<Vec<_>>());
        let terms = Terms { limits: config.limits, same_limits: true };
        let session = gadgets.machine().session();
        let mut faults = Vec::new();
        for gadget in &config.gadgets {
            let mut preparations = Preparations::default();
            let prepare = async {
                let image = gadgets.local(gadget).await;
                gadgets.prepare(gadget, image, terms, &mut preparations).await;
            };
            tokio::select! {
                biased; // a stop must not wait for a store or the kernel
                () = inbox.stopped() => return Err(Halt::Stopped),
                () = prepare => {}
            }
            // Once something is wrong nothing starts any more, but all that is wrong is said at once.
            if let Err(reasons) = gadgets.start(gadget, preparations, faults.is_empty()).await {
                faults.extend(reasons);
            }
        }
        drop(session);
        gadgets.pin();
        self.drains.set(self.gadgets.sources());
        if !faults.is_empty() {
            return Err(Halt::Refused(faults));
        }
        // What runs from the store may have a newer image.
        self.gadgets.refresh();
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
        let loaded = load(&self.tasks, &self.options.config).await;
        self.reread.note(loaded.as_ref().is_err_and(|error| error.unread));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.files.also(error.referenced, &self.config).await;
                if !is_forced && error.hash == self.seen {
                    return Ok(());
                }
                self.seen = error.hash;
                return Err(Halt::Refused(reasons(error.faults)));
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
        self.files.also(loaded.referenced, &loaded.config).await;
        warn_of(&loaded.warnings);
        let started = Instant::now();
        let desired = loaded.config;
        let outputs = self.outputs.prepare(&desired.exporters, self.files.changed(), Occasion::Reload).await;
        let outputs =
            outputs.map_err(|error| Halt::Refused(vec![Reason::hinted(ReasonKind::Config, error)]))?;
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
        self.files.set_images(self.gadgets.access().files()).await;
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
        let opened = tokio::select! {
            biased; // a stop must not wait for a store
            () = self.inbox.stopped() => return,
            opened = self.gadgets.machine().open(&self.config.images) => opened,
        };
        if let Ok(access) = opened {
            self.files.set_images(access.files()).await;
            self.gadgets.images().use_access(access);
        }
    }

    /// Fetches, prepares and switches the gadgets that `desired` changes.
    async fn change_gadgets(&mut self, desired: &RuntimeConfig, other_access: bool) -> Result<Summary, Halt> {
        let wanted = to_prepare(desired, Some(&self.config), self.gadgets.standings(), other_access);
        self.gadgets.announce(&wanted);
        let done = self.prepare_and_apply(desired, &wanted, other_access).await;
        if done.is_err() {
            self.gadgets.retract();
        }
        done
    }

    /// All that can take long or fail comes first, and nothing is changed before it is over. Whatever ends it has come
    /// before it was over; what was fetched stays for another try.
    async fn prepare_and_apply(
        &mut self,
        desired: &RuntimeConfig,
        wanted: &[&Gadget],
        other_access: bool,
    ) -> Result<Summary, Halt> {
        let Self { gadgets, inbox, files, options, seen, tasks, config, .. } = self;
        let terms = Terms { limits: desired.limits, same_limits: desired.limits == config.limits };
        let prepare = async {
            let mut opened = None;
            if other_access {
                opened = Some(gadgets.machine().open(&desired.images).await.map_err(|error| {
                    let file = error.unread();
                    let reason = Reason::new(ReasonKind::Config, error).at(&desired.images.at);
                    (Halt::Refused(vec![reason]), file)
                })?);
            }
            let access = opened.as_ref().unwrap_or(gadgets.access());
            let images = join_all(wanted.iter().map(|gadget| gadgets.acquire(access, gadget))).await;
            let session = gadgets.machine().session();
            let mut preparations = Preparations::default();
            for (gadget, image) in wanted.iter().zip(images) {
                gadgets.prepare(gadget, image, terms, &mut preparations).await;
            }
            Ok((preparations, opened, session))
        };
        let prepared = tokio::select! {
            biased; // see above
            halt = superseded(inbox, files, tasks, &options.config, seen, desired) => Err((halt, None)),
            prepared = prepare => prepared,
        };
        let (preparations, opened, session) = match prepared {
            Ok(prepared) => prepared,
            Err((halt, file)) => {
                // It may come, or be put right.
                if let Some(file) = file {
                    files.unread_image(file).await;
                }
                return Err(halt);
            }
        };
        let applied = gadgets.apply(Occasion::Reload, desired, preparations, opened).await;
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

/// Waits for what makes a reload under way pointless: the end, somebody who asks for another one, another content of the
/// configuration or of a file that it is made from.
async fn superseded(
    inbox: &mut Inbox,
    files: &mut Files,
    tasks: &Tasks,
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
        let hash = load(tasks, config).await.map_or_else(|error| error.hash, |loaded| loaded.hash);
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
