//! `ig image gc`: images that lost their names, and what pulls left behind.

use std::time::Duration;

use clap::Args;
use ig_image::{
    Store,
    store::{Collect, Collected},
};

use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "An image loses its name when another one takes it, as with each pull of a new latest. What a \
    running collector uses or may go back to is never removed."
)]
pub(super) struct Arguments {
    /// Leave alone what is younger: another program may be about to name it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// Remove nothing, only say how much there is
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let how = if arguments.dry_run { Collect::DryRun } else { Collect::Remove };
    let Collected { files, bytes, kept } =
        store.collect(arguments.older_than, how).map_err(|error| Failure::hinted(&error))?;
    let done = if arguments.dry_run { "would remove" } else { "removed" };
    say!("{done} {files} files of {bytes} bytes");
    if kept > 0 {
        let time = humantime::format_duration(arguments.older_than);
        say!("note: nothing leads to {kept} more blobs, but they are younger than {time}");
    }
    Ok(())
}
