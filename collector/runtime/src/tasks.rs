//! The only door to the executor: every task has a name, a stop signal and somebody who waits for it.
//!
//! No task dies unseen: a panic is logged by name and counted. What it costs a gadget is for the caller to say, who learns
//! of it from [`Tasks::caught`]. A task that is to last is [supervised](Tasks::supervise): it is begun anew, and
//! [`Tasks::troubles`] says so for a while.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use ig_model::{Backoff, RetryPolicy};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, error, info_span};

/// Pauses before a supervised task is begun anew.
const AGAIN: RetryPolicy = RetryPolicy::new(Duration::from_secs(1), Duration::from_mins(1));
/// A task that ran this long has got over what made it fail.
const STEADY: Duration = Duration::from_mins(1);
/// How long a failure is told by [`Tasks::troubles`].
const TOLD: Duration = Duration::from_mins(2);

/// A set of named tasks that stop and drain together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    panics: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    troubles: Arc<Mutex<BTreeMap<String, Trouble>>>,
}

/// What a supervised task may end with that is no panic; it is begun anew then as well.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The last failure of a supervised task.
#[derive(Clone, Debug)]
struct Trouble {
    at: Instant,
    text: String,
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

    /// Runs a task that is to last until it returns `Ok`: one that panics or fails is begun anew after a pause, which grows
    /// while that goes on. `of` tells several of one name apart.
    pub fn supervise<F>(
        &self,
        name: &'static str,
        of: impl Into<String>,
        mut begin: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (tasks, stop, of) = (self.clone(), self.stop.child_token(), of.into());
        self.track(name, async move {
            let mut again = Backoff::new(AGAIN);
            loop {
                let begun = Instant::now();
                let task = async { begin(stop.clone()).await };
                let text = match tasks.caught(name, task).await {
                    Ok(Ok(())) => return,
                    Ok(Err(failure)) => ig_model::chain(failure.as_ref()),
                    Err(panic) => panic.to_string(),
                };
                if begun.elapsed() >= STEADY {
                    again.reset();
                }
                let pause = again.next(None, Duration::ZERO).unwrap_or(STEADY);
                error!(name: "task.begun.anew", task = name, of, ?pause, "{text}");
                tasks.trouble(format!("{name} {of}"), text);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// The supervised tasks that failed within the last minutes, each with its last failure.
    pub fn troubles(&self) -> Vec<(String, String)> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|_, trouble| trouble.at.elapsed() < TOLD);
        troubles.iter().map(|(task, trouble)| (task.clone(), trouble.text.clone())).collect()
    }

    fn trouble(&self, task: String, text: String) {
        let trouble = Trouble { at: Instant::now(), text };
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).insert(task, trouble);
    }

    /// Runs `work` on a thread that may wait, and waits for it.
    ///
    /// # Errors
    /// [`Panicked`]; logged and counted already.
    pub async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let tasks = self.clone();
        let caught =
            move || catch_unwind(AssertUnwindSafe(work)).map_err(|panic| tasks.note(name, panic.as_ref()));
        tokio::task::spawn_blocking(caught)
            .await
            .unwrap_or_else(|cancelled| Err(Panicked { task: name, message: cancelled.to_string() }))
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

    /// Notes a panic that somebody else caught.
    pub fn panicked(&self, name: &'static str, panic: &(dyn Any + Send)) {
        drop(self.note(name, panic));
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

    /// Scenario: a task that is to last panics twice, fails once, and then lasts until the end.
    /// Guarantees: it is begun anew each time; panics are counted, and what happened last is told for a while and then
    /// forgotten.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_to_last_is_begun_anew() {
        let tasks = Tasks::new();
        let (sender, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let mut times = 0;
        tasks.supervise("server", "one", move |stop| {
            times += 1;
            sender.send(times).unwrap();
            async move {
                assert!(times > 2, "as it was told");
                if times == 3 {
                    return Err("no port".into());
                }
                stop.cancelled().await;
                Ok(())
            }
        });
        for time in 1..=4 {
            assert_eq!(begun.recv().await, Some(time));
        }
        assert_eq!(tasks.panics(), BTreeMap::from([("server", 2)]));
        assert_eq!(tasks.troubles(), [("server one".to_owned(), "no port".to_owned())]);
        tokio::time::sleep(TOLD).await;
        assert_eq!(tasks.troubles(), []);
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, Ok(()));
    }
}
