//! What one place asks for: a policy file, a configuration, the environment, a flag.
//!
//! Every value knows where it stands, so that a refusal can name it.

use std::fmt;
use std::path::{Path, PathBuf};

use ig_config::Position;
use ig_config::policy::{self, At, ImagePolicy};
use ig_files::FileVersion;

use super::guarded::{GuardError, Trustee, read};
use super::key::OFFICIAL_KEY;
use crate::ErrorKind;

/// Most bytes of a key, a certificate file or a trust policy.
const MAX_MATERIAL: u64 = 1 << 20;

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    BuiltIn,
    /// In a file.
    At(Position),
    /// On the command line, under this name.
    Flag(String),
    /// In the environment, under this name.
    Environment(String),
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub origin: Origin,
}

/// A key, a certificate or a document, and where it was read if it is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    pub(super) content: Vec<u8>,
    file: Option<(FileVersion, Trustee)>,
}

/// What one place asks for; what is `None` it leaves to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether images must carry a valid signature.
    pub verify: Option<Stated<bool>>,
    /// Whether an image that was built on this machine runs without a signature.
    pub local_builds: Option<Stated<bool>>,
    /// Public keys as PEM texts.
    pub public_keys: Option<Stated<Vec<Stated<Material>>>>,
    /// Certificates as PEM texts or DER.
    pub notation_certificates: Option<Stated<Vec<Stated<Material>>>>,
    /// The trust policy document.
    pub notation_trust_policy: Option<Stated<Material>>,
    /// Images that may run.
    pub allowed_gadgets: Option<Stated<Vec<Stated<String>>>>,
    /// Registries that may be reached over plain HTTP.
    pub insecure_registries: Option<Stated<Vec<Stated<String>>>>,
    /// Whether no image may be pulled.
    pub disallow_pulling: Option<Stated<bool>>,
}

/// A file that a setting names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to read what {origin} names")]
pub struct MaterialError {
    pub(super) origin: Origin,
    #[source]
    pub(super) source: GuardError,
}

impl MaterialError {
    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

impl<T> Stated<T> {
    /// A value that stands at `origin`.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

impl Settings {
    /// What holds where nobody says anything: images must be signed with the official key.
    pub fn built_in() -> Self {
        let key = Stated::new(OFFICIAL_KEY.as_bytes().to_vec().into(), Origin::BuiltIn);
        Self {
            verify: Some(Stated::new(true, Origin::BuiltIn)),
            public_keys: Some(Stated::new(vec![key], Origin::BuiltIn)),
            ..Self::default()
        }
    }

    /// The settings of a policy document. The files it names must be as well guarded as it is, by `trustee`.
    ///
    /// # Errors
    /// [`MaterialError`] if a file that it names cannot be read or is open to others.
    pub fn of_policy(policy: &ImagePolicy, trustee: Trustee) -> Result<Self, MaterialError> {
        let material = |item: &At<policy::Material>| {
            let origin = Origin::At(item.at.cloned());
            match &item.value {
                policy::Material::Text(text) => Ok(Stated::new(text.clone().into_bytes().into(), origin)),
                policy::Material::File(path) => Material::read(path, trustee, origin),
            }
        };
        let materials = |list: &At<Vec<At<policy::Material>>>| {
            let items: Result<Vec<_>, _> = list.value.iter().map(material).collect();
            Ok(Stated::new(items?, Origin::At(list.at.cloned())))
        };
        let flag = |value: &At<bool>| Stated::new(value.value, Origin::At(value.at.cloned()));
        let texts = |list: &At<Vec<At<String>>>| {
            let items = list.value.iter();
            let items = items.map(|item| Stated::new(item.value.clone(), Origin::At(item.at.cloned())));
            Stated::new(items.collect(), Origin::At(list.at.cloned()))
        };
        Ok(Self {
            verify: policy.verify.as_ref().map(flag),
            local_builds: policy.local_builds.as_ref().map(flag),
            public_keys: policy.public_keys.as_ref().map(materials).transpose()?,
            notation_certificates: policy.notation_certificates.as_ref().map(materials).transpose()?,
            notation_trust_policy: policy.notation_trust_policy.as_ref().map(material).transpose()?,
            allowed_gadgets: policy.allowed_gadgets.as_ref().map(texts),
            insecure_registries: policy.insecure_registries.as_ref().map(texts),
            disallow_pulling: policy.disallow_pulling.as_ref().map(flag),
        })
    }

    /// The same settings with the files that they name read again.
    ///
    /// # Errors
    /// [`MaterialError`] if one of them cannot be read now.
    pub fn read_again(&self) -> Result<Self, MaterialError> {
        let mut settings = self.clone();
        for material in settings.materials_mut() {
            if let Some((file, trustee)) = &material.value.file {
                *material = Material::read(&file.path, *trustee, material.origin.clone())?;
            }
        }
        Ok(settings)
    }

    /// The files that they name, as they were read.
    pub fn files(&self) -> impl Iterator<Item = &FileVersion> {
        let lists = [&self.public_keys, &self.notation_certificates].into_iter().flatten();
        let listed = lists.flat_map(|list| &list.value).chain(&self.notation_trust_policy);
        listed.filter_map(|material| material.value.file.as_ref().map(|(file, _)| file))
    }

    fn materials_mut(&mut self) -> impl Iterator<Item = &mut Stated<Material>> {
        let lists = [&mut self.public_keys, &mut self.notation_certificates].into_iter().flatten();
        lists.flat_map(|list| &mut list.value).chain(&mut self.notation_trust_policy)
    }

    /// These settings, and those of `weaker` where these are silent.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            verify: self.verify.or(weaker.verify),
            local_builds: self.local_builds.or(weaker.local_builds),
            public_keys: self.public_keys.or(weaker.public_keys),
            notation_certificates: self.notation_certificates.or(weaker.notation_certificates),
            notation_trust_policy: self.notation_trust_policy.or(weaker.notation_trust_policy),
            allowed_gadgets: self.allowed_gadgets.or(weaker.allowed_gadgets),
            insecure_registries: self.insecure_registries.or(weaker.insecure_registries),
            disallow_pulling: self.disallow_pulling.or(weaker.disallow_pulling),
        }
    }
}

/// Reads a value of a flag or a variable that is PEM or JSON text, or else names a file.
///
/// # Errors
/// [`MaterialError`] if the file cannot be read.
pub fn material(value: &str, origin: Origin) -> Result<Stated<Material>, MaterialError> {
    let trimmed = value.trim_start();
    if trimmed.starts_with("-----BEGIN") || trimmed.starts_with('{') {
        return Ok(Stated::new(value.as_bytes().to_vec().into(), origin));
    }
    Material::read(Path::new(value), Trustee::Anyone, origin)
}

impl Material {
    fn read(path: &Path, trustee: Trustee, origin: Origin) -> Result<Stated<Self>, MaterialError> {
        match read(path, MAX_MATERIAL, trustee) {
            Ok(content) => {
                let file = Some((content.version(), trustee));
                Ok(Stated::new(Self { content: content.into_bytes(), file }, origin))
            }
            Err(source) => Err(MaterialError { origin, source }),
        }
    }
}

impl From<Vec<u8>> for Material {
    fn from(content: Vec<u8>) -> Self {
        Self { content, file: None }
    }
}

/// The policy file of the machine.
pub fn policy_path() -> PathBuf {
    PathBuf::from("/etc/ig/policy.yaml")
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in default"),
            Self::At(position) => position.fmt(f),
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
        }
    }
}
