//! `ig image sign`: sign an image with a key, in the forms that cosign reads.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use ig_image::Store;
use ig_image::trust::{SignatureFormat, SigningKey, sign};

use super::{describe, parse};
use crate::failure::Failure;

/// Most bytes of a file with a key.
const MAX_KEY: u64 = 1 << 20;
/// Most bytes of a password on standard input.
const MAX_PASSWORD: u64 = 64 << 10;
const PASSWORDS: [&str; 2] = ["IG_KEY_PASSWORD", "COSIGN_PASSWORD"];

#[derive(Debug, Args)]
#[command(
    after_help = "The signature is stored beside the image, and `ig image push` sends both. Passwords of encrypted \
    keys are taken from IG_KEY_PASSWORD or COSIGN_PASSWORD."
)]
pub(super) struct Arguments {
    /// Name of the image, such as trace_exec or registry.example/name:tag
    image: String,
    /// Private key (PEM): PKCS#8, or as cosign writes them
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How the signature is stored
    #[arg(long, value_enum, default_value_t = Format::Legacy, value_name = "FORMAT")]
    format: Format,
    /// Read the password of the key from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// How a signature is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Under the tag `sha256-<digest>.sig`, which every verifier knows
    Legacy,
    /// As a manifest that refers to the image
    Oci11,
    /// As a sigstore bundle that refers to the image
    Bundle,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let reference = parse(&arguments.image)?;
    let key = read_key(&arguments.key, arguments.password_stdin)?;
    let image = store.resolve(&reference).map_err(|error| Failure::hinted(&error))?;
    let format = match arguments.format {
        Format::Legacy => SignatureFormat::Legacy,
        Format::Oci11 => SignatureFormat::Oci11,
        Format::Bundle => SignatureFormat::Bundle,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let signed = sign(store, &image, &key, format, i64::try_from(now).unwrap_or_default())
        .map_err(|error| Failure::hinted(&error))?;
    say!("Successfully signed {} with key {}", describe(&image), signed.key);
    Ok(())
}

/// Reads a private key with its password.
pub(super) fn read_key(path: &Path, password_stdin: bool) -> Result<SigningKey, Failure> {
    let text = read_text(path)?;
    let password = password(password_stdin)?;
    SigningKey::from_pem(&text, password.as_deref().map(str::as_bytes)).map_err(|error| {
        let message = format!("private key `{}` cannot be used: {}", path.display(), ig_model::chain(&error));
        Failure::text(message).hint_of(&error)
    })
}

/// The password of a private key, if there is one: from standard input, else from the environment.
pub(super) fn password(stdin: bool) -> Result<Option<String>, Failure> {
    if !stdin {
        return Ok(PASSWORDS.iter().find_map(|name| std::env::var(name).ok()));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_PASSWORD + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::text(format!("failed to read the password from standard input: {error}")))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(Failure::config(format!("the password has more than {MAX_PASSWORD} bytes")));
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(Some(text))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::text(format!("failed to read key `{}`: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_KEY).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
