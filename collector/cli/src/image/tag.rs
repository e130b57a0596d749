//! `ig image tag`: a second name for an image.

use clap::Args;
use ig_image::Store;

use super::{describe, parse};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The image
    source: String,
    /// Its new name
    target: String,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let (source, target) = (parse(&arguments.source)?, parse(&arguments.target)?);
    if target.digest().is_some() {
        let message = format!("`{}` names a digest, which an image cannot be given", arguments.target);
        return Err(Failure::config(message).hint("write a name and a tag, such as trace_exec:v1"));
    }
    let image = store.tag(&source, &target).map_err(|error| Failure::hinted(&error))?;
    say!("Successfully tagged with {}", describe(&image));
    Ok(())
}
