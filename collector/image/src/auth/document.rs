//! Docker's `config.json`, as far as it concerns credentials.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ig_files::{Content, FileVersion, read_bounded};
use serde::Deserialize;

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
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

/// One registry's credentials; which members are set depends on the program that wrote them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    auth: SecretText,
    username: String,
    password: SecretText,
    identitytoken: SecretText,
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

    /// Understands the content of `path`.
    pub(super) fn parse(content: &[u8], path: &Path) -> Result<Self, AuthError> {
        serde_json::from_slice(content).map_err(|error| malformed(path, &error))
    }

    /// The entry for a registry: by its name, else by a key that is a URL of the same host.
    pub(super) fn entry(&self, registry: &str) -> Option<&Entry> {
        let server = server_name(registry);
        let by_host = || self.auths.iter().find(|(key, _)| host_of(key) == server).map(|(_, entry)| entry);
        self.auths.get(server).or_else(by_host)
    }

    /// The helper that keeps a registry's credentials.
    pub(super) fn helper(&self, server: &str) -> Option<&str> {
        let by_host = || self.cred_helpers.iter().find(|(key, _)| host_of(key) == server);
        let own = self.cred_helpers.get(server).or_else(|| by_host().map(|(_, name)| name));
        own.or(Some(&self.creds_store)).map(String::as_str).filter(|name| !name.is_empty())
    }
}

impl Entry {
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

/// Reduces a key such as `https://host:port/v1/` to `host:port`.
pub(super) fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split_once('/').map_or(rest, |(host, _)| host)
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
pub(super) fn malformed(path: &Path, error: &serde_json::Error) -> AuthError {
    AuthError::Malformed { path: path.to_owned(), line: error.line(), column: error.column() }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_matches('\0').to_owned()))
}
