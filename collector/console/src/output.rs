//! Where rendered rows leave the process: a bounded queue with a writer thread behind it.
//!
//! Rows are rendered by whoever reads the kernel's buffers, and that thread must never wait for a slow pipe. So it
//! only puts whole chunks of rows into the queue; a thread of its own writes them. When the queue is full a chunk
//! is dropped whole and its rows are counted, so what is printed stays readable and what is missing is known.
//!
//! The writer also watches the other end: a reader that goes away (`| head`) is noticed at once, even while there
//! is nothing to write, and ends the output without an error.

mod rows;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ig_model::Loss;
use ig_operators::SinkLedger;
use rustix::event::{EventfdFlags, eventfd};
use thiserror::Error;
use tokio::sync::watch;

use crate::terminal::Terminal;
pub use rows::RowBuffer;

/// Bytes that may wait for the writer unless somebody asks for another limit.
pub const DEFAULT_LIMIT: usize = 16 << 20;
/// Emptied buffers kept for the next chunks.
const SPARE_BUFFERS: usize = 4;
/// A buffer that grew beyond this is given back instead of being kept.
const LARGEST_SPARE: usize = 256 << 10;

/// An output that several data sources share; clones are the same output.
///
/// With the last of them goes the writer thread, once it has written what was queued; only [`Output::finish`] waits
/// for that.
#[derive(Clone, Debug)]
pub struct Output {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// How an output came to its end.
#[derive(Clone, Debug)]
pub enum Ended {
    /// Everything was written after [`Output::finish`].
    Finished,
    /// The reader closed its end; what it did not want is no loss.
    ReaderGone,
    /// Writing failed for another reason.
    Failed(Arc<OutputError>),
}

/// An output that could not be set up or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A descriptor or the thread could not be had.
    #[error("failed to open standard output")]
    Open(#[source] io::Error),
    /// The other end took no more.
    #[error("failed to write to standard output")]
    Write(#[source] io::Error),
    /// The other end is too slow to take the rest in time.
    #[error("standard output took no more data in time; {bytes} bytes were left behind")]
    TooSlow {
        /// Bytes that were still waiting.
        bytes: usize,
    },
}

/// What a full queue cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records that were not printed.
    pub rows: u64,
    /// Bytes they would have taken.
    pub bytes: u64,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the writer.
    wake: OwnedFd,
    ended: watch::Sender<Option<Ended>>,
    dropped_rows: AtomicU64,
    dropped_bytes: AtomicU64,
    limit: usize,
    terminal: Terminal,
}

/// Whole rows of one data source.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    rows: u64,
    ledger: Arc<SinkLedger>,
}

impl Chunk {
    /// Counts its rows as lost, and gives back its empty buffer.
    fn lose(mut self) -> Vec<u8> {
        self.ledger.lose(Loss::Output, self.rows);
        self.bytes.clear();
        self.bytes
    }
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks`, and in the one being written.
    bytes: usize,
    spare: Vec<Vec<u8>>,
    buffers: u64,
    /// Whose chunk came last.
    last: Option<u64>,
    closing: bool,
}

impl Output {
    /// Standard output, with `limit` bytes of queue.
    ///
    /// # Errors
    /// [`OutputError::Open`] if it is closed, or no thread can be started.
    pub fn stdout(limit: usize) -> Result<Self, OutputError> {
        let open = |error| OutputError::Open(error);
        let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(open)?;
        let asked = stdout.try_clone().map_err(open)?;
        let watched = stdout.try_clone().map_err(open)?;
        let terminal = Terminal::of(asked, |name| std::env::var(name).ok());
        Self::start(Box::new(File::from(stdout)), Some(watched), terminal, limit)
    }

    /// Any other writer, with the screen that is behind it.
    ///
    /// # Errors
    /// [`OutputError::Open`] if no thread can be started.
    pub fn to(writer: Box<dyn Write + Send>, terminal: Terminal, limit: usize) -> Result<Self, OutputError> {
        Self::start(writer, None, terminal, limit)
    }

    fn start(
        writer: Box<dyn Write + Send>,
        watched: Option<OwnedFd>,
        terminal: Terminal,
        limit: usize,
    ) -> Result<Self, OutputError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| OutputError::Open(errno.into()))?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake,
            ended: watch::Sender::new(None),
            dropped_rows: AtomicU64::new(0),
            dropped_bytes: AtomicU64::new(0),
            limit,
            terminal,
        });
        let writer = writer::Writer { shared: Arc::clone(&shared), target: writer, watched };
        thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || writer.run())
            .map_err(OutputError::Open)?;
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// A way in for one data source.
    pub fn rows(&self) -> RowBuffer {
        let mut queue = self.handle.shared.lock();
        queue.buffers += 1;
        RowBuffer::new(Arc::clone(&self.handle.shared), queue.buffers)
    }

    /// The screen behind the output.
    pub fn terminal(&self) -> &Terminal {
        &self.handle.shared.terminal
    }

    /// What the full queue cost so far.
    pub fn dropped(&self) -> Dropped {
        // Statistics only: nothing else is read on the strength of these values.
        Dropped {
            rows: self.handle.shared.dropped_rows.load(Ordering::Relaxed),
            bytes: self.handle.shared.dropped_bytes.load(Ordering::Relaxed),
        }
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.handle.shared.lock().bytes
    }

    /// Waits until the output ended: its reader went away, writing failed, or it was finished.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; any number may wait.
    pub async fn closed(&self) -> Ended {
        let mut ended = self.handle.shared.ended.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let state = ended.wait_for(Option::is_some).await.ok().and_then(|state| state.clone());
        state.unwrap_or(Ended::Finished)
    }

    /// Writes what is queued and ends the output. Later rows go nowhere.
    ///
    /// # Errors
    /// [`OutputError::TooSlow`] if `patience` runs out first, else whatever writing failed with. A reader that has
    /// gone away is no error.
    pub async fn finish(&self, patience: Duration) -> Result<(), Arc<OutputError>> {
        self.handle.shared.close();
        match tokio::time::timeout(patience, self.closed()).await {
            Ok(Ended::Finished | Ended::ReaderGone) => Ok(()),
            Ok(Ended::Failed(error)) => Err(error),
            Err(_elapsed) => Err(Arc::new(OutputError::TooSlow { bytes: self.handle.shared.lock().bytes })),
        }
    }
}

impl Shared {
    fn close(&self) {
        self.lock().closing = true;
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is complete before anything could panic, so a poisoned one is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Failing means that the counter is full, so the writer has been woken long since.
        let _full = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Queues one chunk of whole rows. `heading` goes in front unless this buffer was printed last. Returns whether the chunk
    /// was taken, and an empty buffer for the next one.
    fn push(&self, buffer: u64, heading: &[u8], chunk: Chunk) -> (bool, Vec<u8>) {
        if chunk.bytes.is_empty() {
            return (true, chunk.bytes);
        }
        let mut queue = self.lock();
        if self.has_ended() || queue.closing {
            drop(queue);
            return (false, chunk.lose());
        }
        let heading = if queue.last == Some(buffer) { &[] } else { heading };
        let bytes = chunk.bytes.len() + heading.len();
        // A chunk larger than the whole queue passes alone, or it would never pass.
        if queue.bytes > 0 && queue.bytes + bytes > self.limit {
            drop(queue);
            self.dropped_rows.fetch_add(chunk.rows, Ordering::Relaxed);
            self.dropped_bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
            return (false, chunk.lose());
        }
        if !heading.is_empty() {
            let ledger = Arc::clone(&chunk.ledger);
            queue.chunks.push_back(Chunk { bytes: heading.to_vec(), rows: 0, ledger });
        }
        let empty = queue.spare.pop().unwrap_or_default();
        queue.chunks.push_back(chunk);
        queue.last = Some(buffer);
        let idle = queue.bytes == 0;
        queue.bytes += bytes;
        drop(queue);
        // With bytes outstanding the writer looks again before it sleeps.
        if idle {
            self.wake();
        }
        (true, empty)
    }

    /// Takes a written buffer back.
    fn recycle(&self, mut buffer: Vec<u8>) {
        let mut queue = self.lock();
        queue.bytes = queue.bytes.saturating_sub(buffer.len());
        if queue.spare.len() < SPARE_BUFFERS && buffer.capacity() <= LARGEST_SPARE {
            buffer.clear();
            queue.spare.push(buffer);
        }
    }
}
