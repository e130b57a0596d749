//! Buffers that programs write records into: sleep until the first record, then drain on a timer.
//!
//! A wake-up costs a thousand times an event. So a buffer is in the event loop only while it is empty; once records
//! come it is taken out and drained on a timer until a drain finds nothing. The pause starts at [`BUSY`], because a
//! burst out of silence fills a small ring in a few milliseconds, doubles up to [`CALM`] while drains find little, and
//! is halved when one finds more than a quarter of the buffer in use.

use std::{io, time::Duration};

use ig_model::{KtimeNs, Loss};
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

use super::{
    Order, SourceName,
    sys::{Descriptor, watch},
};
use crate::pipeline::{Handover, Pipeline};

/// Pause between drains at ordinary rates.
const CALM: Duration = Duration::from_millis(10);
/// Pause between drains when the buffer fills quickly.
const BUSY: Duration = Duration::from_millis(1);
/// Time after the switch of a handover in which the last record stamped before it is taken out for certain.
const SETTLING_NS: u64 = 2_000_000_000;
/// Records handled before other sources get a turn.
const BUDGET: usize = 65_536;

/// Time between two looks at what did not fit, while records come and when none came: one may be larger than the buffer.
const LOOK: Duration = Duration::from_secs(1);
const CALM_LOOK: Duration = Duration::from_secs(30);

/// A buffer of records that the kernel fills and this thread empties.
///
/// Its descriptor is readable while there are records.
pub(super) trait Stream: Descriptor {
    /// Hands up to `most` records to `take`, oldest first; returns how many and the bytes they had in the buffer.
    fn read(&mut self, most: usize, take: impl FnMut(&[u8])) -> (usize, usize);

    /// Records that found no room since the programs were loaded.
    fn lost_total(&mut self) -> u64;

    /// Bytes the buffer holds.
    fn size(&self) -> usize;
}

struct StreamReader {
    name: SourceName,
    lost_so_far: u64,
    /// When it was last looked at what did not fit, and whether records have come since.
    looked: Instant,
    has_news: bool,
    pipeline: Pipeline,
    handover: Handover,
    pause: Duration,
}

/// What a wait ended with.
enum Wait {
    Records,
    End,
}

/// Reads a buffer to its end.
///
/// # Errors
/// The event loop has no place for it; its records are not read any more.
pub(super) async fn run<S: Stream>(
    mut stream: S,
    name: SourceName,
    pipeline: Pipeline,
    handover: Handover,
    mut orders: mpsc::Receiver<Order>,
) -> io::Result<()> {
    let looked = Instant::now();
    let mut reader =
        StreamReader { name, lost_so_far: 0, looked, has_news: false, pipeline, handover, pause: BUSY };
    loop {
        if reader.drain_while_busy(&mut stream, &mut orders).await {
            return Ok(());
        }
        match reader.wait(stream, &mut orders).await? {
            (_, Wait::End) => return Ok(()),
            (idle, Wait::Records) => stream = idle,
        }
    }
}

impl StreamReader {
    /// Sleeps until there are records, carrying out orders meanwhile.
    async fn wait<S: Stream>(
        &mut self,
        stream: S,
        orders: &mut mpsc::Receiver<Order>,
    ) -> io::Result<(S, Wait)> {
        let mut idle = watch(stream)?;
        loop {
            let look = self.looked + if self.has_news { LOOK } else { CALM_LOOK };
            // Cancel-safe: `recv` and `readable` lose nothing when the other branch wins.
            tokio::select! {
                biased; // an order must not starve behind a buffer that is never empty
                order = orders.recv() => {
                    if self.obey(idle.get_mut(), order) {
                        return Ok((idle.into_inner(), Wait::End));
                    }
                }
                ready = idle.readable() => {
                    ready?.retain_ready();
                    return Ok((idle.into_inner(), Wait::Records));
                }
                () = tokio::time::sleep_until(look) => self.count_lost(idle.get_mut()),
            }
        }
    }

    /// Drains at intervals until the buffer stays empty; true when the source is to end.
    async fn drain_while_busy<S: Stream>(
        &mut self,
        stream: &mut S,
        orders: &mut mpsc::Receiver<Order>,
    ) -> bool {
        loop {
            let (records, bytes) = self.drain(stream);
            if self.has_news && self.looked.elapsed() >= LOOK {
                self.count_lost(stream);
            }
            if records == 0 {
                self.pause = BUSY;
                return false;
            }
            if bytes > stream.size() / 4 {
                self.pause = (self.pause / 2).max(BUSY);
            } else if bytes < stream.size() / 8 {
                self.pause = (self.pause * 2).min(CALM);
            }
            if records >= BUDGET {
                tokio::task::yield_now().await;
                continue;
            }
            // Cancel-safe: a sleep that is cut short only drains earlier.
            tokio::select! {
                biased; // see `wait`
                order = orders.recv() => if self.obey(stream, order) { return true },
                () = tokio::time::sleep(self.pause) => {}
            }
        }
    }

    /// Takes up to [`BUDGET`] records out of the buffer; returns how many and their bytes.
    fn drain(&mut self, stream: &mut impl Stream) -> (usize, usize) {
        let settled = settled(self.handover, KtimeNs::now);
        let (pipeline, handover) = (&mut self.pipeline, self.handover);
        let mut odd = 0_u64;
        let (records, bytes) = stream.read(BUDGET, |record| {
            if settled {
                // The predecessor is gone: whatever the stamp says, nobody else delivers it.
                odd += u64::from(pipeline.is_superseded(record, handover));
                pipeline.take(record, Handover::None);
            } else {
                pipeline.take(record, handover);
            }
        });
        if records > 0 {
            pipeline.flush();
            self.has_news = true;
        }
        if settled && records > 0 {
            self.handover = Handover::None;
            self.tell_of_odd_stamps(odd);
        }
        (records, bytes)
    }

    /// Says that programs stamp by another clock: their records of the time until now were taken for the predecessor's.
    fn tell_of_odd_stamps(&self, odd: u64) {
        if odd > 0 {
            let SourceName { gadget, source } = &self.name;
            warn!(name: "gadget.handover.outlasted", gadget, source, records = odd,
                "records are not stamped with time since boot, so a handover cannot divide them: \
                 those of two seconds were lost");
        }
    }

    fn drain_all(&mut self, stream: &mut impl Stream) {
        while self.drain(stream).0 > 0 {}
        self.count_lost(stream);
    }

    /// Carries out an order; true when the source is to end.
    fn obey(&mut self, stream: &mut impl Stream, order: Option<Order>) -> bool {
        let done = match order {
            None => {
                self.drain_all(stream);
                self.pipeline.finish();
                return true;
            }
            Some(Order::Swap(pipeline, done)) => {
                self.drain_all(stream);
                let old = std::mem::replace(&mut self.pipeline, *pipeline);
                self.pipeline.succeed(old);
                done
            }
            Some(Order::Sinks(order)) => {
                // What is here already was before.
                self.drain_all(stream);
                order.carry_out(&mut self.pipeline);
                return false;
            }
            Some(Order::Drain(done)) => {
                self.drain_all(stream);
                done
            }
            Some(Order::TakeOver(moment, done)) => {
                // What did not fit before the switch was the predecessor's to deliver.
                self.lost_so_far = stream.lost_total();
                if !self.pipeline.has_timestamp() {
                    // Without time stamps the switch is this very moment: the predecessor had what is here.
                    self.drain_all(stream);
                }
                self.handover = Handover::After(moment);
                self.drain_all(stream);
                done
            }
            Some(Order::HandOver(moment, done)) => {
                self.drain_all(stream);
                self.handover = Handover::Until(moment);
                done
            }
            Some(Order::Stop(done)) => {
                self.drain_all(stream);
                self.pipeline.finish();
                // Nobody may have waited.
                done.send(()).ok();
                return true;
            }
        };
        done.send(()).ok();
        false
    }

    /// Looks at what did not fit, and counts it.
    fn count_lost(&mut self, stream: &mut impl Stream) {
        (self.looked, self.has_news) = (Instant::now(), false);
        let total = stream.lost_total();
        self.pipeline.stats().losses.add(Loss::Ringbuf, total.saturating_sub(self.lost_so_far));
        self.lost_so_far = self.lost_so_far.max(total);
    }
}

/// Whether the switch of a handover is so long past that the predecessor's records cannot be here any more.
fn settled(handover: Handover, now: impl Fn() -> KtimeNs) -> bool {
    match handover {
        Handover::After(moment) if handover != Handover::NOT_YET => {
            now().0 > moment.0.saturating_add(SETTLING_NS)
        }
        _ => false,
    }
}
