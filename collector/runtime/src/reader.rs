//! The reader thread: the only one that touches ring buffers, maps and iterators.
//!
//! Every data source is a task on one single-threaded executor of its own, so a slow scrape or export never delays
//! a drain, and pipelines need no locks but those of the series tables. The handle of a source takes orders: swap
//! the pipeline, drain now, stop.

mod fetch;
mod perf;
mod ring;
mod stats;
mod stream;
mod sys;

use std::{io, thread};

use ig_model::KtimeNs;
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};
use tokio_util::sync::CancellationToken;

pub use fetch::{Fetcher, Schedule};
pub use perf::{PerfError, PerfFeed};
pub use ring::{RingError, RingFeed};
pub use stats::{StatsError, StatsFeed};

use crate::{
    owners::Owners,
    pipeline::{Handover, Pipeline},
};

/// Orders a source may have waiting; they come from one control task, so more than a few never pile up.
const ORDERS: usize = 16;

/// Scheduling priority of the thread, as of setpriority(2).
const READER_NICE: i32 = -10;

/// The thread; dropping it lets the thread end once every source has stopped.
#[derive(Clone, Debug)]
pub struct Reader {
    jobs: mpsc::UnboundedSender<Job>,
    owners: Owners,
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
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring(_) => "Ring",
            Self::Perf(_) => "Perf",
            Self::Fetched(Fetcher::Map(_), _) => "Map",
            Self::Fetched(Fetcher::Iterator(_), _) => "Iterator",
            Self::Fetched(Fetcher::Statistics(_), _) => "Statistics",
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
    /// Drain a last time and end.
    Stop(oneshot::Sender<()>),
}

/// A running source.
#[derive(Clone, Debug)]
pub struct SourceHandle {
    orders: mpsc::Sender<Order>,
    exhausted: CancellationToken,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or no event loop to give.
    pub fn start() -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("ig-reader".to_owned()).spawn(move || {
            // A ring of 2 MiB is full after 5 ms of 400,000 records a second: when processors are short the reader goes
            // first. `None` is this thread alone; without CAP_SYS_NICE it stays as it is.
            rustix::process::setpriority_process(None, READER_NICE).ok();
            let tasks = LocalSet::new();
            tasks.spawn_local(async move {
                while let Some(job) = inbox.recv().await {
                    tokio::task::spawn_local(run(job));
                }
            });
            runtime.block_on(tasks);
        })?;
        Ok(Self { jobs, owners: Owners::default() })
    }

    /// The gadgets whose sources are read, by their programs.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Starts reading a source. With [`Handover::After`] the source waits for [`SourceHandle::take_over`].
    pub fn read(&self, name: SourceName, feed: Feed, pipeline: Pipeline, handover: Handover) -> SourceHandle {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let feed = match feed {
            Feed::Fetched(Fetcher::Statistics(feed), schedule) => {
                Feed::Fetched(Fetcher::Statistics(feed.knowing(self.owners.clone())), schedule)
            }
            other => other,
        };
        // The thread outlives every sender; if it is gone the process is ending and orders answer at once.
        let exhausted = CancellationToken::new();
        let job = Job { name, feed, pipeline, handover, orders: inbox, exhausted: exhausted.clone() };
        drop(self.jobs.send(job));
        SourceHandle { orders, exhausted }
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

async fn run(job: Job) {
    let Job { name, feed, pipeline, handover, orders, exhausted } = job;
    match feed {
        Feed::Ring(feed) => stream::run(*feed, name, pipeline, handover, orders).await,
        Feed::Perf(feed) => stream::run(*feed, name, pipeline, handover, orders).await,
        Feed::Fetched(fetcher, schedule) => {
            fetch::run(fetcher, schedule, name, pipeline, handover, orders, exhausted).await;
        }
    }
}
