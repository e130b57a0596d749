//! Credentials for registries: where they are looked for, and where a login keeps them.
//!
//! The files are Docker's `config.json`, so that a login by any other program counts here and the other way round.
//! A secret never shows in `Debug` output, in a log line or in an error.

use std::path::{Path, PathBuf};

mod document;
mod error;
mod helper;
mod login;
#[cfg(test)]
mod tests;

use document::{Document, Found, Scope};
pub use error::AuthError;
use ig_files::FileVersion;
pub use ig_model::Secret;
use ig_model::environment;
pub use login::Logins;

/// Where the collector keeps credentials unless told otherwise.
pub const DEFAULT_AUTHFILE: &str = "/var/lib/ig/config.json";

/// What a client shows to a registry to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The user's name.
        username: String,
        /// The password, or a token that stands for one.
        password: Secret,
    },
    /// A token that is exchanged for short-lived ones.
    IdentityToken(Secret),
}

/// Where credentials are looked for.
#[derive(Clone, Debug)]
pub struct CredentialSources {
    /// A file in the form of Docker's `config.json`. One that is missing, or that this user may not read, is an error
    /// unless it is [`DEFAULT_AUTHFILE`], in whose place others are tried.
    pub authfile: PathBuf,
    /// The content of such a file from elsewhere, such as a Kubernetes secret; it replaces every file.
    pub pull_secret: Option<Secret>,
    /// The environment variables that matter.
    pub environment: AuthEnvironment,
}

/// The environment variables that other programs of this kind read, too.
#[derive(Clone, Debug, Default)]
pub struct AuthEnvironment {
    /// `DOCKER_AUTH_CONFIG`: the content of a file; its entries win over those of any file.
    pub docker_auth_config: Option<Secret>,
    /// `REGISTRY_AUTH_FILE`: a file in place of a missing default one.
    pub registry_auth_file: Option<PathBuf>,
    /// `DOCKER_CONFIG`: the folder of Docker's file.
    pub docker_config: Option<PathBuf>,
    /// `HOME`: its `.docker` is the folder of Docker's file otherwise.
    pub home: Option<PathBuf>,
}

/// The credentials that were found.
#[derive(Clone, Debug, Default)]
pub struct Keychain {
    environment: Option<Document>,
    file: Option<Document>,
    files: Vec<FileVersion>,
}

impl Default for CredentialSources {
    /// The default file and this process's environment.
    fn default() -> Self {
        Self {
            authfile: DEFAULT_AUTHFILE.into(),
            pull_secret: None,
            environment: AuthEnvironment::of_process(),
        }
    }
}

impl AuthEnvironment {
    /// Reads the variables of this process; empty ones count as absent.
    pub fn of_process() -> Self {
        let path = |name| environment::variable(name).map(PathBuf::from);
        Self {
            docker_auth_config: environment::text("DOCKER_AUTH_CONFIG").map(Secret::new),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            docker_config: path("DOCKER_CONFIG"),
            home: path("HOME"),
        }
    }

    /// Docker's own file.
    fn docker_file(&self) -> Option<PathBuf> {
        let folder = self.docker_config.clone().or_else(|| Some(self.home.as_ref()?.join(".docker")));
        folder.map(|folder| folder.join("config.json"))
    }
}

impl Keychain {
    /// Reads what `sources` name.
    ///
    /// # Errors
    /// [`AuthError`] if a file that was asked for is missing, or one that exists cannot be read or understood.
    pub fn load(sources: &CredentialSources) -> Result<Self, AuthError> {
        Self::load_beside(sources, Path::new(DEFAULT_AUTHFILE))
    }

    /// [`Keychain::load`] where nobody asked for `default`.
    fn load_beside(sources: &CredentialSources, default: &Path) -> Result<Self, AuthError> {
        let environment = match &sources.environment.docker_auth_config {
            Some(text) => Some(Document::parse(text.expose().as_bytes(), Path::new("$DOCKER_AUTH_CONFIG"))?),
            None => None,
        };
        if let Some(secret) = &sources.pull_secret {
            let file = Some(Document::parse(secret.expose().as_bytes(), Path::new("the pull secret"))?);
            return Ok(Self { environment, file, files: Vec::new() });
        }
        let mut files = Vec::new();
        if sources.authfile != default {
            let missing = || AuthError::Missing { path: sources.authfile.clone() };
            let file = Document::read(&sources.authfile, &mut files)?.ok_or_else(missing)?;
            return Ok(Self { environment, file: Some(file), files });
        }
        let mut file = Document::read_if_ours(default, &mut files)?;
        if file.is_none() {
            file = match (&sources.environment.registry_auth_file, sources.environment.docker_file()) {
                (Some(named), _) => Document::read(named, &mut files)?,
                (None, Some(usual)) => Document::read_if_ours(&usual, &mut files)?,
                (None, None) => None,
            };
        }
        Ok(Self { environment, file, files })
    }

    /// The files that were looked for, as they were read; also those that were missing.
    pub fn files(&self) -> &[FileVersion] {
        &self.files
    }

    /// The credentials for a `repository` of `registry`, a `host[:port]`; `None` means anonymous access.
    ///
    /// Those of the longest key that covers the repository count: `host/team/x` before `host/team` before `host`.
    ///
    /// # Errors
    /// [`AuthError`] if an entry is malformed or a credential helper fails.
    pub async fn credentials(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, AuthError> {
        let environment = self.environment.as_ref();
        if let Some(found) = environment.and_then(|document| document.entry(registry, repository)) {
            return found.value.credentials(registry);
        }
        let Some(file) = &self.file else { return Ok(None) };
        let entry = file.entry(registry, repository);
        let Some(Found { scope: Scope { server, path }, value: name }) = file.helper(registry, repository)
        else {
            return entry.map_or(Ok(None), |found| found.value.credentials(registry));
        };
        if let Some(found) = entry
            && found.scope.path.len() > path.len()
            && !found.value.is_empty()
        {
            return found.value.credentials(registry);
        }
        if !path.is_empty() {
            return helper::get(name, &format!("{server}/{path}")).await;
        }
        let found = helper::get(name, server).await?;
        if found.is_some() || server != document::DOCKER_HUB {
            return Ok(found);
        }
        helper::get(name, document::DOCKER_HUB_KEY).await
    }
}
