//! `ig image key`: keys to sign images with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ig_image::trust::SigningKey;

use super::output::write;
use super::sign::{password, read_key};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key pair: PREFIX.key to sign with, PREFIX.pub to give away
    Generate(Generate),
    /// Print the public half of a private key
    Public(Public),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The key is for ECDSA on P-256. With a password, from IG_KEY_PASSWORD, COSIGN_PASSWORD or standard \
    input, the private half is encrypted so that cosign can use it too; without one it is plain PKCS#8, readable by \
    its owner alone."
)]
struct Generate {
    /// Beginning of the names of the two files
    #[arg(long, value_name = "PREFIX", default_value = "ig")]
    out: PathBuf,
    /// Read the password of the key from standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct Public {
    /// Private key (PEM): PKCS#8, or as cosign writes them
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Read the password of the key from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Generate(given) => generate(given),
        Command::Public(given) => write(&read_key(&given.key, given.password_stdin)?.public().to_pem()),
    }
}

fn generate(arguments: &Generate) -> Result<(), Failure> {
    let password = password(arguments.password_stdin)?;
    let pair =
        SigningKey::generate(password.as_deref().map(str::as_bytes)).map_err(|error| Failure::new(&error))?;
    let (private, public) = (with_ending(&arguments.out, "key"), with_ending(&arguments.out, "pub"));
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(taken(Failure::text(format!("`{}` is there already", path.display()))));
        }
    }
    create(&private, pair.private.as_bytes(), 0o600)?;
    create(&public, pair.public.as_bytes(), 0o644)?;
    let how = if password.is_some() { "encrypted" } else { "not encrypted" };
    say!("Private key written to {} ({how})", private.display());
    say!("Public key written to {}", public.display());
    Ok(())
}

fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Writes a new file; one that is there may be the only copy of a key.
fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| {
        let failure = Failure::text(format!("failed to write `{}`: {error}", path.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists { taken(failure) } else { failure }
    })
}

fn taken(failure: Failure) -> Failure {
    failure.hint("choose another --out PREFIX; keys are never overwritten")
}
