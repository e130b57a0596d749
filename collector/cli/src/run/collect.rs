//! `ig run -f FILE`: the collector.

use std::{path::Path, sync::Arc, time::Duration};

use ig_console::{Ended, Output};
use ig_model::Host;
use ig_runtime::{
    Collector, CollectorOptions, StartError,
    collector::commands,
    status::{Board, Reason, State},
};
use tracing::warn;

use super::{flags::Common, rows::Rows, signals};
use crate::failure::Failure;

/// Time a stop may take before what is left is given up.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Runs the gadgets of `file` until a signal ends it, with rows on standard output if `rows` says so.
pub(super) async fn collect(
    file: &Path,
    common: &Common,
    rows: Option<Rows>,
    host: Arc<Host>,
) -> Result<(), Failure> {
    let (store, images) = common.images()?;
    let output = rows.as_ref().map(Rows::output);
    let options = CollectorOptions {
        config: file.to_owned(),
        store,
        version: env!("CARGO_PKG_VERSION"),
        apply_log: crate::log::apply,
        lost_log_lines: crate::log::lost_lines,
        images,
        host,
        sinks: rows
            .into_iter()
            .map(|rows| Arc::new(rows) as Arc<dyn ig_runtime::plan::SinkFactory>)
            .collect(),
    };
    // Before the start, so that a signal during a slow start is not lost.
    let (sender, receiver) = commands();
    signals::listen(sender).map_err(|error| Failure::new(&error))?;
    let mut collector = match Collector::start(options, receiver).await {
        Ok(collector) => collector,
        Err(StartError::Stopped) => {
            say!("stopped");
            return Ok(());
        }
        Err(StartError::Config(faults)) => {
            let text = format!("the configuration has {} fault(s)\n{}", faults.len(), lines(&faults));
            return Err(
                Failure::config(text).hint("nothing is running; `ig config check` tests a file without root")
            );
        }
        Err(other) => return Err(Failure::new(&other)),
    };
    if !collector.is_stopping() {
        greet(&file.display().to_string(), &collector);
    }
    run(&mut collector, output.as_ref()).await;
    say!("stopping: draining for up to {} s (again to end at once)", STOP_PATIENCE.as_secs());
    let left = collector.stop(STOP_PATIENCE).await;
    if left.tasks > 0 || left.otlp_bytes > 0 {
        warn!(name: "collector.stop.incomplete", tasks = left.tasks, otlp_bytes = left.otlp_bytes, "left behind");
    }
    // Rows that wait for their reader were counted as delivered.
    let written = match &output {
        Some(output) => output.finish(STOP_PATIENCE).await,
        None => Ok(()),
    };
    say!("stopped");
    written.map_err(|error| Failure::new(error.as_ref()))
}

/// Runs until a stop, and says so if standard output ends before.
async fn run(collector: &mut Collector, output: Option<&Output>) {
    let ended = async {
        match output {
            Some(output) => output.closed().await,
            None => std::future::pending().await,
        }
    };
    let mut run = std::pin::pin!(collector.run());
    tokio::select! {
        () = &mut run => return,
        ended = ended => {
            let why = match ended {
                Ended::Failed(error) => ig_model::chain(error.as_ref()),
                Ended::Finished | Ended::ReaderGone => "its reader has gone".to_owned(),
            };
            warn!(name: "output.ended", "standard output takes no more rows, all else goes on: {why}");
        }
    }
    run.await;
}

/// One line for each.
fn lines(reasons: &[Reason]) -> String {
    reasons.iter().map(Reason::text).collect::<Vec<_>>().join("\n")
}

/// Says what runs and where to look.
fn greet(file: &str, collector: &Collector) {
    let board = collector.board();
    let running = board
        .gadgets
        .values()
        .filter(|gadget| matches!(gadget.state, State::Running | State::Degraded))
        .count();
    say!("{running} of {} gadgets of {file} are running", board.gadgets.len());
    for line in table(&board).lines() {
        say!("{line}");
    }
    match collector.metrics_address() {
        Some(address) => say!("metrics on http://{address}/metrics, health on /healthz and /readyz"),
        None => say!("no Prometheus endpoint is configured"),
    }
}

fn table(board: &Board) -> String {
    let width = board.gadgets.keys().map(String::len).max().unwrap_or(0);
    board
        .gadgets
        .iter()
        .map(|(name, gadget)| {
            let colon = if gadget.reasons.is_empty() { "" } else { ": " };
            let reasons = Reason::join(&gadget.reasons);
            format!("  {name:width$}  {}{colon}{reasons}\n", gadget.state.name())
        })
        .collect()
}
