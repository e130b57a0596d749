//! `ig image tag`: a second name for an image.

use clap::Args;
use ig_image::Store;

use super::{describe, new_name, parse};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The image
    source: String,
    /// Its new name
    target: String,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let (source, target) = (parse(&arguments.source)?, new_name(&arguments.target)?);
    let image = store.tag(&source, &target).map_err(|error| Failure::hinted(&error))?;
    say!("Successfully tagged with {}", describe(&image));
    Ok(())
}
