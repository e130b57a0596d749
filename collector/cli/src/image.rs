//! `ig image`: the family of commands around gadget images, one file each.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ig_image::{ImageDescriptor, Reference, Store};

use crate::failure::Failure;

pub(crate) mod access;
mod age;
mod build;
mod export;
mod fsck;
mod gc;
mod import;
mod inspect;
mod key;
mod list;
pub(crate) mod output;
mod pull;
mod push;
mod remove;
mod sign;
mod similar;
mod tag;
pub(crate) mod verify;

/// Where root's images are; others have `~/.ig/oci-store`.
const ROOT_STORE: &str = "/var/lib/ig/oci-store";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Image store [default: /var/lib/ig/oci-store, or ~/.ig/oci-store without root]
    #[arg(long, env = "IG_STORE", value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the gadget in a folder and put its image into the store
    Build(build::Arguments),
    /// Show what an image is made of: data, parameters, programs, needs, origin
    Inspect(inspect::Arguments),
    /// List the images in the store
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Remove an image, and what only it needed
    #[command(visible_alias = "rm")]
    Remove(remove::Arguments),
    /// Give an image another name
    Tag(tag::Arguments),
    /// Write images, with their signatures, to a tar file
    Export(export::Arguments),
    /// Take the images of a tar file into the store
    Import(import::Arguments),
    /// Delete what no image needs
    Gc(gc::Arguments),
    /// Check every part of the store, and repair it
    Fsck(fsck::Arguments),
    /// Fetch an image from its registry, with its signatures
    Pull(pull::Arguments),
    /// Send an image to its registry, with its signatures
    Push(push::Arguments),
    /// Check that an image is signed by somebody trusted, and allowed
    Verify(verify::Arguments),
    /// Sign an image, as cosign does
    Sign(sign::Arguments),
    /// Make and show keys to sign images with
    Key(key::Arguments),
}

impl Arguments {
    /// Opens the store; each command that needs one calls it, so that those that need none work without.
    fn store(&self) -> Result<Store, Failure> {
        Store::open(store_path(self.store.as_deref())).map_err(|error| Failure::hinted(&error))
    }
}

/// The store to use: the one given, else the user's own.
pub(crate) fn store_path(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| Store::default_path().unwrap_or_else(|_| ROOT_STORE.into()), Path::to_owned)
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Build(given) => build::run(&arguments.store()?, given),
        Command::Inspect(given) => inspect::run(&arguments.store()?, given),
        Command::List(given) => list::run(&arguments.store()?, given),
        Command::Remove(given) => remove::run(&arguments.store()?, given),
        Command::Tag(given) => tag::run(&arguments.store()?, given),
        Command::Export(given) => export::run(&arguments.store()?, given),
        Command::Import(given) => import::run(arguments.store()?, given),
        Command::Gc(given) => gc::run(&arguments.store()?, given),
        Command::Fsck(given) => fsck::run(&store_path(arguments.store.as_deref()), given),
        Command::Pull(given) => pull::run(&arguments.store()?, given),
        Command::Push(given) => push::run(&arguments.store()?, given),
        Command::Verify(given) => verify::run(&arguments.store()?, given),
        Command::Sign(given) => sign::run(&arguments.store()?, given),
        Command::Key(given) => key::run(given),
    }
}

/// An image's name as it was typed.
fn parse(name: &str) -> Result<Reference, Failure> {
    Reference::parse(name).map_err(|error| Failure::config(error.to_string()))
}

/// A name for an image, as it was typed. An image has the digest that it has.
fn new_name(name: &str) -> Result<Reference, Failure> {
    let reference = parse(name)?;
    if reference.digest().is_some() {
        let message = format!("`{name}` names a digest, which an image cannot be given");
        return Err(Failure::config(message).hint("write a name and a tag, such as trace_exec:v1"));
    }
    Ok(reference)
}

/// An image as messages name it: `repository:tag@digest`.
fn describe(image: &ImageDescriptor) -> String {
    let reference = &image.reference;
    format!("{}:{}@{}", reference.repository(), reference.tag().unwrap_or_default(), image.digest)
}
