//! Measures rendering: nanoseconds per row of a `trace_open`-like record as JSON and as columns, against
//! `serde_json` writing an equivalent struct whose strings are ready.
//!
//! Run with `cargo run --release -p ig-console --example row_bench`. Each figure is the median of several rounds
//! taken in turns with its bound, in time on a CPU. Also counts heap allocations per row in the steady state.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unsafe_code,
    reason = "a benchmark makes its own input, its figures are its output, and counting allocations needs an allocator"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ig_console::{ConsoleOptions, Mode, Output, Terminal, sink};
use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind};
use ig_operators::{Batch, Columns, FormatContext, Sink, format::Accounts};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

const ROUNDS: usize = 21;
const ROWS: usize = 20_000;

/// Counts allocations, then leaves them to the system.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: both methods hand their arguments to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is this one's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is this one's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Creds {
    gid: u32,
    uid: u32,
}

#[derive(Serialize)]
struct Process<'a> {
    comm: &'a str,
    creds: Creds,
    mntns_id: u64,
    pid: u32,
    tid: u32,
}

#[derive(Serialize)]
struct Open<'a> {
    error: &'a str,
    error_raw: u32,
    fd: u32,
    flags: &'a str,
    flags_raw: i32,
    fname: &'a str,
    mode: &'a str,
    mode_raw: u32,
    proc: Process<'a>,
    timestamp: &'a str,
    timestamp_raw: u64,
}

#[derive(Serialize)]
struct Few<'a> {
    error_raw: u32,
    fd: u32,
    fname: &'a str,
    comm: &'a str,
    pid: u32,
}

/// Name, kind, offset, size, parent and type of a field.
type FieldRow = (&'static str, FieldKind, usize, usize, Option<usize>, &'static str);

fn source() -> DataSource {
    let rows: [FieldRow; 14] = [
        ("timestamp_raw", FieldKind::Uint64, 0, 8, None, "gadget_timestamp"),
        ("proc", FieldKind::Bytes, 8, 40, None, "gadget_process"),
        ("proc.comm", FieldKind::CString, 8, 16, Some(1), "char"),
        ("proc.pid", FieldKind::Uint32, 24, 4, Some(1), "gadget_pid"),
        ("proc.tid", FieldKind::Uint32, 28, 4, Some(1), "gadget_tid"),
        ("proc.mntns_id", FieldKind::Uint64, 32, 8, Some(1), "gadget_mntns_id"),
        ("proc.creds", FieldKind::Bytes, 40, 8, Some(1), "gadget_creds"),
        ("proc.creds.uid", FieldKind::Uint32, 40, 4, Some(6), "__u32"),
        ("proc.creds.gid", FieldKind::Uint32, 44, 4, Some(6), "__u32"),
        ("error_raw", FieldKind::Uint32, 48, 4, None, "gadget_errno"),
        ("fd", FieldKind::Uint32, 52, 4, None, "__u32"),
        ("flags_raw", FieldKind::Int32, 56, 4, None, "gadget_file_flags"),
        ("mode_raw", FieldKind::Uint32, 60, 4, None, "gadget_file_mode"),
        ("fname", FieldKind::CString, 64, 256, None, "char"),
    ];
    let mut source =
        DataSource::new("open", SourceKind::Single, Origin::Tracer { map: "events".to_owned() }, 832);
    for (name, kind, offset, size, parent, ty) in rows {
        let mut field = Field::new(name.rsplit('.').next().unwrap(), kind, offset, size);
        name.clone_into(&mut field.full_name);
        field.parent = parent;
        field.types = vec![ty.to_owned()];
        source.fields.push(field);
    }
    source
}

fn record() -> Vec<u8> {
    let mut record = vec![0; 832];
    record[..8].copy_from_slice(&1_787_312_356_455_283_441_u64.to_ne_bytes());
    record[8..11].copy_from_slice(b"cat");
    record[24..28].copy_from_slice(&101_u32.to_ne_bytes());
    record[28..32].copy_from_slice(&101_u32.to_ne_bytes());
    record[32..40].copy_from_slice(&4_026_535_102_u64.to_ne_bytes());
    record[52..56].copy_from_slice(&3_u32.to_ne_bytes());
    record[56..60].copy_from_slice(&0o2_000_000_u32.to_ne_bytes());
    let name = b"/usr/lib/x86_64-linux-gnu/libc.so.6";
    record[64..64 + name.len()].copy_from_slice(name);
    record
}

fn columns(source: &DataSource) -> Columns {
    let accounts = Accounts::in_root("/nonexistent".as_ref());
    Columns::plan(source, &FormatContext { clock: BootClock::with_offset(0), accounts: accounts.into() })
}

/// Nanoseconds and allocations per unit.
#[derive(Default)]
struct Timing(Vec<(f64, f64)>, (f64, f64));

impl Timing {
    /// Adds a part of the round under way.
    fn part(&mut self, work: impl FnOnce()) {
        let (allocations, began) = (ALLOCATIONS.load(Ordering::Relaxed), cpu_time());
        work();
        self.1.0 += (cpu_time() - began) / ROWS as f64;
        self.1.1 += (ALLOCATIONS.load(Ordering::Relaxed) - allocations) as f64 / ROWS as f64;
    }

    fn round(&mut self) {
        self.0.push(std::mem::take(&mut self.1));
    }

    fn median(&mut self) -> (f64, f64) {
        self.0.sort_by(|left, right| left.0.total_cmp(&right.0));
        self.0[self.0.len() / 2]
    }
}

/// Nanoseconds that this thread was on a CPU; other work on the machine does not count.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn rows(timing: &mut Timing, sink: &mut dyn Sink, output: &Output, record: &[u8]) {
    let mut fetch: Batch = std::iter::repeat_n(record, 100).collect();
    fetch.set_begins();
    fetch.set_ends();
    for _ in 0..ROWS / 800 {
        timing.part(|| {
            for _ in 0..8 {
                sink.take(black_box(&fetch));
                sink.flush();
            }
        });
        // Rendering is measured, not the queue: the writer gets its turn.
        while output.waiting() > 0 {
            std::thread::yield_now();
        }
    }
    timing.round();
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean nothing");
    }
    let (source, record) = (source(), record());
    let columns = columns(&source);
    let output = Output::to(Box::new(Nowhere), Terminal::none(), 64 << 20).expect("a thread");
    let options = ConsoleOptions::default();
    let make =
        |mode| sink(&mode, &source, &columns, &options, &output).expect("a mode that fits").expect("a sink");
    let few =
        ConsoleOptions { fields: Some("proc.comm,proc.pid,fd,fname,error_raw".to_owned()), label: None };
    let narrow =
        |mode| sink(&mode, &source, &columns, &few, &output).expect("a mode that fits").expect("a sink");
    let mut sinks =
        [make(Mode::Json), narrow(Mode::Json), make(Mode::Columns), narrow(Mode::Columns), make(Mode::Yaml)];
    let names = [
        "json, 16 fields",
        "json, 5 plain fields",
        "columns, all visible",
        "columns, 5 plain",
        "yaml, 16 fields",
    ];
    let mut timings: [Timing; 7] = Default::default();
    let mut buffer: Vec<u8> = Vec::with_capacity(ROWS * 600);
    for round in 0..=ROUNDS {
        for (sink, timing) in sinks.iter_mut().zip(&mut timings) {
            rows(timing, sink.as_mut(), &output, &record);
        }
        timings[5].part(|| {
            buffer.clear();
            for _ in 0..ROWS {
                let open = Open {
                    error: "",
                    error_raw: 0,
                    fd: 3,
                    flags: "O_RDONLY|O_CLOEXEC",
                    flags_raw: 524_288,
                    fname: "/usr/lib/x86_64-linux-gnu/libc.so.6",
                    mode: "----------",
                    mode_raw: 0,
                    proc: Process {
                        comm: "cat",
                        creds: Creds { gid: 0, uid: 0 },
                        mntns_id: 4_026_535_102,
                        pid: 101,
                        tid: 101,
                    },
                    timestamp: "2026-08-21T11:39:16.455283441Z",
                    timestamp_raw: 1_787_312_356_455_283_441,
                };
                serde_json::to_writer(&mut buffer, black_box(&open)).unwrap();
                buffer.push(b'\n');
            }
            black_box(&buffer);
        });
        timings[6].part(|| {
            buffer.clear();
            for _ in 0..ROWS {
                let values = (black_box("cat"), 101_u32, 3_u32, "/usr/lib/x86_64-linux-gnu/libc.so.6", 0_u32);
                let few =
                    Few { error_raw: values.4, fd: values.2, fname: values.3, comm: values.0, pid: values.1 };
                serde_json::to_writer(&mut buffer, &few).unwrap();
                buffer.push(b'\n');
            }
            black_box(&buffer);
        });
        timings[5].round();
        timings[6].round();
        if round == 0 {
            // The first round fills buffers.
            timings = Default::default();
        }
    }
    let [mut full, mut few_bound] = [std::mem::take(&mut timings[5]), std::mem::take(&mut timings[6])];
    let (full, few_bound) = (full.median().0, few_bound.median().0);
    println!("serde_json, same 16 members, text ready: {full:.0} ns a row; 5 members: {few_bound:.0} ns");
    for (name, timing) in names.iter().zip(&mut timings) {
        let (took, allocations) = timing.median();
        let bound = if name.contains('5') { few_bound } else { full };
        println!("{name:<22} {took:6.0} ns a row ({:.2}x), {allocations:.3} allocations", took / bound);
    }
    println!("dropped: {:?}", output.dropped());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(output.finish(Duration::from_secs(5))).unwrap();
}
