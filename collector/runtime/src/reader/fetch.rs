//! Maps and iterators: read whole, at intervals.

use std::{
    fs::File,
    io::{self, Read as _},
    time::{Duration, Instant},
};

use ig_kernel::map::{BatchBuffers, Map, MapError, batch_lookup_and_delete};
use ig_model::Loss;
use ig_operators::feed::FeedError;
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{Instant as TokioInstant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Order, SourceName, gather::GatherFeed};
use crate::pipeline::{Handover, Pipeline};

/// Bytes read from an iterator at once; the kernel hands out at most a few pages.
const CHUNK: usize = 64 * 1024;
/// Tries to read an iterator that says it has more but not now.
const PATIENCE: usize = 1000;

/// Shortest time between two fetches.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// When a map or an iterator is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time between fetches; zero for none by the clock.
    pub interval: Duration,
    /// Time until the first fetch, where it differs.
    pub first: Option<Duration>,
    /// Fetches after which the source has given all it will; zero for no end.
    pub count: u64,
    /// Whether the first fetch is at once, not after an interval.
    pub at_start: bool,
    /// Whether there is a last fetch at the end of the run, if fetches are left.
    pub at_end: bool,
}

/// What is read whole.
pub enum Fetcher {
    /// A hash map whose entries are taken out at each fetch.
    Map(Map),
    /// Iterator programs whose outputs make one fetch; the function starts one run of every program.
    Iterator(Box<dyn Fn() -> io::Result<Vec<File>> + Send>),
    /// What an operator gathers.
    Gathered(GatherFeed),
}

#[derive(Debug, Error)]
enum FetchError {
    #[error("failed to read the map")]
    Map(#[from] MapError),
    #[error("failed to read the iterator")]
    Iterator(#[from] io::Error),
    #[error("failed to gather statistics")]
    Gathered(#[from] FeedError),
    #[error("the iterator's output ends in the middle of a record: {left} bytes left, records have {record}")]
    CutOff { left: usize, record: usize },
}

pub(super) async fn run(
    mut fetcher: Fetcher,
    schedule: Schedule,
    name: SourceName,
    mut pipeline: Pipeline,
    handover: Handover,
    mut orders: mpsc::Receiver<Order>,
    exhausted: CancellationToken,
) {
    if let Fetcher::Gathered(feed) = &mut fetcher {
        feed.prime(&name).await;
    }
    let interval = schedule.interval.max(SHORTEST_INTERVAL);
    let first = if schedule.at_start { Duration::ZERO } else { schedule.first.unwrap_or(interval) };
    let mut ticks = tokio::time::interval_at(TokioInstant::now() + first, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffers = BatchBuffers::default();
    let mut fetched = 0;
    let mut waiting = handover == Handover::NOT_YET;
    loop {
        let left = schedule.count == 0 || fetched < schedule.count;
        let by_clock = !schedule.interval.is_zero() || (schedule.at_start && fetched == 0);
        if !left {
            exhausted.cancel();
        }
        // Cancel-safe: `recv` and `tick` lose nothing when the other branch wins.
        tokio::select! {
            biased; // orders first: a stop must not wait behind a long fetch
            order = orders.recv() => match order {
                None => {
                    pipeline.finish();
                    return;
                }
                Some(Order::Swap(next, done)) => {
                    let old = std::mem::replace(&mut pipeline, *next);
                    pipeline.succeed(old);
                    done.send(()).ok();
                }
                Some(Order::Sinks(order)) => order.carry_out(&mut pipeline),
                // Maps and iterators keep to their interval: a scrape never pays for a walk.
                Some(Order::Drain(done)) => drop(done.send(())),
                Some(Order::TakeOver(_, done)) => {
                    // The predecessor's map had the same counts up to now.
                    match &mut fetcher {
                        Fetcher::Map(map) => discard(map, &mut buffers),
                        Fetcher::Gathered(feed) => feed.prime(&name).await,
                        Fetcher::Iterator(_) => {}
                    }
                    waiting = false;
                    done.send(()).ok();
                }
                // Maps and iterators are divided by their last fetch, see `Stop`.
                Some(Order::HandOver(_, done)) => {
                    done.send(()).ok();
                }
                Some(Order::Stop(done)) => {
                    if schedule.at_end && left && !waiting {
                        fetch(&mut fetcher, &name, &mut pipeline, &mut buffers).await;
                    }
                    pipeline.finish();
                    done.send(()).ok();
                    return;
                }
            },
            _ = ticks.tick(), if left && by_clock && !waiting => {
                fetch(&mut fetcher, &name, &mut pipeline, &mut buffers).await;
                fetched += 1;
            }
        }
    }
}

async fn fetch(
    fetcher: &mut Fetcher,
    name: &SourceName,
    pipeline: &mut Pipeline,
    buffers: &mut BatchBuffers,
) {
    let started = Instant::now();
    pipeline.begin_fetch();
    let result = match fetcher {
        Fetcher::Map(map) => fetch_map(map, pipeline, buffers).await,
        Fetcher::Iterator(open) => fetch_iterator(open, pipeline).await,
        Fetcher::Gathered(feed) => feed.fetch(pipeline).await.map_err(FetchError::from),
    };
    pipeline.end_fetch();
    let stats = pipeline.stats();
    stats.fetches.add(1);
    stats.fetch_ns.add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    if let Err(cause) = result {
        if matches!(cause, FetchError::CutOff { .. }) {
            stats.losses.add(Loss::Decode, 1);
            stats.received.add(1);
        }
        stats.failed_fetches.add(1);
        let SourceName { gadget, source } = name;
        warn!(name: "source.fetch.failed", gadget, source, error = &cause as &dyn std::error::Error);
    }
}

async fn fetch_map(map: &Map, pipeline: &mut Pipeline, buffers: &mut BatchBuffers) -> Result<(), FetchError> {
    let mut record = Vec::with_capacity(pipeline.record_size());
    let mut walk = batch_lookup_and_delete(map, buffers)?;
    while let Some(entries) = walk.next_batch()? {
        for (key, value) in entries.iter() {
            record.clear();
            record.extend_from_slice(key);
            record.extend_from_slice(value);
            pipeline.take(&record, Handover::None);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn discard(map: &Map, buffers: &mut BatchBuffers) {
    let Ok(mut walk) = batch_lookup_and_delete(map, buffers) else { return };
    while let Ok(Some(_)) = walk.next_batch() {}
}

async fn fetch_iterator(
    open: &(dyn Fn() -> io::Result<Vec<File>> + Send),
    pipeline: &mut Pipeline,
) -> Result<(), FetchError> {
    let size = pipeline.record_size().max(1);
    let mut chunk = vec![0; CHUNK];
    for mut file in open()? {
        let mut pending: Vec<u8> = Vec::new();
        let mut tries = 0;
        loop {
            let read = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                // The kernel pauses an iterator after a million objects and wants to be asked again.
                Err(cause)
                    if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
                        && tries < PATIENCE =>
                {
                    tries += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(cause) => return Err(cause.into()),
            };
            pending.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let whole = pending.len() - pending.len() % size;
            for record in pending.get(..whole).unwrap_or_default().chunks_exact(size) {
                pipeline.take(record, Handover::None);
            }
            pending.drain(..whole);
            tokio::task::yield_now().await;
        }
        if !pending.is_empty() {
            return Err(FetchError::CutOff { left: pending.len(), record: size });
        }
    }
    Ok(())
}
