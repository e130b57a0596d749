//! The policy in force: every setting from where it counts, and which rule refuses an image.
//!
//! Settings come, weakest first, from the built-in default, the machine's policy file, the runtime configuration, the
//! environment and the command line. If the policy file is locked, what comes after it may only be stricter: fewer
//! keys, fewer registries, more refusals; an attempt to loosen it is an error that names both places. Lists of
//! allowed images then add up as conditions: an image has to pass both.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use ig_config::Position;
use ig_config::policy::{ImagePolicyError, parse};
use ig_files::FileVersion;
use ig_model::Hint;

use super::guarded::{GuardError, Trustee, read};
use super::key::{KeyError, PublicKey};
use super::notation::{Notation, NotationError};
use super::settings::{Material, MaterialError, Origin, Settings, Stated};
use crate::{Digest, ErrorKind, Reference};

mod allow;
#[cfg(test)]
mod tests;

pub use allow::{AllowList, Refusal};

const MAX_POLICY: u64 = 1 << 20;

/// What an administrator's policy file says.
#[derive(Clone, Debug)]
pub struct MachinePolicy {
    settings: Settings,
    locked: Option<Position>,
    file: FileVersion,
}

/// The policy in force.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) verify: Stated<bool>,
    local_builds: Stated<bool>,
    pub(super) keys: Vec<Stated<PublicKey>>,
    pub(super) notation: Option<Notation>,
    allowed: Vec<AllowList>,
    insecure_registries: Vec<String>,
    disallow_pulling: Option<Origin>,
    locked: Option<Position>,
    files: Vec<FileVersion>,
}

/// A policy cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The policy file cannot be read or is open to others. Nothing may run then: it may be there to forbid it.
    #[error("the machine's image policy cannot be used")]
    File(#[source] GuardError),
    /// The policy file is not text.
    #[error("image policy `{0}` is not UTF-8 text")]
    NotText(String),
    /// The policy file has faults.
    #[error(transparent)]
    Document(#[from] ImagePolicyError),
    /// A file with a key, certificate or trust policy cannot be used.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A public key cannot be used.
    #[error("public key at {origin} cannot be used")]
    Key {
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// Certificates or trust policy of notation cannot be used.
    #[error("notation settings at {origin} cannot be used")]
    Notation {
        /// Where they stand.
        origin: Origin,
        /// What is wrong with them.
        #[source]
        source: NotationError,
    },
    /// Certificates were given without a trust policy, or the other way round.
    #[error("notation at {origin} has {has} and no {lacks}; it needs both")]
    HalfNotation {
        /// Where the half stands.
        origin: Origin,
        /// What there is.
        has: &'static str,
        /// What is missing.
        lacks: &'static str,
    },
    /// A setting would loosen a locked policy.
    #[error("{attempt} at {origin} is refused: the image policy is locked at {lock}, and {rule}")]
    Loosened {
        /// What somebody tried.
        attempt: String,
        /// Where.
        origin: Box<Origin>,
        /// Where the policy is locked.
        lock: Box<Position>,
        /// What the policy says instead, with its place.
        rule: String,
    },
}

impl MachinePolicy {
    /// Reads a policy file; `None` if there is none. It must belong to `trustee` or root and be writable by nobody
    /// else.
    ///
    /// # Errors
    /// [`PolicyError`] if there is a file and it cannot be used.
    pub fn read(path: &Path, trustee: Trustee) -> Result<Option<Self>, PolicyError> {
        let content = match read(path, MAX_POLICY, trustee) {
            Ok(content) => content,
            Err(GuardError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(PolicyError::File(error)),
        };
        let name = path.display().to_string();
        let file = content.version();
        let Ok(text) = content.into_text() else { return Err(PolicyError::NotText(name)) };
        let document = parse(&name, &text)?;
        let settings = Settings::of_policy(&document, trustee)?;
        Ok(Some(Self { settings, locked: document.locked, file }))
    }
}

impl Policy {
    /// Joins the machine's policy with the settings of other places, the weakest first.
    ///
    /// # Errors
    /// [`PolicyError::Loosened`] if the machine's policy is locked and one of `layers` wants more than it allows;
    /// others if a key, certificate or trust policy cannot be used.
    pub fn new(
        machine: Option<MachinePolicy>,
        layers: impl IntoIterator<Item = Settings>,
    ) -> Result<Self, PolicyError> {
        let asked = layers.into_iter().fold(Settings::default(), |weaker, layer| layer.over(weaker));
        let mut files: Vec<_> = asked.files().cloned().collect();
        let (machine, locked) = match machine {
            Some(MachinePolicy { settings, locked, file }) => {
                files.extend(settings.files().cloned());
                files.push(file);
                (settings, locked)
            }
            None => (Settings::default(), None),
        };
        let base = machine.over(Settings::built_in());
        let policy = match locked {
            Some(lock) => Self::under_lock(&asked, &base, &lock)?,
            None => Self::of(asked.over(base), Vec::new(), None)?,
        };
        Ok(Self { files, ..policy })
    }

    /// Joins a locked policy with what others ask for.
    fn under_lock(asked: &Settings, base: &Settings, lock: &Position) -> Result<Self, PolicyError> {
        let floor = Self::of(base.clone(), Vec::new(), Some(lock.clone()))?;
        let also_allowed = base.allowed_gadgets.clone().map(AllowList::new);
        let policy = Self::of(
            asked.clone().over(base.clone()),
            also_allowed.into_iter().collect(),
            Some(lock.clone()),
        )?;
        floor.check_not_loosened(&policy, asked, lock)?;
        Ok(policy)
    }

    fn of(
        settings: Settings,
        mut allowed: Vec<AllowList>,
        locked: Option<Position>,
    ) -> Result<Self, PolicyError> {
        let mut keys = Vec::new();
        for Stated { value, origin } in settings.public_keys.into_iter().flat_map(|list| list.value) {
            let text = String::from_utf8_lossy(&value.content);
            let key = PublicKey::from_pem(&text);
            let value = key.map_err(|source| PolicyError::Key { origin: origin.clone(), source })?;
            keys.push(Stated { value, origin });
        }
        if let Some(list) = settings.allowed_gadgets.map(AllowList::new)
            && !allowed.contains(&list)
        {
            allowed.push(list);
        }
        let registries = settings.insecure_registries.into_iter().flat_map(|list| list.value);
        Ok(Self {
            verify: settings.verify.unwrap_or(Stated::new(true, Origin::BuiltIn)),
            local_builds: settings.local_builds.unwrap_or(Stated::new(true, Origin::BuiltIn)),
            keys,
            notation: notation(settings.notation_certificates, settings.notation_trust_policy)?,
            allowed,
            insecure_registries: registries.map(|registry| registry.value).collect(),
            disallow_pulling: settings.disallow_pulling.filter(|flag| flag.value).map(|flag| flag.origin),
            locked,
            files: Vec::new(),
        })
    }

    /// The files that it was made from, as they were read.
    pub fn files(&self) -> &[FileVersion] {
        &self.files
    }

    /// Compares what came out with this policy, which it may not be looser than.
    fn check_not_loosened(&self, other: &Self, asked: &Settings, lock: &Position) -> Result<(), PolicyError> {
        let refuse = |attempt: &str, origin: &Origin, rule: String| {
            let (origin, lock) = (Box::new(origin.clone()), Box::new(lock.clone()));
            Err(PolicyError::Loosened { attempt: attempt.to_owned(), origin, lock, rule })
        };
        if self.verify.value && !other.verify.value {
            let rule = format!("{} says that images must be verified", self.verify.origin);
            return refuse("switching verification off", &other.verify.origin, rule);
        }
        if !self.local_builds.value && other.local_builds.value {
            let rule =
                format!("{} says that images built here must be signed as well", self.local_builds.origin);
            return refuse("trusting images built here", &other.local_builds.origin, rule);
        }
        let known: BTreeSet<Digest> = self.keys.iter().map(|key| key.value.fingerprint()).collect();
        if let Some(key) = other.keys.iter().find(|key| !known.contains(&key.value.fingerprint())) {
            let rule = format!("public key {} is not among its {}", key.value.fingerprint(), known.len());
            return refuse("another public key", &key.origin, rule);
        }
        let trusted: BTreeSet<Digest> = self.notation.iter().flat_map(Notation::fingerprints).collect();
        let added = other.notation.iter().flat_map(Notation::fingerprints).find(|one| !trusted.contains(one));
        if let (Some(added), Some(list)) = (added, &asked.notation_certificates) {
            let rule = format!("certificate {added} is not among its {}", trusted.len());
            return refuse("another certificate", &list.origin, rule);
        }
        let trust_policy = |policy: &Self| policy.notation.as_ref().map(|notation| notation.policy().clone());
        if let Some(stated) = &asked.notation_trust_policy
            && other.notation.is_some()
            && trust_policy(self) != trust_policy(other)
        {
            return refuse(
                "another trust policy",
                &stated.origin,
                "only its own trust policy counts".to_owned(),
            );
        }
        let added = other.insecure_registries.iter().find(|one| !self.insecure_registries.contains(one));
        if let (Some(added), Some(list)) = (added, &asked.insecure_registries) {
            let added: String = added.chars().take(100).collect();
            let rule = format!("`{added}` is not among its insecure-registries");
            return refuse("another insecure registry", &list.origin, rule);
        }
        if let (Some(rule), None, Some(flag)) =
            (&self.disallow_pulling, &other.disallow_pulling, &asked.disallow_pulling)
        {
            return refuse("allowing to pull", &flag.origin, format!("{rule} disallows it"));
        }
        Ok(())
    }

    /// The setting that lets images built on this machine run without a signature, if it does.
    pub fn trusts_local_builds(&self) -> Option<&Origin> {
        self.local_builds.value.then_some(&self.local_builds.origin)
    }

    /// Whether the image may be asked for at a registry, as far as its name tells.
    ///
    /// # Errors
    /// [`Refusal`] names the rule. An image that passes may still be refused by [`Policy::may_run`].
    pub fn may_pull(&self, reference: &Reference) -> Result<(), Refusal> {
        if let Some(origin) = &self.disallow_pulling {
            return Err(Refusal::pulling(reference, origin));
        }
        self.allowed.iter().try_for_each(|list| list.check_name(reference))
    }

    /// Whether the image with this index may run, leaving signatures aside.
    ///
    /// # Errors
    /// [`Refusal`] names the rule.
    pub fn may_run(&self, reference: &Reference, digest: Digest) -> Result<(), Refusal> {
        Refusal::unless_named_by(reference, digest)?;
        self.allowed.iter().try_for_each(|list| list.check(reference, digest))
    }

    /// The registries that may be reached over plain HTTP, `host` or `host:port`.
    pub fn insecure_registries(&self) -> &[String] {
        &self.insecure_registries
    }

    /// Whether images must carry a valid signature, and where that stands.
    pub fn requires_signatures(&self) -> &Stated<bool> {
        &self.verify
    }

    /// Where the policy is locked, if it is.
    pub fn locked(&self) -> Option<&Position> {
        self.locked.as_ref()
    }
}

fn notation(
    certificates: Option<Stated<Vec<Stated<Material>>>>,
    policy: Option<Stated<Material>>,
) -> Result<Option<Notation>, PolicyError> {
    let half = |origin, has, lacks| Err(PolicyError::HalfNotation { origin, has, lacks });
    // An empty list that somebody wrote switches notation off.
    if certificates.as_ref().is_some_and(|list| list.value.is_empty()) {
        return Ok(None);
    }
    let policy = policy.filter(|text| !text.value.content.is_empty());
    match (certificates, policy) {
        (None, None) => Ok(None),
        (Some(list), None) => half(list.origin, "certificates", "trust policy"),
        (None, Some(text)) => half(text.origin, "a trust policy", "certificates"),
        (Some(list), Some(text)) => {
            let certificates: Vec<_> = list.value.into_iter().map(|item| item.value.content).collect();
            let notation = Notation::new(&certificates, &String::from_utf8_lossy(&text.value.content));
            let origin = |error: &NotationError| match error {
                NotationError::Policy(_) => text.origin,
                _ => list.origin,
            };
            notation.map(Some).map_err(|source| PolicyError::Notation { origin: origin(&source), source })
        }
    }
}

impl PolicyError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) | Self::Material(MaterialError { source: error, .. }) => error.kind(),
            Self::Loosened { .. } => ErrorKind::PermissionDenied,
            _ => ErrorKind::InvalidInput,
        }
    }

    /// The file that cannot be read, if one is to blame.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(error) | Self::Material(MaterialError { source: error, .. }) => Some(error.path()),
            _ => None,
        }
    }
}

impl Hint for PolicyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::File(error) | Self::Material(MaterialError { source: error, .. }) => error.hint(),
            Self::Key { source, .. } => source.hint(),
            Self::Loosened { .. } => {
                Some("leave the setting out, or ask whoever administers this machine".into())
            }
            _ => None,
        }
    }
}
