//! `ig image pull`: fetch an image with its signatures.

use clap::Args;
use ig_image::{Digest, Reference, Store, registry::PullOptions};

use crate::{
    failure::Failure,
    progress::Transfer,
    registry::{Connection, of_registry, wait_for},
};

#[derive(Debug, Args)]
#[command(
    after_help = "All architectures are fetched, and every signature. What broke off goes on where it was. \
    Mirrors are asked in their order, then the registry itself."
)]
pub(super) struct Arguments {
    /// Name of the image, such as trace_exec or registry.example/name:tag
    image: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let reference = reference(&arguments.image)?;
    let registry = arguments.connection.registry()?;
    super::verify::machine_policy()?.may_pull(&reference).map_err(|refusal| Failure::hinted(&refusal))?;
    say!("Pulling {}...", arguments.image);
    let transfer = Transfer::on_stderr();
    let pulled = wait_for(async {
        registry
            .pull(&reference, store, PullOptions::default(), &transfer)
            .await
            .map_err(|error| of_registry(&error))
    })?;
    say!("Successfully pulled {}", described(&reference, pulled.digest));
    Ok(())
}

pub(super) fn reference(name: &str) -> Result<Reference, Failure> {
    Reference::parse(name).map_err(|error| Failure::config(error.to_string()))
}

/// The image as the Go project writes it; the part for the tag is empty if it has none.
pub(super) fn described(reference: &Reference, digest: Digest) -> String {
    format!("{}:{}@{digest}", reference.repository(), reference.tag().unwrap_or_default())
}
