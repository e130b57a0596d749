//! The file that `ig login` writes and `ig logout` clears.
//!
//! Everything in the file that concerns something else is kept. It is replaced as a whole, readable for its owner
//! only; a link in its place is followed, since a mounted secret is often reached through one.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::document::{self, DOCKER_HUB, DOCKER_HUB_KEY, Document, Scope, server_name};
use super::{AuthError, Credentials, helper};

/// The logins kept in one file, and with the helpers that the file names.
#[derive(Debug)]
pub struct Logins {
    path: PathBuf,
}

impl Logins {
    /// The logins of the file in `path`, which need not exist yet.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Keeps credentials for `registry`, with the helper the file names for it or else in the file itself.
    ///
    /// # Errors
    /// [`AuthError`] if the file cannot be read, understood or written, or the helper refuses.
    pub async fn add(&self, registry: &str, credentials: &Credentials) -> Result<(), AuthError> {
        let (mut whole, document) = self.read()?;
        let key = key_of(registry);
        let entry = match document.helper(registry, "") {
            Some(found) => {
                helper::store(found.value, key, credentials).await?;
                json!({})
            }
            None => match credentials {
                Credentials::Password { username, password } => {
                    json!({"auth": STANDARD.encode(format!("{username}:{}", password.expose()))})
                }
                Credentials::IdentityToken(token) => json!({"identitytoken": token.expose()}),
            },
        };
        let auths = whole.entry("auths").or_insert_with(|| json!({}));
        match auths.as_object_mut() {
            Some(auths) => drop(auths.insert(key.to_owned(), entry)),
            None => *auths = json!({ key: entry }),
        }
        self.write(&whole)
    }

    /// Forgets the credentials for `registry`; those of single folders of it, which no login writes, stay.
    ///
    /// # Errors
    /// [`AuthError::NotLoggedIn`] if there are none; others if the file or the helper fails.
    pub async fn remove(&self, registry: &str) -> Result<(), AuthError> {
        let (mut whole, document) = self.read()?;
        let whole_registry = Scope { server: server_name(registry), path: "" };
        let mut known = false;
        if let Some(found) = document.helper(registry, "") {
            known = helper::erase(found.value, key_of(registry)).await?;
        }
        if let Some(auths) = whole.get_mut("auths").and_then(Value::as_object_mut) {
            let before = auths.len();
            auths.retain(|key, _| Scope::of(key) != whole_registry);
            if auths.len() != before {
                known = true;
                self.write(&whole)?;
            }
        }
        if known { Ok(()) } else { Err(AuthError::NotLoggedIn { registry: registry.to_owned() }) }
    }

    /// Forgets the credentials for every registry that the file knows.
    ///
    /// # Errors
    /// As for [`Logins::remove`]; a file without logins is not an error.
    pub async fn remove_all(&self) -> Result<(), AuthError> {
        let (mut whole, document) = self.read()?;
        let Some(auths) = whole.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(()) };
        for key in auths.keys() {
            let Scope { server, path } = Scope::of(key);
            if let Some(found) = document.helper(server, path) {
                helper::erase(found.value, key).await?;
            }
        }
        auths.clear();
        self.write(&whole)
    }

    fn read(&self) -> Result<(Map<String, Value>, Document), AuthError> {
        let Some(content) = document::read_file(&self.path)? else {
            return Ok((Map::new(), Document::default()));
        };
        Ok((document::object(content.bytes(), &self.path)?, Document::parse(content.bytes(), &self.path)?))
    }

    fn write(&self, whole: &Map<String, Value>) -> Result<(), AuthError> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_missing| self.path.clone());
        replace(&target, whole).map_err(|source| AuthError::Io { action: "write", path: target, source })
    }
}

/// The key that Docker uses, too.
fn key_of(registry: &str) -> &str {
    match server_name(registry) {
        DOCKER_HUB => DOCKER_HUB_KEY,
        other => other,
    }
}

fn replace(target: &Path, whole: &Map<String, Value>) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut content = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    whole.serialize(&mut serde_json::Serializer::with_formatter(&mut content, tabs))?;
    let mut file = tempfile::Builder::new()
        .prefix(".config.json.")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(&content)?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}
