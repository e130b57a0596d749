//! Ring buffers: sleep until the first record, then drain on a timer.
//!
//! A wake-up costs a thousand times an event, so a ring is drained on a timer while records come, and the kernel
//! wakes us only when the ring had been empty. The pause starts at [`BUSY`], because a burst out of silence fills a
//! small ring in a few milliseconds, doubles up to [`CALM`] while drains find little, and is halved when one finds
//! more than a quarter of the ring in use.

use std::{os::fd::OwnedFd, time::Duration};

use aya::maps::{Map, MapData, MapError, PerCpuArray, RingBuf};
use thiserror::Error;
use tokio::{io::unix::AsyncFd, sync::mpsc};
use tracing::{error, warn};

use super::{Order, sys::watch};
use crate::pipeline::{Handover, Pipeline};

/// Pause between drains at ordinary rates.
const CALM: Duration = Duration::from_millis(10);
/// Pause between drains when the ring fills quickly.
const BUSY: Duration = Duration::from_millis(1);
/// Records handled before other sources get a turn.
const BUDGET: usize = 65_536;

/// A ring buffer and the map in which its programs count what did not fit.
pub struct RingFeed {
    ring: RingBuf<MapData>,
    lost: Option<PerCpuArray<MapData, u64>>,
    size: usize,
    gadget: String,
    source: String,
}

/// A map that is no usable ring buffer.
#[derive(Debug, Error)]
#[error("failed to open ring buffer `{map}`")]
pub struct RingError {
    map: String,
    #[source]
    cause: MapError,
}

impl RingFeed {
    /// Opens the ring behind `ring`, of `size` bytes; `lost` counts records that did not fit.
    ///
    /// # Errors
    /// When a descriptor is no map of the right type, or cannot be mapped into memory.
    pub fn open(
        gadget: &str,
        source: &str,
        map: &str,
        ring: OwnedFd,
        size: usize,
        lost: Option<OwnedFd>,
    ) -> Result<Self, RingError> {
        let open = || {
            let ring = RingBuf::try_from(Map::from_map_data(MapData::from_fd(ring)?)?)?;
            let lost = lost
                .map(|fd| PerCpuArray::try_from(Map::from_map_data(MapData::from_fd(fd)?)?))
                .transpose()?;
            Ok((ring, lost))
        };
        let (ring, lost) = open().map_err(|cause| RingError { map: map.to_owned(), cause })?;
        Ok(Self { ring, lost, size, gadget: gadget.to_owned(), source: source.to_owned() })
    }
}

struct RingReader {
    ring: AsyncFd<RingBuf<MapData>>,
    lost: Option<PerCpuArray<MapData, u64>>,
    lost_so_far: u64,
    size: usize,
    gadget: String,
    source: String,
    pipeline: Pipeline,
    handover: Handover,
    pause: Duration,
}

pub(super) async fn run(
    feed: RingFeed,
    pipeline: Pipeline,
    handover: Handover,
    mut orders: mpsc::Receiver<Order>,
) {
    let RingFeed { ring, lost, size, gadget, source } = feed;
    let ring = match watch(ring) {
        Ok(ring) => ring,
        Err(cause) => {
            error!(name: "ring.watch.failed", gadget, source, error = %cause);
            return;
        }
    };
    let mut reader =
        RingReader { ring, lost, lost_so_far: 0, size, gadget, source, pipeline, handover, pause: BUSY };
    loop {
        // Cancel-safe: `recv` and `readable` lose nothing when the other branch wins.
        tokio::select! {
            biased; // an order must not starve behind a ring that is never empty
            order = orders.recv() => {
                if reader.obey(order) { return }
            }
            ready = reader.ring.readable() => {
                match ready {
                    // Cleared before the drain: a record that comes after it sets readiness anew.
                    Ok(mut guard) => guard.clear_ready(),
                    Err(cause) => {
                        error!(name: "ring.watch.failed", gadget = reader.gadget, source = reader.source, error = %cause);
                        return;
                    }
                }
                if reader.drain_while_busy(&mut orders).await { return }
            }
        }
    }
}

impl RingReader {
    /// Drains at intervals until the ring stays empty; true when the source is to end.
    async fn drain_while_busy(&mut self, orders: &mut mpsc::Receiver<Order>) -> bool {
        loop {
            let (records, bytes) = self.drain();
            if records == 0 {
                self.pause = BUSY;
                return false;
            }
            if bytes > self.size / 4 {
                self.pause = (self.pause / 2).max(BUSY);
            } else if bytes < self.size / 16 {
                self.pause = (self.pause * 2).min(CALM);
            }
            if records >= BUDGET {
                tokio::task::yield_now().await;
                continue;
            }
            // Cancel-safe: a sleep that is cut short only drains earlier.
            tokio::select! {
                biased; // see `run`
                order = orders.recv() => if self.obey(order) { return true },
                () = tokio::time::sleep(self.pause) => {}
            }
        }
    }

    /// Takes up to [`BUDGET`] records out of the ring; returns how many and their bytes.
    fn drain(&mut self) -> (usize, usize) {
        let (mut records, mut bytes) = (0, 0);
        let ring = self.ring.get_mut();
        while records < BUDGET
            && let Some(record) = ring.next()
        {
            bytes += record.len() + 8;
            records += 1;
            self.pipeline.take(&record, self.handover);
        }
        if records > 0 {
            self.pipeline.flush();
        }
        (records, bytes)
    }

    fn drain_all(&mut self) {
        while self.drain().0 > 0 {}
        self.count_lost();
    }

    /// Carries out an order; true when the source is to end.
    fn obey(&mut self, order: Option<Order>) -> bool {
        let done = match order {
            None => {
                self.drain_all();
                return true;
            }
            Some(Order::Swap(pipeline, done)) => {
                self.drain_all();
                self.pipeline = *pipeline;
                done
            }
            Some(Order::Drain(done)) => {
                self.drain_all();
                done
            }
            Some(Order::TakeOver(moment, done)) => {
                // What did not fit before the switch was the predecessor's to deliver.
                self.lost_so_far = self.lost_total();
                if !self.pipeline.has_timestamp() {
                    // Without time stamps the switch is this very moment: the predecessor had what is here.
                    self.drain_all();
                }
                self.handover = Handover::After(moment);
                self.drain_all();
                done
            }
            Some(Order::HandOver(moment, done)) => {
                self.drain_all();
                self.handover = Handover::Until(moment);
                done
            }
            Some(Order::Stop(done)) => {
                self.drain_all();
                // Nobody may have waited.
                done.send(()).ok();
                return true;
            }
        };
        done.send(()).ok();
        false
    }

    /// Records that did not fit since the programs were loaded, as they count them themselves.
    fn lost_total(&self) -> u64 {
        let per_cpu = self.lost.as_ref().and_then(|lost| lost.get(&0, 0).ok());
        per_cpu.map_or(self.lost_so_far, |per_cpu| per_cpu.iter().sum())
    }

    fn count_lost(&mut self) {
        let total = self.lost_total();
        let news = total.saturating_sub(self.lost_so_far);
        if news > 0 {
            self.pipeline.stats().lost_in_ring.add(news);
            self.lost_so_far = total;
            warn!(
                name: "ring.records.lost",
                gadget = self.gadget,
                source = self.source,
                lost = news,
                "the ring buffer was full"
            );
        }
    }
}
