//! From a name to a gadget that may run: allowed, present, trusted, read. One digest leads through all of it.
//!
//! The name is judged before a registry hears of it. Then it is resolved once: what was verified is what is read,
//! whatever happens to the tag meanwhile. A registry that is down does not take away what is here: an image that was
//! verified before runs from the store, and the failure is told beside it.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use ig_files::FileVersion;
use ig_model::Hint;

use crate::btfgen::{Kernel, SelectError, select};
use crate::registry::{Progress, Registry, RegistryError};
use crate::store::{Gadget, ImageDescriptor, LoadImageError, ResolveError, Store};
use crate::trust::{Proof, Refusal, Verifier, VerifyError};
use crate::{Arch, ErrorKind, Reference};

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When the store has no image of that name.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Never.
    Never,
}

/// Leads from names to gadgets that may run; clones are the same.
#[derive(Clone, Debug)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    registry: Registry,
    verifier: Verifier,
    /// Where the host's files are.
    host: PathBuf,
}

/// A gadget that may run.
#[derive(Debug)]
pub struct Acquired {
    /// The image for this machine's architecture.
    pub gadget: Gadget,
    /// Why it may run.
    pub proof: Proof,
    /// The kernel's types as BTF, from the image, where the kernel has none of its own.
    pub kernel_types: Option<Vec<u8>>,
    /// Why the registry could not be asked, if it should have been; the image is the one that was here before.
    pub pull_failure: Option<RegistryError>,
}

/// Why an image does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A rule forbids to fetch it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be fetched.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is not in the store.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It is not to be trusted.
    #[error(transparent)]
    Untrusted(#[from] VerifyError),
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadImageError),
    /// The kernel has no types of its own, and the image has none for it.
    #[error(transparent)]
    Types(#[from] SelectError),
    /// A task panicked, which is a fault of this program.
    #[error("reading image `{0}` panicked")]
    Panicked(Box<Reference>),
}

impl Access {
    /// Access to the images of `store` and what `registry` leads to, by the rules of `verifier`, for the machine whose
    /// files are below `host`.
    pub fn new(store: Store, registry: Registry, verifier: Verifier, host: PathBuf) -> Self {
        Self { inner: Arc::new(Inner { store, registry, verifier, host }) }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The files that decide what may run and where it comes from, as they were read: policy, keys, certificates,
    /// credentials. Where one of them changed, access has to be made anew.
    pub fn files(&self) -> impl Iterator<Item = &FileVersion> {
        self.inner.verifier.policy().files().iter().chain(self.inner.registry.files())
    }

    /// The gadget called `reference`, fetched if `pull` asks for it.
    ///
    /// # Errors
    /// [`AccessError`]; the store is as usable as before.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was fetched for another try. A wait for the store's lock goes on for up to 30 s
    /// on a thread of its own, and nothing comes of it.
    pub async fn acquire(
        &self,
        reference: &Reference,
        pull: PullPolicy,
        progress: &dyn Progress,
    ) -> Result<Acquired, AccessError> {
        let Inner { store, registry, verifier, .. } = self.inner.as_ref();
        let is_here = match self.resolve(reference).await {
            Ok(_) => true,
            Err(AccessError::Resolve(error)) if error.is_absent() => false,
            Err(error) => return Err(error),
        };
        let wants_pull = match pull {
            PullPolicy::Missing => !is_here,
            PullPolicy::Always => true,
            PullPolicy::Never => false,
        };
        let mut pull_failure = None;
        if wants_pull {
            verifier.policy().may_pull(reference)?;
            match registry.pull(reference, store, crate::registry::PullOptions::default(), progress).await {
                Ok(_) => {}
                Err(error) if is_here => pull_failure = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        match self.read(reference).await {
            Err(AccessError::Untrusted(error))
                if error.fetching_may_help()
                    && pull != PullPolicy::Never
                    && !wants_pull
                    && verifier.policy().may_pull(reference).is_ok() =>
            {
                let image = self.resolve(reference).await?;
                registry.pull_signatures(reference, image.digest, store, progress).await?;
                self.read(reference).await
            }
            other => other,
        }
        .map(|acquired| Acquired { pull_failure, ..acquired })
    }

    /// The gadget called `reference` if it is in the store; no registry is asked. Blocks while it reads, and for up to
    /// 2 s where another process keeps the store's lock.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn local(&self, reference: &Reference) -> Result<Acquired, AccessError> {
        let image = self.inner.store.resolve(reference)?;
        self.verified(&image)
    }

    async fn resolve(&self, reference: &Reference) -> Result<ImageDescriptor, AccessError> {
        self.blocking(reference, |access, reference| Ok(access.inner.store.resolve(reference)?)).await
    }

    async fn read(&self, reference: &Reference) -> Result<Acquired, AccessError> {
        self.blocking(reference, Self::local).await
    }

    /// Works on a thread that may be blocked: another process may hold the store's lock, and megabytes are hashed.
    async fn blocking<T: Send + 'static>(
        &self,
        reference: &Reference,
        work: impl FnOnce(&Self, &Reference) -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, AccessError> {
        let (access, reference) = (self.clone(), reference.clone());
        let named = Box::new(reference.clone());
        tokio::task::spawn_blocking(move || work(&access, &reference))
            .await
            .unwrap_or(Err(AccessError::Panicked(named)))
    }

    fn verified(&self, image: &ImageDescriptor) -> Result<Acquired, AccessError> {
        let proof = self.inner.verifier.verify(&self.inner.store, image)?;
        let gadget = self.inner.store.load_image(image, Arch::host())?;
        let kernel_types = match &gadget.btfgen {
            Some(layer) if !kernel_has_types() => {
                let layer = self.inner.store.read_layer(layer)?;
                Some(select(layer.as_slice(), &Kernel::running(&self.inner.host)?)?)
            }
            _ => None,
        };
        Ok(Acquired { gadget, proof, kernel_types, pull_failure: None })
    }
}

/// Whether the running kernel describes its own types.
fn kernel_has_types() -> bool {
    std::fs::metadata("/sys/kernel/btf/vmlinux").is_ok_and(|file| file.is_file() && file.len() > 0)
}

impl AccessError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) => ErrorKind::PermissionDenied,
            Self::Registry(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Untrusted(error) => error.kind(),
            Self::Load(error) => error.kind(),
            Self::Types(_) => ErrorKind::NotFound,
            Self::Panicked(_) => ErrorKind::Corrupt,
        }
    }
}

impl Hint for AccessError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Registry(error) => error.hint(),
            Self::Resolve(error) => error.hint(),
            Self::Untrusted(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Types(error) => error.hint(),
            Self::Panicked(_) => None,
        }
    }
}
