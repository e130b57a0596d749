//! The queue's promises: whole rows, counted losses, a clean end.

use std::{
    fs::File,
    io::Read as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::*;

/// Memory that tests can look into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    pub(crate) fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

/// An output into memory, and the memory.
pub(crate) fn memory(terminal: Terminal) -> (Output, Memory) {
    let memory = Memory::default();
    (Output::to(Box::new(memory.clone()), terminal, DEFAULT_LIMIT).unwrap(), memory)
}

/// A writer that takes nothing until it is told to.
struct Gate {
    open: Receiver<()>,
    began: SyncSender<()>,
    memory: Memory,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.began.send(()).unwrap();
        self.open.recv().unwrap();
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Scenario: the reader takes nothing, and more rows arrive than the queue may hold.
/// Guarantees: pushing never waits; what does not fit is dropped whole and counted; the rest arrives in order.
#[test]
fn a_full_queue_drops_whole_rows_and_counts_them() {
    let (open, gate) = sync_channel(100);
    let (began, started) = sync_channel(100);
    let memory = Memory::default();
    let writer = Gate { open: gate, began, memory: memory.clone() };
    let output = Output::to(Box::new(writer), Terminal::none(), 100).unwrap();
    let mut rows = output.rows();
    let mut push = |text: String| {
        rows.buffer().extend_from_slice(text.as_bytes());
        rows.count_rows(1);
        rows.flush()
    };
    let pushed: Vec<bool> = (0..20).map(|n| push(format!("row {n:02} of 20\n"))).collect();
    started.recv().unwrap();
    let taken = pushed.iter().filter(|taken| **taken).count();
    assert_eq!(taken, 7, "100 bytes hold seven rows of 13");
    assert_eq!(output.dropped(), Dropped { rows: 13, bytes: 13 * 13 });
    assert_eq!(rows.ledger().lost().load(Loss::Output), 13);
    (0..20).for_each(|_| open.send(()).unwrap());
    block_on(output.finish(PATIENCE)).unwrap();
    let expected: String = (0..7).map(|n| format!("row {n:02} of 20\n")).collect();
    assert_eq!(String::from_utf8(memory.taken()).unwrap(), expected);
}

/// Scenario: a single batch is larger than the whole queue.
/// Guarantees: it passes when the queue is empty, instead of never.
#[test]
fn a_batch_larger_than_the_queue_passes_alone() {
    let memory = Memory::default();
    let output = Output::to(Box::new(memory.clone()), Terminal::none(), 10).unwrap();
    let mut rows = output.rows();
    rows.buffer().extend_from_slice(&[b'x'; 1000]);
    assert!(rows.end_row() && rows.flush());
    block_on(output.finish(PATIENCE)).unwrap();
    assert_eq!(memory.taken().len(), 1000);
}

/// Scenario: the reader of a real pipe closes its end while nothing is being written.
/// Guarantees: the end is noticed without another write and is no error; later rows are no fault of a slow reader, but
/// they are in the ledger.
#[test]
fn a_reader_that_goes_away_ends_the_output() {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let watched = writer.try_clone().unwrap();
    let output = Output::start(Box::new(File::from(writer)), Some(watched), Terminal::none(), 1000).unwrap();
    let mut rows = output.rows();
    rows.buffer().extend_from_slice(b"first\n");
    assert!(rows.end_row() && rows.flush());
    let mut first = [0; 6];
    let mut reader = File::from(reader);
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    assert!(matches!(block_on(output.closed()), Ended::ReaderGone));
    rows.buffer().extend_from_slice(b"second\n");
    rows.count_rows(1);
    assert!(!rows.flush());
    assert_eq!(output.dropped(), Dropped::default());
    assert_eq!(rows.ledger().lost().load(Loss::Output), 1);
    block_on(output.finish(PATIENCE)).unwrap();
}

/// Scenario: standard output is a full disk.
/// Guarantees: the error names the cause, finishing reports it, and the row that was taken but never written is lost.
#[test]
fn a_full_disk_is_an_error_with_its_cause() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Output::to(Box::new(full), Terminal::none(), 1000).unwrap();
    let mut rows = output.rows();
    rows.buffer().extend_from_slice(b"row\n");
    assert!(rows.end_row() && rows.flush());
    let Ended::Failed(error) = block_on(output.closed()) else { panic!("not failed") };
    let cause = std::error::Error::source(&*error).unwrap().to_string();
    assert!(cause.contains("No space left"), "{cause}");
    assert_eq!(rows.ledger().lost().load(Loss::Output), 1);
    assert!(block_on(output.finish(PATIENCE)).is_err());
}

/// Scenario: nobody reads a pipe that is full, and the pipe was made non-blocking by somebody else.
/// Guarantees: finishing gives up at its deadline and says how much is left; a reader that comes back gets all.
#[test]
fn finishing_has_a_deadline() {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let size = fcntl_setpipe_size(&writer, 4096).unwrap();
    let watched = writer.try_clone().unwrap();
    let output =
        Output::start(Box::new(File::from(writer)), Some(watched), Terminal::none(), 1 << 20).unwrap();
    let mut rows = output.rows();
    rows.buffer().resize(size + 1000, b'x');
    assert!(rows.flush());
    let error = block_on(output.finish(Duration::ZERO)).unwrap_err();
    assert!(matches!(*error, OutputError::TooSlow { bytes } if bytes == size + 1000), "{error}");
    let mut left = size + 1000;
    let mut buffer = [0; 8192];
    while left > 0 {
        match rustix::io::read(&reader, &mut buffer) {
            Ok(n) => left -= n,
            Err(rustix::io::Errno::AGAIN) => thread::yield_now(),
            Err(errno) => panic!("{errno}"),
        }
    }
    assert!(matches!(block_on(output.closed()), Ended::Finished));
}

/// Scenario: two data sources print in turns.
/// Guarantees: each change of source is announced, nothing is announced twice.
#[test]
fn a_change_of_source_is_announced() {
    let (output, memory) = memory(Terminal::none());
    let mut buffers = [output.rows(), output.rows()];
    for (n, rows) in buffers.iter_mut().enumerate() {
        rows.heading(format!("source {n}\n").as_bytes());
    }
    for (n, row) in [(0, "a\n"), (0, "b\n"), (1, "c\n"), (1, "d\n"), (0, "e\n")] {
        buffers[n].buffer().extend_from_slice(row.as_bytes());
        assert!(buffers[n].end_row() && buffers[n].flush());
    }
    block_on(output.finish(PATIENCE)).unwrap();
    assert_eq!(String::from_utf8(memory.taken()).unwrap(), "source 0\na\nb\nsource 1\nc\nd\nsource 0\ne\n");
}
