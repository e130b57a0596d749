//! What the commands that talk to registries have in common: their options, a client, a runtime.

use std::{future::Future, path::PathBuf};

use clap::Args;
use ig_image::{
    auth::{AuthEnvironment, AuthError, CredentialSources, DEFAULT_AUTHFILE, Keychain},
    registry::{DEFAULT_CERTIFICATES, Mirrors, Registry, RegistryError, RegistryOptions},
};

use crate::failure::Failure;

/// How registries are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) authfile: Authfile,
    /// Registries to reach over plain HTTP, without credentials; separated by commas
    #[arg(long, value_delimiter = ',', value_name = "HOST[:PORT]")]
    insecure_registries: Vec<String>,
    /// Places to ask before a registry itself, such as ghcr.io=mirror.example:5000/cache; may be repeated
    #[arg(long = "mirror", value_name = "HOST=MIRROR")]
    mirrors: Vec<String>,
    #[command(flatten)]
    certificates: Certificates,
}

/// Where credentials are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Authfile {
    /// File with credentials, in the form of Docker's config.json
    #[arg(long, value_name = "FILE", default_value = DEFAULT_AUTHFILE)]
    pub(crate) authfile: PathBuf,
}

/// Where certificates of single registries are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Certificates {
    /// Folder with HOST[:PORT]/ca.crt, client.cert and client.key
    #[arg(long, env = "IG_CERTS_DIR", value_name = "DIR", default_value = DEFAULT_CERTIFICATES)]
    certs_dir: PathBuf,
}

impl Connection {
    /// The registries to reach over plain HTTP.
    pub(crate) fn insecure(&self) -> &[String] {
        &self.insecure_registries
    }

    /// A client with the credentials of this machine.
    pub(crate) fn registry(&self) -> Result<Registry, Failure> {
        let mut mirrors = Mirrors::default();
        for (registry, mirror) in self.mirrors()? {
            mirrors.add(&registry, &mirror).map_err(|error| Failure::config(error.to_string()))?;
        }
        let sources = CredentialSources {
            authfile: self.authfile.authfile.clone(),
            pull_secret: None,
            environment: AuthEnvironment::of_process(),
        };
        let keychain = Keychain::load(&sources).map_err(|error| of_auth(&error))?;
        let mut options = self.certificates.options();
        options.insecure.clone_from(&self.insecure_registries);
        options.mirrors = mirrors;
        Ok(Registry::new(options, keychain))
    }
}

impl Connection {
    /// The mirrors as `(registry, mirror)`.
    pub(crate) fn mirrors(&self) -> Result<Vec<(String, String)>, Failure> {
        let pair = |text: &String| {
            let (registry, mirror) = text
                .split_once('=')
                .ok_or_else(|| Failure::config(format!("expected a mirror as HOST=MIRROR, got `{text}`")))?;
            Ok((registry.to_owned(), mirror.to_owned()))
        };
        self.mirrors.iter().map(pair).collect()
    }

    /// The credentials file, if it is not the default one.
    pub(crate) fn authfile(&self) -> Option<PathBuf> {
        Some(self.authfile.authfile.clone()).filter(|path| path.as_os_str() != DEFAULT_AUTHFILE)
    }

    /// The folder with certificates.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.certificates.certs_dir.clone()
    }
}

impl Certificates {
    /// Options that know these certificates.
    pub(crate) fn options(&self) -> RegistryOptions {
        let mut options = RegistryOptions::default();
        options.certificates.clone_from(&self.certs_dir);
        options
    }
}

/// Runs what waits for the network.
pub(crate) fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_name("ig-blocking")
        .build()
        .map_err(|error| Failure::new(&error))?;
    runtime.block_on(work)
}

/// A failed transfer, with its hint.
pub(crate) fn of_registry(error: &RegistryError) -> Failure {
    Failure::hinted(error)
}

/// Failed credentials, with their hint.
pub(crate) fn of_auth(error: &AuthError) -> Failure {
    Failure::hinted(error)
}
