//! Docker's `config.json`, as far as it concerns credentials.
//!
//! A key is a registry, or a registry and a folder of repositories (`host/team`), and counts for what is in it alone;
//! the longest one that covers a repository decides. Docker's old keys are addresses: `https://host/v1/` is the whole
//! host. What programs write where they have nothing to say, such as `null` or an empty file, says nothing.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ig_files::{Content, FileVersion, read_bounded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::{AuthError, Credentials, Secret};

/// The name under which Docker Hub's credentials are asked for.
pub(super) const DOCKER_HUB: &str = "index.docker.io";
/// The key under which Docker itself keeps them.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The most bytes such a file may have.
const LIMIT: u64 = 1 << 20;

/// The parts of the file that are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Document {
    #[serde(deserialize_with = "nullable")]
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(deserialize_with = "nullable")]
    cred_helpers: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "nullable")]
    creds_store: String,
}

/// What a key of the file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    /// The registry, by the name that its credentials are filed under.
    pub(super) server: &'a str,
    /// A folder of repositories, or a repository; empty for the whole registry.
    pub(super) path: &'a str,
}

/// What was found for a repository, and the key that it stands under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a, T> {
    pub(super) scope: Scope<'a>,
    pub(super) value: T,
}

/// One registry's credentials; which members are set depends on the program that wrote them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    #[serde(deserialize_with = "nullable")]
    auth: SecretText,
    #[serde(deserialize_with = "nullable")]
    username: String,
    #[serde(deserialize_with = "nullable")]
    password: SecretText,
    #[serde(deserialize_with = "nullable")]
    identitytoken: SecretText,
}

/// What is `null` is as good as absent.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "<none>" } else { "<secret>" })
    }
}

impl Document {
    /// Reads a file and adds how it was read to `files`; `None` if it does not exist.
    pub(super) fn read(path: &Path, files: &mut Vec<FileVersion>) -> Result<Option<Self>, AuthError> {
        let content = read_file(path)?;
        let missing = || FileVersion::unread(path, ErrorKind::NotFound);
        files.push(content.as_ref().map_or_else(missing, Content::version));
        content.map(|content| Self::parse(content.bytes(), path)).transpose()
    }

    /// Reads a file that nobody asked for: one that belongs to others, as root's does for a collector that has
    /// capabilities instead, is told and left alone.
    pub(super) fn read_if_ours(path: &Path, files: &mut Vec<FileVersion>) -> Result<Option<Self>, AuthError> {
        match Self::read(path, files) {
            Err(AuthError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                tracing::warn!(
                    name: "registry.credentials.unreadable",
                    path = %path.display(),
                    "this user may not read the credentials; registries are asked without"
                );
                files.push(FileVersion::unread(path, ErrorKind::PermissionDenied));
                Ok(None)
            }
            other => other,
        }
    }

    /// Understands the content of `path`.
    pub(super) fn parse(content: &[u8], path: &Path) -> Result<Self, AuthError> {
        object(content, path)
    }

    /// The entry that covers a repository.
    pub(super) fn entry<'a>(&'a self, registry: &'a str, repository: &str) -> Option<Found<'a, &'a Entry>> {
        let found = longest(&self.auths, registry, repository)?;
        Some(Found { scope: found.scope, value: found.value.as_ref()? })
    }

    /// The helper that keeps the credentials for a repository.
    pub(super) fn helper<'a>(&'a self, registry: &'a str, repository: &str) -> Option<Found<'a, &'a str>> {
        let own = longest(&self.cred_helpers, registry, repository)
            .and_then(|found| Some(Found { scope: found.scope, value: found.value.as_deref()? }));
        let scope = Scope { server: server_name(registry), path: "" };
        own.or(Some(Found { scope, value: &*self.creds_store })).filter(|found| !found.value.is_empty())
    }
}

/// The value under the key that covers the repository and is the longest; of equal ones the one that is no address.
fn longest<'a, T>(
    map: &'a BTreeMap<String, T>,
    registry: &str,
    repository: &str,
) -> Option<Found<'a, &'a T>> {
    let covering = map.iter().filter_map(|(key, value)| {
        let scope = Scope::of(key);
        let is_address = key.contains("://");
        scope.covers(registry, repository).then_some((scope.path.len(), !is_address, scope, value))
    });
    let (_, _, scope, value) = covering.max_by_key(|(length, plain, ..)| (*length, *plain))?;
    Some(Found { scope, value })
}

impl<'a> Scope<'a> {
    /// What `key` covers.
    pub(super) fn of(key: &'a str) -> Self {
        let (is_address, rest) = match key.split_once("://") {
            Some(("http" | "https", rest)) => (true, rest),
            _ => (false, key),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The versions of Docker's protocol; without address and slash it is a folder of that name.
        let is_version = matches!(path, "v1/" | "v2/") || is_address && matches!(path, "v1" | "v2");
        let path = if is_version { "" } else { path.trim_end_matches('/') };
        Self { server: server_name(host), path }
    }

    /// Whether it is the registry's, and the repository is in it.
    fn covers(&self, registry: &str, repository: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.server.eq_ignore_ascii_case(server_name(registry))
            && (self.path.is_empty() || repository.strip_prefix(self.path).is_some_and(below))
    }
}

impl Entry {
    /// Whether it says nothing, as a helper leaves it behind.
    pub(super) fn is_empty(&self) -> bool {
        let Self { auth, username, password, identitytoken } = self;
        [&auth.0, username, &password.0, &identitytoken.0].into_iter().all(String::is_empty)
    }

    /// The credentials, or `None` for an entry without any, as a helper leaves them behind.
    pub(super) fn credentials(&self, registry: &str) -> Result<Option<Credentials>, AuthError> {
        if !self.identitytoken.0.is_empty() {
            return Ok(Some(Credentials::IdentityToken(Secret::new(&*self.identitytoken.0))));
        }
        let (username, password) = if self.auth.0.is_empty() {
            (self.username.clone(), self.password.0.clone())
        } else {
            decode(&self.auth.0).ok_or_else(|| AuthError::BadEntry { registry: registry.to_owned() })?
        };
        if username.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credentials::Password { username, password: Secret::new(password) }))
    }
}

/// The name that credentials of `registry` are filed under.
pub(super) fn server_name(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// Understands a JSON object; nothing at all is an empty one.
pub(super) fn object<T: DeserializeOwned + Default>(content: &[u8], path: &Path) -> Result<T, AuthError> {
    if content.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    let read: Result<Option<T>, _> = serde_json::from_slice(content);
    read.map(Option::unwrap_or_default).map_err(|error| malformed(path, &error))
}

/// Reads a file whole if it is a regular one of bearable size; `None` if it does not exist.
pub(super) fn read_file(path: &Path) -> Result<Option<Content>, AuthError> {
    match read_bounded(path, LIMIT) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(AuthError::Io { action: "read", path: path.to_owned(), source: error.into_cause() })
        }
    }
}

/// Tells where the fault is; serde's own message may quote a password.
fn malformed(path: &Path, error: &serde_json::Error) -> AuthError {
    AuthError::Malformed { path: path.to_owned(), line: error.line(), column: error.column() }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_matches('\0').to_owned()))
}
