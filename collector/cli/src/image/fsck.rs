//! `ig image fsck`: is the store sound, and if not, what can be saved.

use std::path::Path;

use clap::Args;
use ig_image::{
    Store,
    store::{Limits, Repair},
};

use ig_model::text::printable;

use super::output;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 0 if nothing is wrong, or all of it was repaired without a loss; 1 otherwise."
)]
pub(super) struct Arguments {
    /// Put right what can be put right, and say what is lost
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(store: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let repair = if arguments.repair { Repair::Yes } else { Repair::No };
    let report = Store::check(store, &Limits::default(), repair).map_err(|error| Failure::hinted(&error))?;
    let mut out = String::new();
    for fault in &report.faults {
        out.push_str(&format!("{}\n", printable(&fault.to_string())));
        let when = if report.is_repaired { "repaired" } else { "repair" };
        out.push_str(&format!("  {when}: {}\n", printable(&fault.remedy())));
    }
    out.push_str(&format!("{} names, {} blobs, {} bytes", report.images, report.blobs, report.bytes));
    if report.garbage > 0 {
        let (blobs, bytes) = (report.garbage, report.garbage_bytes);
        out.push_str(&format!("; nothing leads to {blobs} blobs of {bytes} bytes, see `ig image gc`"));
    }
    out.push('\n');
    output::write(&out)?;
    match (report.faults.len(), report.is_repaired) {
        (0, _) => Ok(()),
        (_, true) if !report.has_losses() => Ok(()),
        (_, true) => Err(Failure::text("something is lost; see above how to get it back")),
        (count, false) => {
            Err(Failure::text(format!("{count} faults in the image store")).hint("run it with --repair"))
        }
    }
}
