//! SIGINT, SIGTERM and SIGHUP; the second stop ends the process at once.

use std::io;

use ig_runtime::collector::Event;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Begins to listen; call it before anything slow, so that a signal during the start is not lost.
pub(super) fn listen() -> io::Result<mpsc::Receiver<Event>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(4);
    let forward = async move {
        let mut stopping = false;
        loop {
            // Cancel-safe: signal streams lose nothing when another branch wins.
            let asked = tokio::select! {
                _ = interrupt.recv() => Event::Stop,
                _ = terminate.recv() => Event::Stop,
                _ = hangup.recv() => Event::Reload,
            };
            if asked == Event::Stop && std::mem::replace(&mut stopping, true) {
                end_at_once();
            }
            // A full channel means that a reload is already waiting; stops are never sent twice.
            if sender.send(asked).await.is_err() && asked == Event::Reload {
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
