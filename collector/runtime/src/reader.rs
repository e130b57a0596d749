//! The reader thread: the only one that touches ring buffers, maps and iterators.
//!
//! Every data source is a task on one single-threaded executor of its own, so a slow scrape or export never delays
//! a drain, and pipelines need no locks but those of the series tables. The handle of a source takes orders: swap
//! the pipeline, drain now, stop.

mod cpus;
mod emitted;
mod fetch;
mod gather;
mod perf;
mod ring;
mod sinks;
mod steps;
mod stream;
mod sys;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use ig_model::KtimeNs;
use ig_operators::{Sink, SinkId, SourceSchema};
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use emitted::EmitQueue;
pub use fetch::{Fetcher, Schedule};
pub use gather::GatherFeed;
pub use perf::{PerfError, PerfFeed};
pub use ring::{RingError, RingFeed};
pub use sinks::AttachError;

use crate::{
    owners::Owners,
    pipeline::{Handover, Pipeline},
    status::{Reason, ReasonKind, Status},
    tasks::Tasks,
};
pub(crate) use cpus::Followers;
use sinks::SinkOrder;

/// Orders a source may have waiting; they come from one control task, so more than a few never pile up.
const ORDERS: usize = 16;

/// Scheduling priority of the thread, as of setpriority(2).
const READER_NICE: i32 = -10;

/// The thread; dropping it lets the thread end once every source has stopped.
#[derive(Clone, Debug)]
pub struct Reader {
    jobs: mpsc::UnboundedSender<Job>,
    owners: Owners,
    followers: Followers,
}

/// Whose records these are, for the log.
#[derive(Clone, Debug)]
pub struct SourceName {
    /// Name of the gadget.
    pub gadget: String,
    /// Name of the data source.
    pub source: String,
}

/// Where a source's records come from.
pub enum Feed {
    /// A ring buffer.
    Ring(Box<RingFeed>),
    /// A perf event array.
    Perf(Box<PerfFeed>),
    /// Something that is read whole, at intervals.
    Fetched(Fetcher, Schedule),
    /// Stages of other data sources.
    Emitted(EmitQueue),
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring(_) => "Ring",
            Self::Perf(_) => "Perf",
            Self::Fetched(Fetcher::Map(_), _) => "Map",
            Self::Fetched(Fetcher::Iterator(_), _) => "Iterator",
            Self::Fetched(Fetcher::Gathered(_), _) => "Gathered",
            Self::Emitted(_) => "Emitted",
        })
    }
}

struct Job {
    name: SourceName,
    feed: Feed,
    pipeline: Pipeline,
    handover: Handover,
    orders: mpsc::Receiver<Order>,
    exhausted: CancellationToken,
}

/// What a source can be told.
enum Order {
    /// Use this pipeline from the next record on.
    Swap(Box<Pipeline>, oneshot::Sender<()>),
    /// Drain what the kernel has now.
    Drain(oneshot::Sender<()>),
    /// Throw away what piled up, then deliver what is stamped after the moment.
    TakeOver(KtimeNs, oneshot::Sender<()>),
    /// Deliver only what is stamped up to the moment.
    HandOver(KtimeNs, oneshot::Sender<()>),
    /// Add or take away a sink.
    Sinks(SinkOrder),
    /// Drain a last time and end.
    Stop(oneshot::Sender<()>),
}

/// A running source.
#[derive(Clone, Debug)]
pub struct SourceHandle {
    orders: mpsc::Sender<Order>,
    exhausted: CancellationToken,
    /// Sinks that were attached so far.
    sinks: Arc<AtomicU64>,
}

impl Reader {
    /// Starts the thread. A source that panics ends alone: `tasks` counts it, and `status` says so of its gadget.
    ///
    /// # Errors
    /// When the system has no thread or no event loop to give.
    pub fn start(tasks: Tasks, status: Status) -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        let followers = Followers::default();
        let followed = followers.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().thread_name("ig-gather").build()?;
        thread::Builder::new().name("ig-reader".to_owned()).spawn(move || {
            // A ring of 2 MiB is full after 5 ms of 400,000 records a second: when processors are short the reader goes
            // first. `None` is this thread alone; without CAP_SYS_NICE it stays as it is.
            rustix::process::setpriority_process(None, READER_NICE).ok();
            let sources = LocalSet::new();
            let machine_status = status.clone();
            sources.spawn_local(async move {
                while let Some(job) = inbox.recv().await {
                    tokio::task::spawn_local(guarded(job, tasks.clone(), status.clone()));
                }
            });
            runtime.block_on(async {
                let machine = async { tokio::join!(steps::follow(), cpus::follow(followed, machine_status)) };
                tokio::select! {
                    () = sources => {}
                    _ = machine => {}
                }
            });
        })?;
        Ok(Self { jobs, owners: Owners::default(), followers })
    }

    /// The gadgets whose sources are read, by their programs.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// What follows the CPUs.
    pub(crate) fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Starts reading a source. With [`Handover::After`] the source waits for [`SourceHandle::take_over`].
    pub fn read(&self, name: SourceName, feed: Feed, pipeline: Pipeline, handover: Handover) -> SourceHandle {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let feed = match feed {
            Feed::Fetched(Fetcher::Gathered(feed), schedule) => {
                Feed::Fetched(Fetcher::Gathered(feed.knowing(self.owners.clone())), schedule)
            }
            other => other,
        };
        if let Feed::Perf(perf) = &feed {
            self.followers.enter(&name.gadget, perf.follower());
        }
        // The thread outlives every sender; if it is gone the process is ending and orders answer at once.
        let exhausted = CancellationToken::new();
        let job = Job { name, feed, pipeline, handover, orders: inbox, exhausted: exhausted.clone() };
        drop(self.jobs.send(job));
        SourceHandle { orders, exhausted, sinks: Arc::default() }
    }
}

impl SourceHandle {
    /// Replaces the pipeline between two records.
    pub async fn swap(&self, pipeline: Pipeline) {
        self.order(|done| Order::Swap(Box::new(pipeline), done)).await;
    }

    /// Drains what the kernel has now.
    pub async fn drain(&self) {
        self.order(Order::Drain).await;
    }

    /// Asks for a drain without waiting; the receiver answers when it is done.
    pub fn request_drain(&self) -> Option<oneshot::Receiver<()>> {
        let (done, answer) = oneshot::channel();
        self.orders.try_send(Order::Drain(done)).ok().map(|()| answer)
    }

    /// Begins to deliver, from `moment` on.
    pub async fn take_over(&self, moment: KtimeNs) {
        self.order(|done| Order::TakeOver(moment, done)).await;
    }

    /// Delivers only what is stamped up to `moment` from now on.
    pub async fn hand_over(&self, moment: KtimeNs) {
        self.order(|done| Order::HandOver(moment, done)).await;
    }

    /// Adds a sink that `open` makes for the schema of this moment; it sees what comes from now on.
    ///
    /// It stays when metrics and filters of the gadget change, as long as its packets look the same, and ends with the
    /// data source.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn attach(
        &self,
        open: impl FnOnce(&SourceSchema) -> Result<Box<dyn Sink>, String> + Send + 'static,
    ) -> Result<SinkId, AttachError> {
        let (done, answer) = oneshot::channel();
        // Relaxed: nothing but the number itself depends on it.
        let id = SinkId(self.sinks.fetch_add(1, Ordering::Relaxed));
        let order = Order::Sinks(SinkOrder::Attach(id, Box::new(open), done));
        self.orders.send(order).await.map_err(|_ended| AttachError::Ended)?;
        let attached = answer.await.map_err(|_ended| AttachError::Ended)?;
        attached.map(|()| id).map_err(AttachError::Refused)
    }

    /// Takes a sink away once it got all that came before; `false` if it is not there any more.
    pub async fn detach(&self, id: SinkId) -> bool {
        let (done, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Sinks(SinkOrder::Detach(id, done))).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// Waits until the source has fetched as often as it was told to; for ever where records have no end.
    pub async fn exhausted(&self) {
        self.exhausted.cancelled().await;
    }

    /// Drains a last time and ends the source.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, answer) = oneshot::channel();
        if self.orders.send(order(done)).await.is_ok() {
            // An error means that the source ended before it answered: nothing is left to wait for.
            drop(answer.await);
        }
    }
}

/// Reads a source to its end. One that panics or cannot be watched gives nothing any more, which degrades its gadget.
async fn guarded(job: Job, tasks: Tasks, status: Status) {
    let SourceName { gadget, source } = job.name.clone();
    let exhausted = job.exhausted.clone();
    let (kind, error) = match tasks.caught("source", run(job)).await {
        Ok(Ok(())) => return,
        Ok(Err(cause)) => {
            error!(name: "stream.watch.failed", gadget, source, error = %cause, "its records are not read any more");
            (ReasonKind::Transient, cause.to_string())
        }
        Err(panic) => (ReasonKind::Object, panic.to_string()),
    };
    let text = format!("data source `{source}` gives nothing any more: {error}");
    status.source_broke(&gadget, &source, Reason::new(kind, text));
    // Nobody may wait for what does not come.
    exhausted.cancel();
}

async fn run(job: Job) -> io::Result<()> {
    let Job { name, feed, pipeline, handover, orders, exhausted } = job;
    match feed {
        Feed::Ring(feed) => return stream::run(*feed, name, pipeline, handover, orders).await,
        Feed::Perf(feed) => return stream::run(*feed, name, pipeline, handover, orders).await,
        Feed::Fetched(fetcher, schedule) => {
            fetch::run(fetcher, schedule, name, pipeline, handover, orders, exhausted).await;
        }
        Feed::Emitted(queue) => emitted::run(queue, pipeline, orders).await,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
