//! Flags about where images come from and which may run, for every command that runs one.

use clap::{Args, ValueEnum};
use ig_image::{
    Reference,
    access::{Access, Acquired, PullPolicy},
    trust::{Origin, Settings, Stated},
};
use ig_runtime::images::ImageFlags;

use super::{
    similar,
    verify::{Trust, from_environment},
};
use crate::{failure::Failure, progress::Transfer, registry::Connection};

/// Where images come from and which may run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Images")]
pub(crate) struct Flags {
    /// When to ask the image's registry [default: missing]
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Whether an image must carry a valid signature, or else be built on this machine [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    verify_image: Option<bool>,
    #[command(flatten)]
    trust: Trust,
    /// Images that may run: full names with tag or digest, or prefixes that end in `*`, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    allowed_gadgets: Vec<String>,
    /// Refuse to pull anything; images of the store still run
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disallow_pulling: Option<bool>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pull {
    /// When the store has no image of that name
    Missing,
    /// Each time
    Always,
    /// Never
    Never,
}

impl Flags {
    /// The flags and the environment in the shape that joins them with configuration and policy file.
    ///
    /// # Errors
    /// Keys and certificates that cannot be read, malformed mirrors.
    pub(crate) fn resolve(&self) -> Result<ImageFlags, Failure> {
        Ok(ImageFlags {
            pull: self.pull.map(|pull| match pull {
                Pull::Missing => PullPolicy::Missing,
                Pull::Always => PullPolicy::Always,
                Pull::Never => PullPolicy::Never,
            }),
            trust: vec![from_environment()?, self.settings()?],
            authfile: self.connection.authfile(),
            mirrors: self.connection.mirrors()?,
            certificates: Some(self.connection.certificates()),
            read_only: false,
        })
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let flag = |name: &str| Origin::Flag(name.to_owned());
        let allowed =
            self.allowed_gadgets.iter().map(|name| Stated::new(name.clone(), flag("--allowed-gadgets")));
        let allowed: Vec<_> = allowed.collect();
        Ok(Settings {
            verify: self.verify_image.map(|value| Stated::new(value, flag("--verify-image"))),
            allowed_gadgets: (!allowed.is_empty()).then(|| Stated::new(allowed, flag("--allowed-gadgets"))),
            disallow_pulling: self
                .disallow_pulling
                .map(|value| Stated::new(value, flag("--disallow-pulling"))),
            ..self.trust.settings(self.connection.insecure())?
        })
    }
}

/// Fetches, verifies and reads an image, showing what moves on standard error.
///
/// # Errors
/// Why the image does not run, with a hint.
pub(crate) async fn acquire(
    access: &Access,
    reference: &Reference,
    pull: PullPolicy,
) -> Result<Acquired, Failure> {
    let near = similar::to(reference, access.store());
    if let Some(near) = &near
        && pull != PullPolicy::Never
    {
        // A registry may take its time to say that it has none.
        say!("note: there is no image `{}` here; did you mean `{near}`?", reference.short());
    }
    let transfer = Transfer::on_stderr();
    let acquired = access.acquire(reference, pull, &transfer).await.map_err(|error| match &near {
        Some(near) => Failure::new(&error).hint(format!("did you mean `{near}`?")),
        None => Failure::hinted(&error),
    })?;
    if let Some(error) = &acquired.pull_failure {
        tracing::warn!(
            name: "image.pull.failed",
            image = %reference,
            error = error as &dyn std::error::Error,
            "the image of the store is used"
        );
    }
    tracing::debug!(name: "image.verified", image = %reference, proof = ?acquired.proof);
    Ok(acquired)
}
