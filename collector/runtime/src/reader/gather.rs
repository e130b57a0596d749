//! Data sources of operators, read at intervals.
//!
//! Readings are made on a thread that may wait, at ordinary priority, and only what they gave comes to the reader thread.
//! The first reading gives no records where what is reported are differences.

use ig_model::Host;
use ig_operators::{
    Batch,
    feed::{FeedError, FeedPlan, Gather},
};

use tokio::task::JoinError;

use super::SourceName;
use crate::{
    owners::Owners,
    pipeline::{Handover, Pipeline},
};

/// Records handed on before other sources get their turn.
const TURN: usize = 512;

/// The niceness of ordinary threads; readings inherit that of the reader otherwise, which goes before all others.
const ORDINARY: i32 = 0;

/// What an operator reads.
pub struct GatherFeed {
    /// Away while a reading is under way.
    gatherer: Option<Box<dyn Gather>>,
    batch: Batch,
}

impl GatherFeed {
    /// Opens what is read.
    ///
    /// # Errors
    /// When the system does not give it.
    pub fn open(plan: &dyn FeedPlan, host: &Host) -> Result<Self, FeedError> {
        Ok(Self { gatherer: Some(plan.open(host)?), batch: Batch::default() })
    }

    /// The same feed, which knows whose programs are whose.
    #[must_use]
    pub(super) fn knowing(mut self, owners: Owners) -> Self {
        if let Some(gatherer) = self.gatherer.as_mut() {
            gatherer.meet(std::sync::Arc::new(owners));
        }
        self
    }

    /// Makes a reading that the next one is compared with.
    pub(super) async fn prime(&mut self, name: &SourceName) {
        if let Err(error) = self.gather().await {
            // The next reading says it again, where it counts.
            let SourceName { gadget, source } = name;
            tracing::debug!(name: "source.prime.failed", gadget, source,
                error = &error as &dyn std::error::Error);
        }
        self.batch.clear();
    }

    /// Makes a reading and hands its records on.
    pub(super) async fn fetch(&mut self, pipeline: &mut Pipeline) -> Result<(), FeedError> {
        self.gather().await?;
        for (number, record) in self.batch.iter().enumerate() {
            pipeline.take(record, Handover::None);
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.batch.clear();
        Ok(())
    }

    async fn gather(&mut self) -> Result<(), FeedError> {
        let mut gatherer = self.gatherer.take().ok_or(FeedError::Panicked)?;
        let mut batch = std::mem::take(&mut self.batch);
        let work = tokio::task::spawn_blocking(move || {
            // `None` is this thread alone; to step back is always allowed.
            rustix::process::setpriority_process(None, ORDINARY).ok();
            batch.clear();
            let result = gatherer.gather(&mut batch);
            (gatherer, batch, result)
        });
        let (gatherer, batch, result) = match work.await.map_err(JoinError::try_into_panic) {
            Ok(done) => done,
            // The gatherer is gone with it: the data source ends, and its gadget is degraded.
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_cancelled)) => return Err(FeedError::Panicked),
        };
        self.gatherer = Some(gatherer);
        self.batch = batch;
        result
    }
}
