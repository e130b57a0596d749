//! SIGINT, SIGTERM and SIGHUP as commands; the second stop ends the process at once.
//!
//! They are heard on a thread of their own, so that the second stop is heard whatever everything else is doing.

use std::{io, thread, time::Duration};

use ig_runtime::collector::Command;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

/// Stops this close to each other are one: `timeout` signals its child and then the group that it is in.
const SAME_STOP: Duration = Duration::from_millis(200);

/// The signals that are heard.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// Begins to listen; call it before anything slow, so that a signal during the start is not lost.
pub(super) fn listen(commands: mpsc::Sender<Command>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _guard = runtime.enter();
        Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(forward(signals, commands)))?;
    Ok(())
}

async fn forward(signals: Signals, commands: mpsc::Sender<Command>) {
    let Signals { mut interrupt, mut terminate, mut hangup } = signals;
    let mut stops = Stops::default();
    let mut is_told = true;
    loop {
        // Cancel-safe: signal streams lose nothing when another branch wins, and a permit that is not used is given
        // back. The one stop is sent however full the channel is, and nothing waits for that.
        let is_stop = tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
            _ = hangup.recv() => false,
            permit = commands.reserve(), if !is_told => {
                // An error means that the collector has ended.
                if let Ok(permit) = permit {
                    permit.send(Command::Stop);
                }
                is_told = true;
                continue;
            }
        };
        if !is_stop {
            // Nobody may listen any more, or not right now. A full channel holds a reload that is not begun yet, which is
            // as good as another one.
            drop(commands.try_send(Command::Reload { reply: None }));
            continue;
        }
        match stops.another(Instant::now()) {
            Stop::First => is_told = false,
            Stop::Same => {}
            Stop::AtOnce => end_at_once(),
        }
    }
}

/// The stops that were asked for.
#[derive(Debug, Default)]
struct Stops {
    first: Option<Instant>,
}

/// What one more stop means.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// Drain and end.
    First,
    /// It belongs to the first.
    Same,
    /// The user asked twice.
    AtOnce,
}

impl Stops {
    fn another(&mut self, now: Instant) -> Stop {
        match self.first {
            None => {
                self.first = Some(now);
                Stop::First
            }
            Some(first) if now.saturating_duration_since(first) < SAME_STOP => Stop::Same,
            Some(_) => Stop::AtOnce,
        }
    }
}

#[expect(clippy::exit, reason = "the user asked twice")]
fn end_at_once() {
    ig_console::keys::restore();
    say!("stopped at once");
    crate::log::finish();
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a stop, its echo from the process group 10 ms later, and one that somebody asks for afterwards.
    /// Guarantees: the echo costs no output; the next one ends the process, whatever came in between.
    #[test]
    fn an_echo_is_no_second_stop() {
        let mut stops = Stops::default();
        let start = Instant::now();
        assert_eq!(stops.another(start), Stop::First);
        assert_eq!(stops.another(start + Duration::from_millis(10)), Stop::Same);
        assert_eq!(stops.another(start + Duration::from_millis(300)), Stop::AtOnce);
    }
}
