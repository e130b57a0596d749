//! `ig image export`: images with their signatures into one file.

use std::path::PathBuf;

use clap::Args;
use ig_image::{Reference, Store};

use super::parse;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "The file is an uncompressed tar of an OCI image layout, as skopeo calls oci-archive. The same \
    images give the same file."
)]
pub(super) struct Arguments {
    /// The images to export
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// The file to write
    file: PathBuf,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let images: Vec<Reference> =
        arguments.images.iter().map(|image| parse(image)).collect::<Result<_, _>>()?;
    store.export(&images, &arguments.file).map_err(|error| Failure::hinted(&error))?;
    say!("Successfully exported images to {}", arguments.file.display());
    Ok(())
}
