//! The thread that stores and registries are reached from.
//!
//! A store may be locked by another process, a disk may hang, megabytes are hashed: none of it may hold up the thread that
//! answers and decides, nor take the threads on which gadgets are loaded and documents are read.

use std::{io, panic::resume_unwind, sync::Arc, thread};

use tokio::{runtime::Handle, task::JoinError};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

/// Threads that may wait for disks and locks at the same time.
const WAITING: usize = 16;

/// An executor of its own, which ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct ImageThread {
    executor: Handle,
    _end: Arc<DropGuard>,
}

impl ImageThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread or event loop to give.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(WAITING)
            .thread_name("ig-images")
            .build()?;
        let executor = runtime.handle().clone();
        let end = CancellationToken::new();
        let ended = end.clone();
        thread::Builder::new().name("ig-images".to_owned()).spawn(move || {
            runtime.block_on(ended.cancelled());
            // What waits for a lock or a disk is left behind.
            runtime.shutdown_background();
        })?;
        Ok(Self { executor, _end: Arc::new(end.drop_guard()) })
    }

    /// Does `work` there; `None` if the thread has ended.
    ///
    /// # Panics
    /// As `work` does.
    ///
    /// # Cancel safety
    /// Dropping the future cancels `work` at its next wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        outcome(AbortOnDropHandle::new(self.executor.spawn(work)).await)
    }

    /// Does `work`, which may wait for a disk or a lock; `None` if the thread has ended.
    ///
    /// # Panics
    /// As `work` does.
    ///
    /// # Cancel safety
    /// Dropping the future forgets what comes of `work`.
    pub(super) async fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        outcome(AbortOnDropHandle::new(self.executor.spawn_blocking(work)).await)
    }
}

/// A panic goes on where it is waited for, and is counted there.
fn outcome<T>(joined: Result<T, JoinError>) -> Option<T> {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(done) => Some(done),
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_cancelled)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use futures_util::FutureExt as _;

    use super::ImageThread;

    /// Scenario: one piece of work blocks the image thread itself, and as many as it has threads for wait for locks.
    /// Guarantees: the executor that asked goes on at once, and so do those who only asked it for something else.
    #[tokio::test]
    async fn what_blocks_there_holds_up_nobody_here() {
        let images = ImageThread::start().unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let blocking = images.clone();
        let blocking = async move {
            blocking
                .run(async move { blocked.recv_timeout(Duration::from_secs(60)).unwrap_or_default() })
                .await
        };
        let started = Instant::now();
        let mut blocking = std::pin::pin!(blocking);
        assert!(blocking.as_mut().now_or_never().is_none());
        for _ in 0..super::WAITING {
            let sleeping = images.clone();
            let wait = async move { sleeping.wait_for(|| thread::sleep(Duration::from_secs(1))).await };
            assert!(Box::pin(wait).as_mut().now_or_never().is_none());
        }
        let here = tokio::task::spawn_blocking(|| 1).await.unwrap();
        assert!(here == 1 && started.elapsed() < Duration::from_secs(30));
        release.send(()).unwrap();
        assert_eq!(blocking.await, Some(()));
    }

    /// Scenario: work panics there.
    /// Guarantees: the panic comes to whoever asked, and the thread goes on.
    #[tokio::test]
    async fn a_panic_comes_to_whoever_asked() {
        let images = ImageThread::start().unwrap();
        let panicked = std::panic::AssertUnwindSafe(images.wait_for(|| panic!("as it was told")));
        assert!(panicked.catch_unwind().await.is_err());
        assert_eq!(images.run(async { 2 }).await, Some(2));
    }
}
