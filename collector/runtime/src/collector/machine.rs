//! What reconciling does to the machine, as a contract: the kernel's side here, a made-up one in tests.

use std::{future::Future, sync::Arc, time::Duration};

use ig_config::runtime::{Gadget, Images, Limits};
use ig_files::FileVersion;
use ig_image::{Digest, Store, access::Acquired};
use ig_kernel::btf::Btf;
use ig_operators::FormatContext;
use ig_series::Registry;
use tracing::warn;

use super::{CollectorOptions, image_source::ConfiguredAccess, image_thread::ImageThread};
use crate::{
    images::ImagesError,
    instance::{Built, Running},
    plan::{GadgetPlan, PlanContext, Purpose, SourcePlan},
    reader::{Reader, SourceHandle},
    status::{Reason, ReasonKind, Status},
    tasks::Tasks,
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
pub(super) trait ImageAccess: Clone + Send + Sync + 'static {
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

    /// What the store has, without asking anybody else.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    fn local(&self, gadget: &Gadget) -> impl Future<Output = Availability<Self::Image>> + Send;

    /// Does `work`, which may wait for the store; `None` if nothing can be done any more.
    fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;

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
    pub(super) images: ImageThread,
    pub(super) tasks: Tasks,
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
        let (images, options, thread) = (images.clone(), self.options.clone(), self.images.clone());
        // The store may be locked by somebody, and files can be anything.
        let work = self.images.wait_for(move || {
            let CollectorOptions { images: flags, store, host, .. } = &options;
            ConfiguredAccess::open(&images, flags, store, host, thread)
        });
        let opened = self.tasks.caught("images", work).await.map_err(ImagesError::Panicked)?;
        opened.ok_or(ImagesError::Ended)?
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
        let work = move || {
            for warning in &image.gadget.warnings {
                warn!(name: "image.warning", gadget = gadget.name, "{warning}");
            }
            let mut plan = GadgetPlan::new(&gadget, &(&image).into(), &context)?;
            if running.as_ref() == Some(&plan.programs) {
                let opened = sinks.iter().try_for_each(|sinks| plan.open_sinks(sinks.as_ref()));
                return opened.map(|()| Prepared::Rewire(plan.sources)).map_err(misfits);
            }
            let mut built = Built::new(plan, &context.host).map_err(|reason| vec![reason])?;
            // Last, so that a gadget that does not load opens nothing.
            let opened = sinks.iter().try_for_each(|sinks| built.open_sinks(sinks.as_ref()));
            opened.map(|()| Prepared::Switch(Box::new(built))).map_err(misfits)
        };
        let loaded = self.tasks.blocking("load", work).await;
        loaded.unwrap_or_else(|panic| Err(vec![Reason::new(ReasonKind::Object, panic)]))
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

/// What sinks that do not fit the data sources are refused for.
fn misfits(problems: Vec<String>) -> Vec<Reason> {
    problems.into_iter().map(|problem| Reason::new(ReasonKind::Config, problem)).collect()
}
