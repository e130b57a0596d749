//! `ig image remove`: a name goes, and what only it led to.

use clap::Args;
use ig_image::{Store, store::Removed};

use super::parse;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The images to remove
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    for image in &arguments.images {
        let removed = store.remove(&parse(image)?).map_err(|error| Failure::hinted(&error))?;
        if removed == Removed::KeptInUse {
            say!("note: a running collector needs {image}, so it stays in the store without a name");
        }
        say!("Successfully removed {image}");
    }
    Ok(())
}
