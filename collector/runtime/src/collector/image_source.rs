//! Images on their way to gadgets: from the store at once, from registries in the background.
//!
//! A start never waits for a network: what is in the store runs, and what is not comes when it comes. A registry that
//! is down costs nobody anything but the gadgets that never had their image.

use std::{collections::BTreeSet, path::Path, time::Duration};

use ig_config::runtime::{Gadget, Images};
use ig_files::FileVersion;
use ig_image::{
    Digest, Pin, Reference, Store,
    access::{Access, AccessError, Acquired, PullPolicy},
};
use ig_model::Host;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{
    image_thread::ImageThread,
    machine::{Availability, ImageAccess},
};
use crate::{
    images::{ImageFlags, ImagesError, open, pull_policy},
    status::{Reason, ReasonKind},
    tasks::Tasks,
};

/// Owner of the pins of a collector.
const PIN_OWNER: &str = "collector";

/// Deliveries that may wait to be looked at; there is at most one per gadget.
const DELIVERIES: usize = 64;

/// Leads to images, now or later.
#[derive(Debug)]
pub(super) struct ImageSource<A: ImageAccess> {
    access: A,
    /// Where it is asked for what shall be pinned in the store.
    pins: Option<watch::Sender<BTreeSet<Digest>>>,
    tasks: Tasks,
    sender: mpsc::Sender<Delivery<A::Image>>,
    deliveries: mpsc::Receiver<Delivery<A::Image>>,
    /// Gadgets whose images are being fetched.
    under_way: BTreeSet<String>,
    /// How often another way was taken.
    ways: u64,
}

/// What came of a fetch in the background.
#[derive(Debug)]
pub(super) struct Delivery<I> {
    pub(super) gadget: String,
    pub(super) image: String,
    pub(super) result: Result<I, Reason>,
    /// Which way it came.
    way: u64,
}

impl<A: ImageAccess> ImageSource<A> {
    pub(super) fn new(access: A, tasks: Tasks) -> Self {
        let (sender, deliveries) = mpsc::channel(DELIVERIES);
        Self { access, pins: None, tasks, sender, deliveries, under_way: BTreeSet::new(), ways: 0 }
    }

    /// Takes another way from now on.
    pub(super) fn use_access(&mut self, access: A) {
        if access.store().map(Store::path) != self.access.store().map(Store::path) {
            self.pins = None;
        }
        self.access = access;
        self.ways += 1;
    }

    /// Whether what came was judged by the rules that hold now.
    pub(super) fn is_current(&self, delivery: &Delivery<A::Image>) -> bool {
        delivery.way == self.ways
    }

    /// The way that is taken now.
    pub(super) fn access(&self) -> &A {
        &self.access
    }

    /// What the store has for a gadget, without asking anybody else.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn local(&self, gadget: &Gadget) -> Availability<A::Image> {
        let read = self.tasks.caught("image-read", self.access.local(gadget)).await;
        read.unwrap_or_else(|panic| {
            Availability::Refused(located(gadget, Reason::new(ReasonKind::Image, panic)))
        })
    }

    /// Fetches where the pull policy of `access` asks for it, verifies and reads.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was fetched for another try.
    pub(super) async fn acquire(&self, access: &A, gadget: &Gadget) -> Availability<A::Image> {
        acquire(&self.tasks, access, gadget)
            .await
            .map_or_else(Availability::Refused, |image| Availability::Here(Box::new(image)))
    }

    /// Fetches a gadget's image in the background; [`ImageSource::delivered`] tells what came of it.
    pub(super) fn fetch(&mut self, gadget: &Gadget) {
        if !self.under_way.insert(gadget.name.clone()) {
            return;
        }
        info!(name: "image.fetch.started", gadget = gadget.name, image = gadget.image);
        let (access, sender, gadget) = (self.access.clone(), self.sender.clone(), gadget.clone());
        let (tasks, way) = (self.tasks.clone(), self.ways);
        self.tasks.spawn("image-fetch", |stop| async move {
            // Cancel-safe: what was fetched stays for the next try.
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = acquire(&tasks, &access, &gadget) => result,
            };
            let delivery = Delivery { gadget: gadget.name, image: gadget.image, result, way };
            // An error means that the collector is ending.
            drop(sender.send(delivery).await);
        });
    }

    /// The next image that was fetched in the background.
    ///
    /// # Cancel safety
    /// No delivery is lost.
    pub(super) async fn delivered(&mut self) -> Option<Delivery<A::Image>> {
        let delivery = self.deliveries.recv().await?;
        self.under_way.remove(&delivery.gadget);
        Some(delivery)
    }

    /// Keeps garbage collection away from what runs, and from what ran before it. Nobody waits for it: the store may be
    /// locked. What was asked for last is what is pinned in the end.
    pub(super) fn pin(&mut self, digests: BTreeSet<Digest>) {
        let Some(store) = self.access.store() else { return };
        let pins = self.pins.get_or_insert_with(|| {
            let (asked, wanted) = watch::channel(BTreeSet::new());
            let store = store.clone();
            let work = self.access.clone();
            self.tasks.spawn("image-pin", |stop| async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = keep_pinned(work, store, wanted) => {}
                }
            });
            asked
        });
        pins.send_if_modified(|known| {
            let is_news = *known != digests;
            *known = digests;
            is_news
        });
    }
}

/// Pins what is asked for until nobody can ask for anything else.
async fn keep_pinned<A: ImageAccess>(work: A, store: Store, mut wanted: watch::Receiver<BTreeSet<Digest>>) {
    let mut pin: Option<Pin> = None;
    while wanted.changed().await.is_ok() {
        let digests: Vec<Digest> = wanted.borrow_and_update().iter().copied().collect();
        let store = store.clone();
        let set = move || {
            let done = match &mut pin {
                Some(pin) => pin.set(&digests),
                None => store.pin(PIN_OWNER, &digests).map(|new| pin = Some(new)),
            };
            if let Err(error) = done {
                warn!(
                    name: "image.pin.failed",
                    error = &error as &dyn std::error::Error,
                    "another process may remove images that run here from the store"
                );
            }
            pin
        };
        let Some(kept) = work.wait_for(set).await else { return };
        pin = kept;
    }
    // Removing the pin's file waits for the disk.
    work.wait_for(move || drop(pin)).await;
}

/// Fetches as [`ImageAccess::acquire`]; a panic is a reason.
async fn acquire<A: ImageAccess>(tasks: &Tasks, access: &A, gadget: &Gadget) -> Result<A::Image, Reason> {
    let acquired = tasks.caught("image-fetch", access.acquire(gadget)).await;
    acquired.unwrap_or_else(|panic| Err(located(gadget, Reason::new(ReasonKind::Image, panic))))
}

/// How images are reached under one configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfiguredAccess {
    access: Access,
    thread: ImageThread,
    pull: PullPolicy,
    refresh: Option<Duration>,
}

impl ConfiguredAccess {
    /// Opens store and registries as the configuration says.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub(super) fn open(
        images: &Images,
        flags: &ImageFlags,
        store: &Path,
        host: &Host,
        thread: ImageThread,
    ) -> Result<Self, ImagesError> {
        let store = images.store.as_deref().unwrap_or(store);
        Ok(Self {
            access: open(images, flags, store, host)?,
            thread,
            pull: pull_policy(images, flags),
            refresh: images.refresh_interval,
        })
    }
}

impl ImageAccess for ConfiguredAccess {
    type Image = Acquired;

    fn digest(image: &Acquired) -> Digest {
        image.gadget.digest
    }

    async fn acquire(&self, gadget: &Gadget) -> Result<Acquired, Reason> {
        let reference = reference(gadget)?;
        let (access, pull) = (self.access.clone(), self.pull);
        let acquired = self.thread.run(async move { access.acquire(&reference, pull, &()).await }).await;
        let acquired = acquired.ok_or_else(|| ended(gadget))?.map_err(|error| refusal(gadget, error))?;
        if let Some(error) = &acquired.pull_failure {
            warn!(
                name: "image.fetch.failed",
                gadget = gadget.name,
                image = gadget.image,
                error = error as &dyn std::error::Error,
                "the image that was verified before is used"
            );
        }
        Ok(acquired)
    }

    async fn local(&self, gadget: &Gadget) -> Availability<Acquired> {
        let reference = match reference(gadget) {
            Ok(reference) => reference,
            Err(reason) => return Availability::Refused(reason),
        };
        let access = self.access.clone();
        match self.thread.wait_for(move || access.local(&reference)).await {
            Some(Ok(acquired)) => Availability::Here(Box::new(acquired)),
            Some(Err(error)) if self.pull != PullPolicy::Never && fetching_may_help(&error) => {
                Availability::ToFetch
            }
            Some(Err(error)) => Availability::Refused(refusal(gadget, error)),
            None => Availability::Refused(ended(gadget)),
        }
    }

    async fn wait_for<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.thread.wait_for(work).await
    }

    fn follows(&self, gadget: &Gadget) -> bool {
        self.pull == PullPolicy::Always
            && Reference::parse(&gadget.image).is_ok_and(|reference| reference.digest().is_none())
    }

    fn refresh_interval(&self) -> Option<Duration> {
        self.refresh
    }

    fn files(&self) -> Vec<FileVersion> {
        self.access.files().cloned().collect()
    }

    fn store(&self) -> Option<&Store> {
        Some(self.access.store())
    }
}

fn reference(gadget: &Gadget) -> Result<Reference, Reason> {
    Reference::parse(&gadget.image).map_err(|error| located(gadget, Reason::new(ReasonKind::Image, error)))
}

/// Why nothing comes any more.
fn ended(gadget: &Gadget) -> Reason {
    located(gadget, Reason::new(ReasonKind::Image, "the thread that reaches images has ended"))
}

fn fetching_may_help(error: &AccessError) -> bool {
    match error {
        AccessError::Resolve(error) => error.is_absent(),
        AccessError::Untrusted(error) => error.fetching_may_help(),
        _ => false,
    }
}

fn refusal(gadget: &Gadget, error: AccessError) -> Reason {
    let kind = match error {
        AccessError::Refused(_) | AccessError::Untrusted(_) => ReasonKind::Untrusted,
        _ => ReasonKind::Image,
    };
    located(gadget, Reason::hinted(kind, error))
}

fn located(gadget: &Gadget, reason: Reason) -> Reason {
    reason.image(&gadget.image).located(&gadget.at, &gadget.name)
}
