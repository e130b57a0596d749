//! `ig run -f FILE`: the collector.

use std::{io, path::PathBuf, time::Duration};

use clap::Args;
use ig_runtime::{
    Collector, CollectorOptions, StartError,
    collector::Event,
    status::{Board, State},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tracing::warn;

use crate::failure::Failure;

/// Time a stop may take before what is left is given up.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Free heap that is kept between scrapes, in bytes.
const KEPT_HEAP: i32 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Edits of the file are followed as they are saved; SIGHUP reads it again at once.\n\
    A file with faults changes nothing: the log, /readyz and the metrics ig_config_reload_* say what is wrong.\n\
    The first SIGINT or SIGTERM drains and flushes; a second one ends at once.")]
pub(crate) struct Arguments {
    /// Runtime configuration: a file, or a directory of them
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Image store, unless the configuration names one [default: /var/lib/ig/oci-store]
    #[arg(long, env = "IG_STORE", value_name = "DIR")]
    store: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(missing) = missing_capabilities() {
        return Err(Failure::text(format!("loading eBPF programs needs {missing}"))
            .hint("run as root, or give the process these capabilities; `ig config check` needs none"));
    }
    // Failing matters only below Linux 5.11, and loading says so by itself then.
    if !ig_kernel::sys::memory::raise_memlock() {
        tracing::debug!(name: "memlock.raise.failed", "the limit on locked memory stays");
    }
    ig_kernel::sys::memory::keep_at_most(KEPT_HEAP);
    crate::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| Failure::new(&error))?;
    let result = runtime.block_on(collect(arguments));
    // Blocking threads may still close links; the kernel does that at exit as well.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn collect(arguments: &Arguments) -> Result<(), Failure> {
    let options = CollectorOptions {
        config: arguments.file.clone(),
        store: crate::image::store_path(arguments.store.as_deref()),
        version: env!("CARGO_PKG_VERSION"),
        apply_log: crate::log::apply,
    };
    // Before the start, so that a signal during a slow start is not lost.
    let events = signals().map_err(|error| Failure::new(&error))?;
    let mut collector = Collector::start(options).await.map_err(|error| match error {
        StartError::Config(ref faults) => Failure::config(format!("{error}\n{}", faults.join("\n")))
            .hint("nothing was started; `ig config check` tests a file without root"),
        ref other => Failure::new(other),
    })?;
    greet(&arguments.file.display().to_string(), &collector);
    collector.run(events).await;
    eprintln!("stopping: draining for up to {} s (again to end at once)", STOP_PATIENCE.as_secs());
    let left = collector.stop(STOP_PATIENCE).await;
    if left.tasks > 0 || left.otlp_bytes > 0 {
        warn!(name: "collector.stop.incomplete", tasks = left.tasks, otlp_bytes = left.otlp_bytes, "left behind");
    }
    eprintln!("stopped");
    Ok(())
}

/// Translates signals into events; the second stop ends the process.
fn signals() -> io::Result<mpsc::Receiver<Event>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(4);
    let forward = async move {
        let mut stopping = false;
        loop {
            // Cancel-safe: signal streams lose nothing when another branch wins.
            let event = tokio::select! {
                _ = interrupt.recv() => Event::Stop,
                _ = terminate.recv() => Event::Stop,
                _ = hangup.recv() => Event::Reload,
            };
            if event == Event::Stop && std::mem::replace(&mut stopping, true) {
                end_at_once();
            }
            // A full channel means that a reload is already waiting; stops are never sent twice.
            if sender.send(event).await.is_err() && event == Event::Reload {
                return;
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "must outlive the drain of every other task")]
    tokio::spawn(forward);
    Ok(receiver)
}

#[expect(clippy::exit, reason = "the user asked twice")]
fn end_at_once() {
    eprintln!("stopped at once");
    std::process::exit(1);
}

/// Says what runs and where to look.
fn greet(file: &str, collector: &Collector) {
    let board = collector.board();
    let running = board.gadgets.values().filter(|gadget| gadget.state != State::Refused).count();
    eprintln!("{running} of {} gadgets of {file} are running", board.gadgets.len());
    eprint!("{}", table(&board));
    match collector.metrics_address() {
        Some(address) => eprintln!("metrics on http://{address}/metrics, health on /healthz and /readyz"),
        None => eprintln!("no Prometheus endpoint is configured"),
    }
}

fn table(board: &Board) -> String {
    let width = board.gadgets.keys().map(String::len).max().unwrap_or(0);
    board
        .gadgets
        .iter()
        .map(|(name, gadget)| {
            let reason =
                gadget.reason.as_ref().map(|reason| format!(": {}", reason.text)).unwrap_or_default();
            format!("  {name:width$}  {}{reason}\n", gadget.state.name())
        })
        .collect()
}

/// Names the capabilities this process lacks for loading eBPF programs; `None` when it can.
fn missing_capabilities() -> Option<&'static str> {
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    if effective & SYS_ADMIN != 0 || effective & (BPF | PERFMON) == BPF | PERFMON {
        None
    } else {
        Some("CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)")
    }
}
