//! Data sources that stages of other ones feed.
//!
//! Any number of stages emits into one queue, on whatever thread they run; the data source takes everything out of it
//! when the reader thread gets to it. The queue is bounded: what does not fit is lost under
//! [`Loss::Queue`], and counted with the data source it was for.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use ig_model::Loss;
use ig_operators::{Batch, operator::Emit};
use tokio::sync::{Notify, mpsc};

use super::Order;
use crate::pipeline::{Handover, Pipeline};

/// Records that may wait, and their bytes.
const MOST_RECORDS: usize = 16_384;
const MOST_BYTES: usize = 4 << 20;

/// The way into a derived data source; clones lead to the same one.
#[derive(Clone, Debug, Default)]
pub struct EmitQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Batch>,
    wake: Notify,
    /// Records that did not fit, until they are counted.
    lost: AtomicU64,
}

impl Emit for EmitQueue {
    fn emit(&self, record: &[u8]) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= MOST_RECORDS || waiting.size() + record.len() > MOST_BYTES {
            // Relaxed: statistics only.
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        waiting.push(record);
        let was_empty = waiting.len() == 1;
        drop(waiting);
        if was_empty {
            self.shared.wake.notify_one();
        }
        true
    }
}

impl EmitQueue {
    fn lock(&self) -> MutexGuard<'_, Batch> {
        // A push is complete before anything could panic.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what waits to the pipeline; `batch` is empty before and after.
    fn drain(&self, pipeline: &mut Pipeline, batch: &mut Batch) {
        std::mem::swap(&mut *self.lock(), batch);
        // A handover is over before anything is emitted: the stages that emit are on one side of it.
        batch.iter().for_each(|record| pipeline.take(record, Handover::None));
        batch.clear();
        pipeline.stats().losses.add(Loss::Queue, self.shared.lost.swap(0, Ordering::Relaxed));
        pipeline.flush();
    }
}

pub(super) async fn run(queue: EmitQueue, mut pipeline: Pipeline, mut orders: mpsc::Receiver<Order>) {
    let mut batch = Batch::default();
    loop {
        // Cancel-safe: `recv` loses nothing when the other branch wins, and a notification that is not seen is kept.
        tokio::select! {
            biased; // an order must not starve behind a queue that is never empty
            order = orders.recv() => {
                queue.drain(&mut pipeline, &mut batch);
                let done = match order {
                    None => break,
                    Some(Order::Sinks(order)) => {
                        order.carry_out(&mut pipeline);
                        continue;
                    }
                    Some(Order::Swap(next, done)) => {
                        let old = std::mem::replace(&mut pipeline, *next);
                        pipeline.succeed(old);
                        done
                    }
                    Some(Order::Drain(done) | Order::TakeOver(_, done) | Order::HandOver(_, done)) => done,
                    Some(Order::Stop(done)) => {
                        pipeline.finish();
                        // Nobody may have waited.
                        done.send(()).ok();
                        return;
                    }
                };
                done.send(()).ok();
            }
            () = queue.shared.wake.notified() => {
                queue.drain(&mut pipeline, &mut batch);
                tokio::task::yield_now().await;
            }
        }
    }
    pipeline.finish();
}
