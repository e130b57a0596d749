//! A machine that only notes what it is asked to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ig_config::runtime::{Gadget, Images, Limits};
use ig_files::FileVersion;
use ig_image::{Digest, Store};
use ig_model::Host;
use ig_series::{Registry, RegistryLimits};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::super::{
    CollectorOptions, Command, Reloaded, StartError, commands,
    driver::{Driver, Parts},
    files::Files,
    machine::{Availability, ImageAccess, Machine, Prepared},
};
use crate::{
    images::{ImageFlags, ImagesError},
    reader::SourceHandle,
    status::{Reason, ReasonKind, State, Status},
    tasks::Tasks,
};

/// What the machine was asked to do, and how it answers.
#[derive(Clone, Debug, Default)]
pub(super) struct World(
    Arc<Mutex<Facts>>,
    /// Which opening of the way to images this is.
    usize,
);

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What happened, in order.
    log: Vec<String>,
    /// Images that are not in the store, with the time it takes to fetch them.
    pub(super) remote: BTreeMap<String, Duration>,
    /// Images whose name leads to another one by now.
    pub(super) moved: BTreeSet<String>,
    /// Gadgets that cannot be prepared.
    pub(super) broken: BTreeMap<String, ReasonKind>,
    /// Gadgets that take their time to be prepared.
    pub(super) slow: BTreeMap<String, Duration>,
    /// Gadgets whose images cannot be fetched without a panic.
    pub(super) fetch_panics: BTreeSet<String>,
    /// How long the store is locked by somebody else; it cannot be read in the end.
    pub(super) locked: Option<Duration>,
    /// When preparations failed.
    pub(super) failed_at: Vec<Instant>,
    /// How often the way to images was opened.
    opened: usize,
    /// Which opening each image was fetched by.
    pub(super) fetched_by: Vec<usize>,
    /// Whether tags are looked up again.
    pub(super) refresh: Option<Duration>,
}

impl World {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    fn note(&self, what: &str, whom: &str) {
        self.facts().log.push(format!("{what} {whom}"));
    }

    /// What happened since the last call.
    pub(super) fn log(&self) -> String {
        std::mem::take(&mut self.facts().log).join(", ")
    }

    fn digest(&self, image: &str) -> Digest {
        let version = if self.facts().moved.contains(image) { "new" } else { "old" };
        Digest::of(format!("{image} {version}").as_bytes())
    }
}

impl ImageAccess for World {
    type Image = Digest;

    fn digest(image: &Digest) -> Digest {
        *image
    }

    async fn acquire(&self, gadget: &Gadget) -> Result<Digest, Reason> {
        self.note("fetch", &gadget.name);
        let (takes, panics) = {
            let facts = self.facts();
            (facts.remote.get(&gadget.image).copied(), facts.fetch_panics.contains(&gadget.name))
        };
        assert!(!panics, "as it was told");
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
        }
        self.facts().fetched_by.push(self.1);
        Ok(self.digest(&gadget.image))
    }

    async fn local(&self, gadget: &Gadget) -> Availability<Digest> {
        let locked = self.facts().locked;
        if let Some(locked) = locked {
            tokio::time::sleep(locked).await;
            let reason = Reason::new(ReasonKind::Image, "the store is locked");
            return Availability::Refused(reason);
        }
        if self.facts().remote.contains_key(&gadget.image) {
            return Availability::ToFetch;
        }
        Availability::Here(Box::new(self.digest(&gadget.image)))
    }

    async fn wait_for<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        Some(work())
    }

    fn follows(&self, _: &Gadget) -> bool {
        self.facts().refresh.is_some()
    }

    fn refresh_interval(&self) -> Option<Duration> {
        self.facts().refresh
    }

    fn files(&self) -> Vec<FileVersion> {
        Vec::new()
    }

    fn store(&self) -> Option<&Store> {
        None
    }
}

/// Everything the programs of a gadget depend on.
#[derive(Clone, Debug, PartialEq)]
struct Key(Digest, BTreeMap<String, String>);

/// Attached; detached when dropped.
#[derive(Debug)]
pub(super) struct Attached {
    name: String,
    key: Key,
    world: World,
    is_read: bool,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.is_read {
            self.world.note("detach", &self.name);
        }
    }
}

impl Machine for World {
    type Access = World;
    type Session = ();
    type Sinks = ();
    type Built = Attached;
    type Running = Attached;

    async fn open(&self, _: &Images) -> Result<World, ImagesError> {
        let mut facts = self.facts();
        facts.opened += 1;
        Ok(Self(Arc::clone(&self.0), facts.opened))
    }

    fn session(&self) {}

    async fn prepare(
        &self,
        gadget: &Gadget,
        image: Digest,
        running: Option<&Attached>,
        _: &Limits,
    ) -> Result<Prepared<Self>, Vec<Reason>> {
        let slow = self.facts().slow.get(&gadget.name).copied();
        if let Some(takes) = slow {
            tokio::time::sleep(takes).await;
        }
        let broken = self.facts().broken.get(&gadget.name).copied();
        if let Some(kind) = broken {
            self.facts().failed_at.push(Instant::now());
            return Err(vec![Reason::new(kind, "as it was told")]);
        }
        let key = Key(image, gadget.params.clone());
        if running.is_some_and(|running| running.key == key) {
            return Ok(Prepared::Rewire(()));
        }
        self.note("attach", &gadget.name);
        let attached = Attached { name: gadget.name.clone(), key, world: self.clone(), is_read: false };
        Ok(Prepared::Switch(attached))
    }

    async fn switch(&self, mut built: Attached, replaces: Option<Attached>) -> (Attached, Vec<Reason>) {
        built.is_read = true;
        self.note(if replaces.is_some() { "replace" } else { "start" }, &built.name);
        (built, Vec::new())
    }

    async fn rewire(&self, running: &Attached, (): ()) -> Vec<Reason> {
        self.note("rewire", &running.name);
        Vec::new()
    }

    async fn stop(&self, running: Attached) {
        self.note("stop", &running.name);
    }

    fn sources(_: &Attached) -> Vec<SourceHandle> {
        Vec::new()
    }
}

/// A collector on a made-up machine, with a configuration file of its own.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) status: Status,
    sender: mpsc::Sender<Command>,
    folder: TempDir,
}

impl Bench {
    /// A collector that is about to start with these sections.
    pub(super) fn new(sections: &str) -> (Self, Parts<World>) {
        let (sender, receiver) = commands();
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { world: World::default(), status: Status::default(), sender, folder };
        bench.write(sections);
        let options = CollectorOptions {
            config: bench.folder.path().join("run.yaml"),
            store: bench.folder.path().to_owned(),
            version: "0",
            apply_log: |_| {},
            lost_log_lines: || 0,
            images: ImageFlags::default(),
            host: Arc::new(Host::of([])),
            sinks: Vec::new(),
        };
        let parts = Parts {
            options,
            machine: bench.world.clone(),
            status: bench.status.clone(),
            registry: Registry::new(
                RegistryLimits { series_total: 0 },
                Arc::new(ig_exporters::prometheus::Names),
            ),
            tasks: Tasks::new(),
            commands: receiver,
            files: Files::not_followed(),
        };
        (bench, parts)
    }

    /// A collector that runs these sections.
    pub(super) async fn running(sections: &str) -> (Self, Driver<World>) {
        let (bench, parts) = Self::new(sections);
        let driver = Driver::start(parts).await.unwrap();
        bench.world.log();
        (bench, driver)
    }

    /// Saves the configuration, at once and whole; with a scrape endpoint, unless it begins with exporters of its own.
    pub(super) fn write(&self, sections: &str) {
        let head = if sections.starts_with("exporters:") {
            "apiVersion: 1\nkind: runtime-config\n"
        } else {
            "apiVersion: 1\nkind: runtime-config\nexporters: {prometheus: {listen: '127.0.0.1:0'}}\n"
        };
        let [new, file] = ["new", "run.yaml"].map(|name| self.folder.path().join(name));
        fs::write(&new, format!("{head}{sections}")).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Takes the configuration away.
    pub(super) fn remove(&self) {
        fs::remove_file(self.folder.path().join("run.yaml")).unwrap();
    }

    /// Tells the collector something.
    pub(super) async fn tell(&self, command: Command) {
        self.sender.send(command).await.unwrap();
    }

    /// Asks for a reload; the answer comes by and by.
    pub(super) async fn ask(&self) -> oneshot::Receiver<Reloaded> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Reload { reply: Some(reply) }).await;
        answer
    }

    /// Saves the configuration, has it read, and says what came of it and what was done.
    pub(super) async fn reload(&self, sections: &str) -> (Reloaded, String) {
        self.write(sections);
        let answer = self.ask().await.await.unwrap();
        (answer, self.world.log())
    }

    /// A file beside the configuration.
    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The state of an OTLP exporter and why, in words.
    pub(super) fn exporter(&self, name: &str) -> Option<(State, String)> {
        self.status.with(|board| {
            let found = board.exporters.get(name)?;
            Some((found.state, found.reason.as_ref().map_or_else(String::new, Reason::text)))
        })
    }

    /// The state of a gadget and why, in a word each.
    pub(super) fn state(&self, gadget: &str) -> Option<(State, Option<ReasonKind>)> {
        self.status.with(|board| {
            let found = board.gadgets.get(gadget)?;
            Some((found.state, found.reasons.first().map(|reason| reason.kind)))
        })
    }
}

/// The script, while the collector runs.
pub(super) async fn beside<T>(driver: &mut Driver<World>, script: impl Future<Output = T>) -> T {
    // Not cancel-safe, and need not be: the collector goes on with the next script or ends.
    tokio::select! {
        biased; // what the script says counts, even if the collector ended at the same moment
        said = script => said,
        () = driver.run() => panic!("the collector ended"),
    }
}

/// The texts of faults.
pub(super) fn faults(error: &StartError) -> String {
    match error {
        StartError::Config(reasons) => Reason::join(reasons),
        other => other.to_string(),
    }
}
