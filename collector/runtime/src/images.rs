//! Where images come from and which may run, as configuration, flags and the machine's policy file say together.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

use ig_config::runtime::{Images, Pull};
use ig_files::FileVersion;
use ig_image::{
    ErrorKind, Store, StoreError,
    access::{Access, PullPolicy},
    auth::{AuthEnvironment, AuthError, CredentialSources, DEFAULT_AUTHFILE, Keychain},
    registry::{Mirrors, Registry, RegistryError, RegistryOptions},
    store::Limits as StoreLimits,
    trust::{MachinePolicy, MaterialError, Policy, PolicyError, Settings, Trustee, Verifier, policy_path},
};
use ig_model::{Hint, Host};
use thiserror::Error;

/// What the command line and the environment say; it wins over the configuration.
#[derive(Clone, Debug, Default)]
pub struct ImageFlags {
    /// When to ask a registry.
    pub pull: Option<PullPolicy>,
    /// Which images may run, weakest first.
    pub trust: Vec<Settings>,
    /// File with credentials.
    pub authfile: Option<PathBuf>,
    /// Mirrors as `(registry, mirror)`, before those of the configuration.
    pub mirrors: Vec<(String, String)>,
    /// Folder with certificates of single registries.
    pub certificates: Option<PathBuf>,
    /// Never to write to the store, which belongs to somebody else.
    pub read_only: bool,
}

/// Images cannot be had under these settings.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// The store cannot be opened.
    #[error("failed to open the image store")]
    Store(#[from] StoreError),
    /// The credentials cannot be read.
    #[error("failed to read registry credentials")]
    Credentials(#[from] AuthError),
    /// A mirror is none.
    #[error(transparent)]
    Mirror(#[from] RegistryError),
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// Reading what they name panicked, which is a fault of this program.
    #[error("reading the settings of images panicked")]
    Panicked(#[source] crate::tasks::Panicked),
    /// The collector ends.
    #[error("the thread that reaches images has ended")]
    Ended,
    /// The policy cannot be used, or forbids what was asked for.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl ImagesError {
    /// The file that could not be used, if one is to blame.
    pub(crate) fn unread(&self) -> Option<FileVersion> {
        let (path, kind) = match self {
            Self::Credentials(error) => (error.path()?, error.kind()),
            Self::Material(error) => (error.path(), error.kind()),
            Self::Policy(error) => (error.path()?, error.kind()),
            _ => return None,
        };
        let missing = kind == ErrorKind::NotFound;
        let failure = if missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        Some(FileVersion::unread(path, failure))
    }
}

impl Hint for ImagesError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Mirror(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::Material(_) | Self::Panicked(_) | Self::Ended => None,
        }
    }
}

/// Opens the store at `store` under the settings of all places.
///
/// # Errors
/// [`ImagesError`]; nothing may run then.
pub fn open(images: &Images, flags: &ImageFlags, store: &Path, host: &Host) -> Result<Access, ImagesError> {
    let trustee = Trustee::Anyone;
    let configured = Settings::of_policy(&images.policy, trustee)?;
    let machine = MachinePolicy::read(&policy_path(), Trustee::User(0))?;
    // The files that flags name may have changed since they were parsed.
    let flagged = flags.trust.iter().map(Settings::read_again).collect::<Result<Vec<_>, _>>()?;
    let policy = Policy::new(machine, std::iter::once(configured).chain(flagged))?;

    let mut mirrors = Mirrors::default();
    let written =
        images.mirrors.iter().flat_map(|(registry, list)| list.iter().map(move |mirror| (registry, mirror)));
    for (registry, mirror) in flags.mirrors.iter().map(|(registry, mirror)| (registry, mirror)).chain(written)
    {
        mirrors.add(registry, mirror)?;
    }
    let mut options = RegistryOptions::default();
    options.insecure = policy.insecure_registries().to_vec();
    options.mirrors = mirrors;
    if let Some(folder) = &flags.certificates {
        options.certificates.clone_from(folder);
    }
    let authfile = flags.authfile.clone().or_else(|| images.authfile.clone());
    let keychain = Keychain::load(&CredentialSources {
        authfile: authfile.unwrap_or_else(|| DEFAULT_AUTHFILE.into()),
        pull_secret: None,
        environment: AuthEnvironment::of_process(),
    })?;
    let mut limits = StoreLimits::default();
    limits.document = images.limits.manifest;
    limits.blob = images.limits.layer;
    let store = if flags.read_only { Store::open_read_only(store)? } else { Store::open(store)? };
    let registry = Registry::new(options, keychain);
    Ok(Access::new(store.with_limits(limits), registry, Verifier::new(policy), host.root.clone()))
}

/// When a registry is asked, as the configuration and the flags say.
pub fn pull_policy(images: &Images, flags: &ImageFlags) -> PullPolicy {
    flags.pull.unwrap_or(match images.pull {
        Pull::Missing => PullPolicy::Missing,
        Pull::Always => PullPolicy::Always,
        Pull::Never => PullPolicy::Never,
    })
}
