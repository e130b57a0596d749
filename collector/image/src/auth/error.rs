//! What can go wrong with credentials; none of it quotes a secret.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use ig_model::Hint;

use crate::ErrorKind;

/// Credentials cannot be read, understood or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The file that was asked for does not exist.
    #[error("credentials file `{path}` does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("failed to {action} credentials file `{path}`")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The content is not what Docker's `config.json` looks like; the fault is told without the content.
    #[error("failed to read `{path}` as a Docker configuration: fault in line {line}, column {column}")]
    Malformed {
        /// The file or variable.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// The `auth` of an entry is not base64 of `name:password`.
    #[error("the entry for `{registry}` has an `auth` that is not base64 of `name:password`")]
    BadEntry {
        /// The registry.
        registry: String,
    },
    /// The name of a credential helper would lead outside the search path.
    #[error("`{name}` is not a name of a credential helper")]
    HelperName {
        /// The name as configured.
        name: String,
    },
    /// The helper cannot be started or spoken to.
    #[error("failed to run credential helper `docker-credential-{name}`")]
    HelperRun {
        /// The helper.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The helper ran and reported a failure or nonsense.
    #[error("credential helper `docker-credential-{name}` failed to {action}: {problem}")]
    Helper {
        /// The helper.
        name: String,
        /// What was asked of it.
        action: &'static str,
        /// What it said or did.
        problem: String,
    },
    /// Logging out of a registry that nobody is logged in to.
    #[error("not logged in to `{registry}`")]
    NotLoggedIn {
        /// The registry.
        registry: String,
    },
}

impl AuthError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::NotLoggedIn { .. } => ErrorKind::NotFound,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::HelperRun { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::MissingTool
            }
            Self::HelperRun { .. } | Self::Helper { .. } => ErrorKind::Io,
            Self::Malformed { .. } | Self::BadEntry { .. } | Self::HelperName { .. } => {
                ErrorKind::InvalidInput
            }
        }
    }
}

impl AuthError {
    /// The file that cannot be used, if one is to blame.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Missing { path } | Self::Io { path, .. } | Self::Malformed { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl Hint for AuthError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing { .. } => Some("create it with `ig login REGISTRY --authfile FILE`".into()),
            Self::Io { .. } if self.kind() == ErrorKind::PermissionDenied => {
                Some("run as root, or name a file of your own with --authfile".into())
            }
            Self::HelperRun { name, .. } if self.kind() == ErrorKind::MissingTool => Some(
                format!(
                    "install `docker-credential-{name}`, or take it out of `credsStore` and `credHelpers`"
                )
                .into(),
            ),
            Self::BadEntry { registry } => Some(format!("log in again with `ig login {registry}`").into()),
            _ => None,
        }
    }
}
