//! What reconciling does to the machine, as a contract: the kernel's side here, a made-up one in tests.

use std::{future::Future, sync::Arc, time::Duration};

use ig_config::runtime::{Gadget, Images, Limits};
use ig_files::FileVersion;
use ig_image::{Digest, Store, access::Acquired};
use ig_kernel::btf::Btf;
use ig_operators::FormatContext;
use ig_series::Registry;
use tracing::warn;

use super::{CollectorOptions, image_source::ConfiguredAccess};
use crate::{
    images::ImagesError,
    instance::{Built, Running},
    plan::{GadgetPlan, PlanContext, Purpose, SinkFactory, SourcePlan},
    reader::{Reader, SourceHandle},
    status::{Reason, ReasonKind, Status},
};

/// What there is for a gadget right now.
#[derive(Debug)]
pub(super) enum Availability<I> {
    /// The image.
    Here(Box<I>),
    /// It has to be fetched first.
    ToFetch,
    /// It is not to be had.
    Refused(Reason),
}

/// How images are reached under one configuration; clones are the same.
pub(super) trait ImageAccess: Clone + Send + 'static {
    /// An image that may run.
    type Image: Send + 'static;

    /// Which image it is.
    fn digest(image: &Self::Image) -> Digest;

    /// Fetches where the pull policy asks for it, verifies and reads.
    ///
    /// # Errors
    /// Why the image does not run.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was fetched for another try.
    fn acquire(&self, gadget: &Gadget) -> impl Future<Output = Result<Self::Image, Reason>> + Send;

    /// What the store has, without asking anybody else. Reads megabytes: call it on a blocking thread.
    fn local(&self, gadget: &Gadget) -> Availability<Self::Image>;

    /// Whether a gadget's image is looked up again while it runs.
    fn follows(&self, gadget: &Gadget) -> bool;

    /// Time between two looks at the tags of running gadgets.
    fn refresh_interval(&self) -> Option<Duration>;

    /// The files that it was made from, as they were read.
    fn files(&self) -> Vec<FileVersion>;

    /// The store to pin images in.
    fn store(&self) -> Option<&Store>;
}

/// An image as a machine takes it.
pub(super) type ImageOf<M> = <<M as Machine>::Access as ImageAccess>::Image;

/// A change of one gadget that can be carried out.
pub(super) enum Prepared<M: Machine> {
    /// Same programs, new sinks.
    Rewire(M::Sinks),
    /// New programs, attached and waiting. Dropped, they are detached.
    Switch(M::Built),
}

/// Runs gadgets.
pub(super) trait Machine: Sized {
    /// How images are reached.
    type Access: ImageAccess;
    /// What is kept while several gadgets are prepared.
    type Session;
    /// Sinks for programs that run.
    type Sinks;
    /// Loaded and attached; nobody reads yet.
    type Built;
    /// Read and delivered.
    type Running;

    /// Opens store and registries as the configuration says.
    ///
    /// # Errors
    /// [`ImagesError`].
    fn open(&self, images: &Images) -> impl Future<Output = Result<Self::Access, ImagesError>>;

    /// Begins to prepare gadgets; the value is held for as long as that takes.
    fn session(&self) -> Self::Session;

    /// Plans, loads and attaches: everything that can fail.
    ///
    /// # Errors
    /// Every reason found; nothing stays attached.
    fn prepare(
        &self,
        gadget: &Gadget,
        image: ImageOf<Self>,
        running: Option<&Self::Running>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Prepared<Self>, Vec<Reason>>>;

    /// Begins to deliver; with a predecessor, what that one has not. The reasons say what it does not do.
    fn switch(
        &self,
        built: Self::Built,
        replaces: Option<Self::Running>,
    ) -> impl Future<Output = (Self::Running, Vec<Reason>)>;

    /// Puts new sinks behind running programs. The reasons say what they do not do.
    fn rewire(&self, running: &Self::Running, sinks: Self::Sinks) -> impl Future<Output = Vec<Reason>>;

    /// Drains a last time and detaches.
    fn stop(&self, running: Self::Running) -> impl Future<Output = ()>;

    /// The sources to drain before a scrape.
    fn sources(running: &Self::Running) -> Vec<SourceHandle>;
}

/// This machine.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) options: CollectorOptions,
    pub(super) reader: Reader,
    pub(super) registry: Registry,
    pub(super) status: Status,
    pub(super) format: FormatContext,
}

/// The kernel's types, held so that they are parsed once for all gadgets of a change.
#[derive(Debug)]
pub(super) struct Types(Option<Arc<Btf>>);

impl Types {
    fn of_this_kernel() -> Self {
        Self(ig_kernel::btf::vmlinux().ok())
    }
}

impl Drop for Types {
    fn drop(&mut self) {
        drop(self.0.take());
        // What was parsed and loaded is megabytes that nobody needs any more.
        ig_kernel::sys::memory::malloc_trim();
    }
}

impl Machine for Kernel {
    type Access = ConfiguredAccess;
    type Session = Types;
    type Sinks = Vec<SourcePlan>;
    type Built = Box<Built>;
    type Running = Running;

    async fn open(&self, images: &Images) -> Result<ConfiguredAccess, ImagesError> {
        let (images, options) = (images.clone(), self.options.clone());
        // The store may be locked by somebody, and files can be anything.
        let work = tokio::task::spawn_blocking(move || {
            let CollectorOptions { images: flags, store, host, .. } = &options;
            ConfiguredAccess::open(&images, flags, store, host)
        });
        work.await.map_err(ImagesError::Panicked)?
    }

    fn session(&self) -> Types {
        Types::of_this_kernel()
    }

    async fn prepare(
        &self,
        gadget: &Gadget,
        image: Acquired,
        running: Option<&Running>,
        limits: &Limits,
    ) -> Result<Prepared<Self>, Vec<Reason>> {
        let context = PlanContext {
            host: Arc::clone(&self.options.host),
            format: self.format.clone(),
            kernel: ig_kernel::btf::vmlinux().ok(),
            limits: *limits,
            purpose: Purpose::Collect,
        };
        let sinks = self.options.sinks.clone();
        let gadget = gadget.clone();
        let running = running.map(|running| running.programs.clone());
        let work = tokio::task::spawn_blocking(move || {
            for warning in &image.gadget.warnings {
                warn!(name: "image.warning", gadget = gadget.name, "{warning}");
            }
            let mut plan = GadgetPlan::new(&gadget, &(&image).into(), &context)?;
            for factory in &sinks {
                open_sinks(&mut plan, factory.as_ref())?;
            }
            if running.as_ref() == Some(&plan.programs) {
                return Ok(Prepared::Rewire(plan.sources));
            }
            let built = Built::new(plan, &context.host).map_err(|reason| vec![reason])?;
            Ok(Prepared::Switch(Box::new(built)))
        });
        work.await.unwrap_or_else(|panic| {
            Err(vec![Reason::new(ReasonKind::Object, format!("loading panicked: {panic}"))])
        })
    }

    async fn switch(&self, built: Box<Built>, replaces: Option<Running>) -> (Running, Vec<Reason>) {
        built.start(&self.reader, &self.registry, &self.status, replaces).await
    }

    async fn rewire(&self, running: &Running, sinks: Vec<SourcePlan>) -> Vec<Reason> {
        running.rewire(sinks, &self.registry, &self.status, &self.options.host).await
    }

    async fn stop(&self, running: Running) {
        running.stop().await;
    }

    fn sources(running: &Running) -> Vec<SourceHandle> {
        running.handles()
    }
}

fn open_sinks(plan: &mut GadgetPlan, sinks: &dyn SinkFactory) -> Result<(), Vec<Reason>> {
    plan.open_sinks(sinks).map_err(|problems| {
        problems.into_iter().map(|problem| Reason::new(ReasonKind::Config, problem)).collect()
    })
}
