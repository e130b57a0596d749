//! `ig image push`: send an image with its signatures.

use clap::{ArgAction, Args};
use ig_image::{Store, registry::PushOptions};

use super::pull::{described, reference};
use crate::{
    failure::Failure,
    progress::Transfer,
    registry::{Connection, of_registry, wait_for},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The registry is the one in the image's name; `ig image tag` gives an image another one."
)]
pub(super) struct Arguments {
    /// Name of the image, such as registry.example/name:tag
    image: String,
    /// Also send the signatures that are stored beside the image, so that it can be verified where it goes
    #[arg(
        long,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        value_name = "BOOL"
    )]
    signatures: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let reference = reference(&arguments.image)?;
    let registry = arguments.connection.registry()?;
    say!("Pushing {}...", arguments.image);
    let transfer = Transfer::on_stderr();
    let mut options = PushOptions::default();
    options.signatures = arguments.signatures;
    let pushed = wait_for(async {
        registry.push(&reference, store, options, &transfer).await.map_err(|error| of_registry(&error))
    })?;
    say!("Successfully pushed {}", described(&reference, pushed.digest));
    Ok(())
}
