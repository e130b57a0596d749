//! The only door to the executor: every task has a name, a stop signal and somebody who waits for it.
//!
//! No task dies unseen: a panic is logged by name and counted. What it costs a gadget is for the caller to say, who learns
//! of it from [`Tasks::caught`].

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, error, info_span};

/// A set of named tasks that stop and drain together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    panics: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// A task panicked, which is a fault of this program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("task `{task}` panicked: {message}")]
pub struct Panicked {
    /// Name of the task.
    pub task: &'static str,
    /// What it said last.
    pub message: String,
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

    /// How often tasks panicked, by name.
    pub fn panics(&self) -> BTreeMap<&'static str, u64> {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a task; it gets the set's stop signal and is expected to return soon after it fires.
    pub fn spawn<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let future = task(self.stop.child_token());
        let tasks = self.clone();
        // Logged and counted; nobody waits for it.
        self.track(name, async move { drop(tasks.caught(name, future).await) });
    }

    /// Runs `work` on a blocking thread of the set; for work over about 500 microseconds.
    pub fn spawn_blocking(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let started = Instant::now();
        let tasks = self.clone();
        self.tracker.spawn_blocking(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                // Logged and counted; nobody waits for it.
                drop(tasks.note(name, panic.as_ref()));
            }
            debug!(name: "task.ended", task = name, ran = ?started.elapsed());
        });
    }

    /// Runs a part of a task that belongs to somebody who has to know how it ends.
    ///
    /// # Errors
    /// [`Panicked`]; logged and counted already. What the future held is dropped, which is all that is assumed of it.
    pub async fn caught<T>(
        &self,
        name: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T, Panicked> {
        AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| self.note(name, panic.as_ref()))
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

    fn track(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        // Shown before the first panic, so that it is an increase.
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default();
        let started = Instant::now();
        self.tracker.spawn(
            async move {
                future.await;
                debug!(name: "task.ended", task = name, ran = ?started.elapsed());
            }
            .instrument(info_span!("task", name)),
        );
    }

    fn note(&self, task: &'static str, panic: &(dyn Any + Send)) -> Panicked {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        error!(name: "task.panicked", task, message, "a fault of this program");
        *self.panics.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default() += 1;
        Panicked { task, message }
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

    /// Scenario: a task panics, a blocking one does, and a thread stalls until the drain is over.
    /// Guarantees: panics are counted by name and nothing else ends; the drain waits for the stalled thread no longer
    /// than its patience.
    #[tokio::test]
    async fn panics_and_stalls_are_seen() {
        let tasks = Tasks::new();
        tasks.spawn("task", |_| async { panic!("one") });
        tasks.spawn_blocking("thread", || panic!("two {}", 2));
        let said = tasks.caught("part", async { panic!("three") }).await;
        assert_eq!(said, Err::<(), _>(Panicked { task: "part", message: "three".to_owned() }));
        let (release, stalled) = std::sync::mpsc::channel::<()>();
        tasks.spawn_blocking("stalled", move || stalled.recv().unwrap_or_default());
        assert_eq!(tasks.drain(Duration::from_millis(100)).await, Err(1));
        drop(release);
        assert_eq!(tasks.drain(Duration::from_mins(1)).await, Ok(()));
        assert_eq!(tasks.panics(), BTreeMap::from([("part", 1), ("task", 1), ("thread", 1)]));
    }
}
