//! How a transfer is shown: bars on a terminal, elsewhere only what is out of the ordinary.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ig_image::{
    Digest,
    registry::{Progress, TransferEvent},
};
use ig_model::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Bars on standard error, one for each blob that moves.
#[derive(Debug)]
pub(crate) struct Transfer {
    bars: Option<MultiProgress>,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Transfer {
    /// Bars if standard error is a terminal that can draw them.
    pub(crate) fn on_stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bars = (std::io::stderr().is_terminal() && !dumb).then(MultiProgress::new);
        Self { bars, blobs: Mutex::default() }
    }

    fn bar(&self, digest: Digest, size: u64) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = blobs.entry(digest).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(size));
            if let Ok(style) = ProgressStyle::with_template(
                "{prefix} [{bar:30}] {binary_bytes:>10} of {binary_total_bytes:>10} {msg}",
            ) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(short(digest));
            bar
        });
        Some(bar.clone())
    }

    fn known(&self, digest: Digest) -> Option<ProgressBar> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // Where the terminal is gone, so is whoever would have read the line.
            Some(bars) => drop(bars.println(text)),
            None => say!("{text}"),
        }
    }

    fn warn(&self, text: &str) {
        if self.bars.is_some() {
            self.line(&format!("warning: {text}"));
        } else {
            warning!("{text}");
        }
    }
}

impl Progress for Transfer {
    fn step(&self, event: TransferEvent) {
        match event {
            TransferEvent::Started { digest, size, done } => {
                if let Some(bar) = self.bar(digest, size) {
                    bar.set_position(done);
                }
            }
            TransferEvent::Moved { digest, done } => {
                if let Some(bar) = self.known(digest) {
                    bar.set_position(done);
                }
            }
            TransferEvent::Finished { digest } => {
                if let Some(bar) = self.known(digest) {
                    bar.finish_with_message("done");
                }
            }
            TransferEvent::Retrying { reason, wait } => {
                self.line(&format!("{}; trying again in {}", printable(&reason), seconds(wait)));
            }
            TransferEvent::Warning { text } => self.warn(&printable(&text)),
            _ => {}
        }
    }
}

/// The first digits, which are enough to tell blobs apart.
fn short(digest: Digest) -> String {
    digest.hex().chars().take(12).collect()
}

fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}
