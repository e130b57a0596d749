//! The way of lines to standard error, which never makes anybody wait.
//!
//! A reader of the log that stalls, such as a pipe that nobody empties, must not stall whoever logs. So lines go into a
//! bounded queue with a thread behind it; what does not fit is lost, counted, and said once there is room again.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Pause before another try where whoever shares the descriptor made it non-blocking.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A queue of whole lines with a thread that writes them; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// A line came, or all were written.
    changed: Condvar,
    /// Lines that were not written.
    lost: AtomicU64,
    /// Most bytes that wait.
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Bytes in `lines` and in the line that is being written.
    bytes: usize,
}

impl Lines {
    /// Starts the thread. Once lines can be written again, `tell_lost` is called with how many were lost in between.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(
        target: impl Write + Send + 'static,
        limit: usize,
        tell_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            lost: AtomicU64::new(0),
            limit,
        }));
        let shared = Arc::clone(&lines.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_all(target, tell_lost))?;
        Ok(lines)
    }

    /// Takes a line that ends as such, or loses it if too much waits already.
    pub(super) fn put(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        // One that is larger than the whole queue passes alone, or it would never pass.
        if queue.bytes > 0 && queue.bytes.saturating_add(line.len()) > self.0.limit {
            drop(queue);
            self.0.lose();
            return;
        }
        queue.bytes = queue.bytes.saturating_add(line.len());
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Lines that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        // Relaxed: a number for people, ordered with nothing.
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until all was written, for as long as `patience`; says whether it was.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let (queue, _) = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), patience, |queue| queue.bytes > 0)
            .unwrap_or_else(PoisonError::into_inner);
        queue.bytes == 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change is complete before anything could panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes for as long as the process lives.
    fn write_all(&self, mut target: impl Write, tell_lost: impl Fn(u64)) {
        let mut told = 0;
        loop {
            let line = self.next();
            let written = write(&mut target, &line);
            if written.is_err() {
                self.lose();
            }
            let mut queue = self.lock();
            queue.bytes = queue.bytes.saturating_sub(line.len());
            drop(queue);
            self.changed.notify_all();
            let lost = self.lost.load(Ordering::Relaxed);
            if written.is_ok() && lost > told {
                tell_lost(lost - told);
                told = lost;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                return line;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes a line whole, however long that takes.
fn write(target: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match target.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read as _},
        sync::mpsc,
        time::Duration,
    };

    use super::Lines;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Scenario: a pipe that nobody reads is filled; then somebody reads all of it, and lines go on coming.
    /// Guarantees: nobody who logs waits; what does not fit is lost and counted; the reader gets whole lines only, and
    /// the number of lost ones is told once they can be written again.
    #[test]
    fn a_reader_that_stalls_holds_up_nobody() {
        const COUNT: u64 = 10_000;
        let (mut reader, writer) = io::pipe().unwrap();
        let (tell, told) = mpsc::channel();
        let lines = Lines::start(writer, 100_000, move |lost| tell.send(lost).unwrap()).unwrap();
        for number in 0..COUNT {
            lines.put(format!("{number:>99}\n").as_bytes());
        }
        let lost = lines.lost();
        assert!(lost > COUNT / 2 && lost < COUNT, "{lost}");
        assert!(!lines.flush(Duration::ZERO));
        let mut read = vec![0; 100 * usize::try_from(COUNT - lost).unwrap()];
        reader.read_exact(&mut read).unwrap();
        let number = |line: &[u8]| str::from_utf8(line).unwrap().trim().parse::<u64>().unwrap();
        assert!(read.chunks(100).map(number).is_sorted_by(|before, after| before < after));
        let mut sum = 0;
        while sum < lost {
            sum += told.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(sum, lost);
        lines.put(b"last\n");
        assert!(lines.flush(PATIENCE));
        let mut last = [0; 5];
        reader.read_exact(&mut last).unwrap();
        assert_eq!((&last, lines.lost()), (b"last\n", lost));
    }

    /// Scenario: the reader of the log goes away.
    /// Guarantees: lines are lost and counted, and whoever waits for the last one is not kept.
    #[test]
    fn a_reader_that_is_gone_costs_lines_alone() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let lines = Lines::start(writer, 100, |_| {}).unwrap();
        lines.put(b"one\n");
        assert!(lines.flush(PATIENCE));
        lines.put(b"two\n");
        assert!(lines.flush(PATIENCE));
        assert_eq!(lines.lost(), 2);
    }
}
