//! SIGINT, SIGTERM and SIGHUP as commands; the second stop ends the process at once.

use std::{io, time::Duration};

use ig_runtime::collector::Command;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

/// Stops this close to each other are one: `timeout` signals its child and then the group that it is in.
const SAME_STOP: Duration = Duration::from_millis(200);

/// Begins to listen; call it before anything slow, so that a signal during the start is not lost.
pub(super) fn listen(commands: mpsc::Sender<Command>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let forward = async move {
        let mut stops = Stops::default();
        loop {
            // Cancel-safe: signal streams lose nothing when another branch wins.
            let is_stop = tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                _ = hangup.recv() => false,
            };
            // Nobody may listen any more, or not right now: a second stop is heard nevertheless, so nothing waits here.
            // A full channel holds a reload that is not begun yet, which is as good as another one.
            if !is_stop {
                drop(commands.try_send(Command::Reload { reply: None }));
                continue;
            }
            match stops.another(Instant::now()) {
                Stop::First => stop(commands.clone()),
                Stop::Same => {}
                Stop::AtOnce => end_at_once(),
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "must outlive the drain of every other task")]
    tokio::spawn(forward);
    Ok(())
}

/// Sends the one stop, however full the channel is.
fn stop(commands: mpsc::Sender<Command>) {
    #[expect(clippy::disallowed_methods, reason = "must outlive the drain of every other task")]
    tokio::spawn(async move {
        // An error means that the collector has ended.
        drop(commands.send(Command::Stop).await);
    });
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
    say!("stopped at once");
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
