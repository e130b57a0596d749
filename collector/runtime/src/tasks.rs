//! The only door to the executor: every task has a name, a stop signal and somebody who waits for it.

use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, info_span};

/// A set of named tasks that stop and drain together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal every task of the set listens to.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task; it gets the set's stop signal and is expected to return soon after it fires.
    pub fn spawn<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let future = task(self.stop.child_token());
        let started = Instant::now();
        self.tracker.spawn(
            async move {
                future.await;
                debug!(name: "task.ended", task = name, ran = ?started.elapsed());
            }
            .instrument(info_span!("task", name)),
        );
    }

    /// Runs `work` on a blocking thread of the set; for work over about 500 microseconds.
    pub fn spawn_blocking(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let started = Instant::now();
        self.tracker.spawn_blocking(move || {
            work();
            debug!(name: "task.ended", task = name, ran = ?started.elapsed());
        });
    }

    /// Asks every task to stop and waits for them.
    ///
    /// # Errors
    /// The number of tasks still running when `patience` was over; they are left behind, not killed.
    pub async fn drain(&self, patience: Duration) -> Result<(), usize> {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.map_err(|_elapsed| self.tracker.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one task that obeys the stop signal and one that does not.
    /// Guarantees: drain returns by its deadline and counts the task left behind.
    #[tokio::test(start_paused = true)]
    async fn drain_counts_what_it_leaves_behind() {
        let tasks = Tasks::new();
        tasks.spawn("obedient", |stop| async move { stop.cancelled().await });
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, Ok(()));

        let tasks = Tasks::new();
        tasks.spawn("deaf", |_stop| std::future::pending());
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, Err(1));
    }
}
