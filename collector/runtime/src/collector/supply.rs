//! Images on their way to gadgets: from the store at once, from registries in the background.
//!
//! A start never waits for a network: what is in the store runs, and what is not comes when it comes. A registry that
//! is down costs nobody anything but the gadgets that never had their image.

use std::{borrow::Cow, collections::BTreeSet, path::PathBuf, time::Duration};

use ig_config::runtime::{Gadget, Images};
use ig_files::FileVersion;
use ig_image::{
    Digest, Pin, Reference,
    access::{Access, AccessError, Acquired, PullPolicy},
};
use ig_model::{Hint as _, Host};
use tokio::sync::mpsc;
use tracing::{info, warn};

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
pub(super) struct Supply {
    access: Access,
    pull: PullPolicy,
    refresh: Option<Duration>,
    pin: Option<Pin>,
    tasks: Tasks,
    sender: mpsc::Sender<Delivery>,
    deliveries: mpsc::Receiver<Delivery>,
    /// Gadgets whose images are being fetched.
    under_way: BTreeSet<String>,
}

/// What came of a fetch in the background.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) gadget: String,
    pub(super) image: String,
    pub(super) result: Result<Acquired, Reason>,
}

/// How images are reached under one configuration.
#[derive(Debug)]
pub(super) struct Route {
    access: Access,
    pull: PullPolicy,
    refresh: Option<Duration>,
}

/// What there is for a gadget right now.
#[derive(Debug)]
pub(super) enum Stock {
    /// The image.
    Here(Box<Acquired>),
    /// It has to be fetched first.
    ToFetch,
    /// It is not to be had.
    Refused(Reason),
}

impl Route {
    /// Opens store and registries as the configuration says.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub(super) fn open(
        images: &Images,
        flags: &ImageFlags,
        store: &std::path::Path,
        host: &Host,
    ) -> Result<Self, ImagesError> {
        let store: PathBuf = images.store.clone().unwrap_or_else(|| store.to_owned());
        Ok(Self {
            access: open(images, flags, &store, host)?,
            pull: pull_policy(images, flags),
            refresh: images.refresh_interval,
        })
    }

    /// The files that it was made from, as they were read.
    pub(super) fn files(&self) -> Vec<FileVersion> {
        self.access.files().cloned().collect()
    }

    /// Fetches where the pull policy asks for it, verifies and reads.
    ///
    /// # Errors
    /// Why the image does not run.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was fetched for another try.
    pub(super) async fn acquire(&self, gadget: &Gadget) -> Result<Acquired, Reason> {
        acquire(&self.access, gadget, self.pull).await
    }
}

impl Supply {
    pub(super) fn new(route: Route, tasks: Tasks) -> Self {
        let (sender, deliveries) = mpsc::channel(DELIVERIES);
        let Route { access, pull, refresh } = route;
        Self { access, pull, refresh, pin: None, tasks, sender, deliveries, under_way: BTreeSet::new() }
    }

    /// Takes another way from now on.
    pub(super) fn reroute(&mut self, route: Route) {
        if route.access.store().path() != self.access.store().path() {
            self.pin = None;
        }
        let Route { access, pull, refresh } = route;
        (self.access, self.pull, self.refresh) = (access, pull, refresh);
    }

    /// The way that is taken now.
    pub(super) fn route(&self) -> Route {
        Route { access: self.access.clone(), pull: self.pull, refresh: self.refresh }
    }

    /// What the store has for a gadget, without asking anybody else.
    pub(super) fn stock(&self, gadget: &Gadget) -> Stock {
        let reference = match reference(gadget) {
            Ok(reference) => reference,
            Err(reason) => return Stock::Refused(reason),
        };
        match self.access.local(&reference) {
            Ok(acquired) => Stock::Here(Box::new(acquired)),
            Err(error) if self.pull != PullPolicy::Never && fetching_may_help(&error) => Stock::ToFetch,
            Err(error) => Stock::Refused(refusal(gadget, &error)),
        }
    }

    /// Whether a gadget's image is looked up again while it runs.
    pub(super) fn follows(&self, gadget: &Gadget) -> bool {
        self.pull == PullPolicy::Always
            && Reference::parse(&gadget.image).is_ok_and(|reference| reference.digest().is_none())
    }

    /// Time between two looks at the tags of running gadgets.
    pub(super) fn refresh_interval(&self) -> Option<Duration> {
        self.refresh
    }

    /// Fetches a gadget's image in the background; [`Supply::delivered`] tells what came of it.
    pub(super) fn fetch(&mut self, gadget: &Gadget) {
        if !self.under_way.insert(gadget.name.clone()) {
            return;
        }
        info!(name: "image.fetch.started", gadget = gadget.name, image = gadget.image);
        let (access, pull, sender, gadget) =
            (self.access.clone(), self.pull, self.sender.clone(), gadget.clone());
        self.tasks.spawn("image-fetch", |stop| async move {
            // Cancel-safe: what was fetched stays for the next try.
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = acquire(&access, &gadget, pull) => result,
            };
            let delivery = Delivery { gadget: gadget.name, image: gadget.image, result };
            // An error means that the collector is ending.
            drop(sender.send(delivery).await);
        });
    }

    /// The next image that was fetched in the background.
    ///
    /// # Cancel safety
    /// No delivery is lost.
    pub(super) async fn delivered(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.recv().await?;
        self.under_way.remove(&delivery.gadget);
        Some(delivery)
    }

    /// Keeps garbage collection away from what runs, and from what ran before it.
    pub(super) fn pin(&mut self, digests: &[Digest]) {
        let done = match &mut self.pin {
            Some(pin) => pin.set(digests),
            None => self.access.store().pin(PIN_OWNER, digests).map(|pin| self.pin = Some(pin)),
        };
        if let Err(error) = done {
            warn!(
                name: "image.pin.failed",
                error = &error as &dyn std::error::Error,
                "another process may remove images that run here from the store"
            );
        }
    }
}

async fn acquire(access: &Access, gadget: &Gadget, pull: PullPolicy) -> Result<Acquired, Reason> {
    let reference = reference(gadget)?;
    let acquired = access.acquire(&reference, pull, &()).await.map_err(|error| refusal(gadget, &error))?;
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

fn reference(gadget: &Gadget) -> Result<Reference, Reason> {
    Reference::parse(&gadget.image).map_err(|error| located(gadget, ReasonKind::Image, &error, None))
}

fn fetching_may_help(error: &AccessError) -> bool {
    match error {
        AccessError::Resolve(error) => matches!(error, ig_image::ResolveError::NotFound { .. }),
        AccessError::Untrusted(error) => error.fetching_may_help(),
        _ => false,
    }
}

fn refusal(gadget: &Gadget, error: &AccessError) -> Reason {
    let kind = match error {
        AccessError::Refused(_) | AccessError::Untrusted(_) => ReasonKind::Untrusted,
        _ => ReasonKind::Image,
    };
    located(gadget, kind, error, error.hint().map(Cow::into_owned))
}

fn located(gadget: &Gadget, kind: ReasonKind, error: &dyn std::error::Error, hint: Option<String>) -> Reason {
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    let (at, name, image) = (&gadget.at, &gadget.name, &gadget.image);
    Reason { kind, text: format!("{at}: gadget `{name}`: image `{image}`: {}{hint}", ig_model::chain(error)) }
}
