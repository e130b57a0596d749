//! Registries: fetching images with their signatures into the store, and sending them out.
//!
//! Everything a registry says is hostile until its digest is checked, and bounded before it is read: see the store's
//! [`Limits`](crate::store::Limits). Credentials go to the registry they belong to and to no other host. Plain HTTP is
//! spoken only where it was asked for, and without credentials. Certificates are always verified.
//!
//! What a pull has stored when it breaks off stays: the next one goes on from there.

use std::path::PathBuf;

use futures_util::FutureExt as _;
use ig_files::FileVersion;

use crate::auth::{Credentials, Keychain};
use crate::{Digest, Reference};

mod blob;
mod challenge;
mod document;
mod endpoint;
mod error;
mod http;
mod progress;
mod pull;
mod push;
mod retry;
mod signatures;
mod tls;
mod token;
mod upload;

pub use endpoint::Mirrors;
use endpoint::Repository;
pub use error::RegistryError;
pub use http::Patience;
use http::{Call, CredentialSource, Http};
pub use progress::{Progress, TransferEvent};
pub use pull::{PullOptions, Pulled};
pub use push::{PushOptions, Pushed};
use token::Action;

/// Where certificates of single registries are looked for.
pub const DEFAULT_CERTIFICATES: &str = "/etc/ig/certs.d";

/// How registries are reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// Registries, as `host[:port]`, that are reached over plain HTTP and without credentials.
    pub insecure: Vec<String>,
    /// What is asked before a registry itself.
    pub mirrors: Mirrors,
    /// A folder with `<host[:port]>/{*.crt,client.cert,client.key}`.
    pub certificates: PathBuf,
    /// How long things may take.
    pub patience: Patience,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Mirrors::default(),
            certificates: DEFAULT_CERTIFICATES.into(),
            patience: Patience::default(),
        }
    }
}

/// Talks to registries.
#[derive(Debug)]
pub struct Registry {
    http: Http,
    mirrors: Mirrors,
}

impl Registry {
    /// A client with the given credentials.
    pub fn new(options: RegistryOptions, keychain: Keychain) -> Self {
        Self::with(options, CredentialSource::Keychain(keychain))
    }

    /// The files that its credentials come from, as they were read. Certificates are read anew for each request.
    pub fn files(&self) -> &[FileVersion] {
        match &self.http.credentials {
            CredentialSource::Keychain(keychain) => keychain.files(),
            CredentialSource::Given(_) => &[],
        }
    }

    fn with(options: RegistryOptions, credentials: CredentialSource) -> Self {
        let certificates = tls::Certificates::new(options.certificates);
        Self {
            http: Http::new(options.patience, credentials, options.insecure, certificates),
            mirrors: options.mirrors,
        }
    }

    /// The digest that an image's name leads to now; nothing is stored.
    ///
    /// # Errors
    /// [`RegistryError`] if neither the registry nor a mirror can tell.
    pub async fn resolve(&self, reference: &Reference) -> Result<Digest, RegistryError> {
        if let Some(digest) = reference.digest() {
            return Ok(digest);
        }
        let sources = self.sources(reference);
        let limit = crate::store::Limits::default().document;
        let name = pull::remote_name(reference);
        let ask = |source| self.http.digest(source, &name, limit).boxed();
        pull::from_first(reference, &sources, ask).await.map(|(_, digest)| digest)
    }

    /// Checks that a registry lets the user in.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry cannot be reached or refuses.
    pub async fn check_login(
        options: RegistryOptions,
        registry: &str,
        credentials: Credentials,
    ) -> Result<(), RegistryError> {
        let this = Self::with(options, CredentialSource::Given(credentials));
        let repository = Repository::registry(registry, this.http.is_plain(registry));
        let call = Call::new(::http::Method::GET, repository.ping_url()?, &repository, Action::Pull);
        this.http.call(&call).await.map(drop)
    }

    /// Whether `registry` is a registry's name, `host[:port]`.
    ///
    /// # Errors
    /// [`RegistryError`] if it is not; the message says what is expected.
    pub fn check_name(registry: &str) -> Result<(), RegistryError> {
        Mirrors::default().add(registry, registry)
    }

    fn sources(&self, reference: &Reference) -> Vec<Repository> {
        self.mirrors.sources(reference, |host| self.http.is_plain(host))
    }
}
