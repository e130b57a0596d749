//! The local image store: an OCI image layout on disk, shared with other processes.
//!
//! Any number of processes may read and write one store at once. A [`Store`] therefore caches nothing: each call
//! sees the index as it is at that moment, and what a call returns stays valid whatever happens on disk afterwards.
//! Blobs are never deleted here.

use std::path::{Path, PathBuf};

use crate::manifest::{self, Annotations, Descriptor, Index, REF_NAME, to_json};
use crate::{Arch, Digest, Reference};

mod blob;
mod error;
mod layout;
mod load;
#[cfg(test)]
mod tests;

pub use error::{BlobError, LoadImageError, Part, ResolveError, StoreError};
pub use load::{Gadget, Layer};

const ROOT_STORE: &str = "/var/lib/ig/oci-store";
const USER_STORE: &str = ".ig/oci-store";

/// A folder of images in OCI layout.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What an image name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDescriptor {
    /// The full name that was resolved.
    pub reference: Reference,
    /// What the blob is: an image index for every usable gadget.
    pub media_type: String,
    /// Digest of the index.
    pub digest: Digest,
    /// Size of the index in bytes.
    pub size: u64,
    /// Annotations kept in the store's own index; empty for pulled images.
    pub annotations: Annotations,
}

/// One row of the list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// Registry and repository, without the prefix that short names stand for.
    pub repository: String,
    /// The tag, `latest` for images stored by digest.
    pub tag: String,
    /// Digest of the index.
    pub digest: Digest,
    /// When it was built, as recorded by the builder; `None` if unknown.
    pub created: Option<String>,
}

impl Store {
    /// The store of the current user: `/var/lib/ig/oci-store` for root, else `~/.ig/oci-store`.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] if the user is not root and has no home folder.
    pub fn default_path() -> Result<PathBuf, StoreError> {
        if rustix::process::geteuid().is_root() {
            return Ok(ROOT_STORE.into());
        }
        let home = std::env::home_dir().filter(|home| home.is_absolute()).ok_or(StoreError::NoHome)?;
        Ok(home.join(USER_STORE))
    }

    /// Opens the store in `path`, creating it (mode 0700) if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be created or read, or holds something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = path.into();
        layout::create_or_check(&root)?;
        Ok(Self { root })
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Looks an image up by its full name, else by its digest.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] if no such image is stored; others if the store is unusable.
    pub fn resolve(&self, reference: &Reference) -> Result<ImageDescriptor, ResolveError> {
        let index = layout::read_index(&self.root)?;
        let name = reference.to_string();
        let by_name = index.manifests.iter().rev().find(|entry| entry.ref_name() == Some(&name));
        let by_digest = || {
            let digest = reference.digest()?.to_string();
            index.manifests.iter().find(|entry| entry.digest == digest)
        };
        if let Some(entry) = by_name.or_else(by_digest) {
            return describe(reference, entry);
        }
        reference.digest().and_then(|digest| self.raw_blob(reference, digest)).ok_or_else(|| {
            ResolveError::NotFound { reference: Box::new(reference.clone()), store: self.root.clone() }
        })
    }

    /// Lists the named images, sorted by full name. Signatures and unnamed images are left out; an image whose blobs
    /// are damaged is listed, without its time of creation.
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, StoreError> {
        let index = layout::read_index(&self.root)?;
        let mut named: Vec<_> = index
            .manifests
            .iter()
            .filter_map(|entry| {
                let name = entry.ref_name()?;
                // Signature tags have no repository; read as a name they turn into another one.
                let reference =
                    Reference::parse(name).ok().filter(|reference| reference.to_string() == name)?;
                describe(&reference, entry).ok()
            })
            .collect();
        named.sort_by_cached_key(|image| image.reference.to_string());
        named.dedup_by(|later, first| {
            let same = later.reference == first.reference;
            if same {
                std::mem::swap(later, first); // the last entry of a name is the one that counts
            }
            same
        });
        let listed = named.into_iter().map(|image| ListedImage {
            repository: image.reference.short_repository(),
            tag: image.reference.tag().unwrap_or("latest").to_owned(),
            digest: image.digest,
            created: self.created(&image),
        });
        Ok(listed.collect())
    }

    /// Gives the image called `source` a second name.
    ///
    /// # Errors
    /// [`ResolveError`] if there is no such image or the store cannot be written.
    pub fn tag(&self, source: &Reference, target: &Reference) -> Result<ImageDescriptor, ResolveError> {
        let image = self.resolve(source)?;
        let entry = Descriptor {
            media_type: image.media_type.clone(),
            digest: image.digest.to_string(),
            size: image.size,
            annotations: image.annotations.clone(),
            ..Descriptor::default()
        };
        layout::update_index(&self.root, |index| list_entry(index, entry, Some(target)))?;
        Ok(ImageDescriptor { reference: target.clone(), ..image })
    }

    /// Stores a blob and describes it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn put_blob(&self, media_type: &str, content: &[u8]) -> Result<Descriptor, StoreError> {
        blob::write(&self.root, content)?;
        Ok(Descriptor::of(media_type, content))
    }

    /// Stores an image index whose manifests and layers are stored already, and names it if `tag` is given.
    ///
    /// An image that had the name before stays in the store, unnamed.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    pub fn put_index(&self, image: &Index, tag: Option<&Reference>) -> Result<Digest, StoreError> {
        let content = to_json(image)
            .map_err(|source| StoreError::BadIndex { path: self.root.join("index.json"), source })?;
        let digest = blob::write(&self.root, &content)?;
        let whole = Descriptor {
            annotations: image.annotations.clone(),
            ..Descriptor::of(manifest::INDEX, &content)
        };
        layout::update_index(&self.root, |index| {
            for entry in &image.manifests {
                list_entry(index, entry.clone(), None);
            }
            list_entry(index, whole, tag);
        })?;
        Ok(digest)
    }

    /// A blob that no entry of the index names; signatures are found this way.
    fn raw_blob(&self, reference: &Reference, digest: Digest) -> Option<ImageDescriptor> {
        let metadata =
            std::fs::metadata(blob::path(&self.root, digest)).ok().filter(std::fs::Metadata::is_file)?;
        Some(ImageDescriptor {
            reference: reference.clone(),
            media_type: "application/octet-stream".to_owned(),
            digest,
            size: metadata.len(),
            annotations: Annotations::new(),
        })
    }

    fn created(&self, image: &ImageDescriptor) -> Option<String> {
        match self.read_manifest(image, Arch::host()) {
            Ok((entry, _, manifest)) => {
                let either =
                    manifest.annotations.get(manifest::CREATED).or(entry.annotations.get(manifest::CREATED));
                either.cloned()
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(name: "image.list.damaged", image = %image.reference, error);
                None
            }
        }
    }
}

fn describe(reference: &Reference, entry: &Descriptor) -> Result<ImageDescriptor, ResolveError> {
    let digest = entry
        .digest
        .parse()
        .map_err(|source| ResolveError::Digest { reference: Box::new(reference.clone()), source })?;
    let mut annotations = entry.annotations.clone();
    annotations.remove(REF_NAME);
    Ok(ImageDescriptor {
        reference: reference.clone(),
        media_type: entry.media_type.clone(),
        digest,
        size: entry.size,
        annotations,
    })
}

/// Adds an entry to a store's index, under a name or without one.
fn list_entry(index: &mut Index, mut entry: Descriptor, tag: Option<&Reference>) {
    let Some(name) = tag.map(Reference::to_string) else {
        if !index.manifests.iter().any(|other| other.digest == entry.digest) {
            index.manifests.push(entry);
        }
        return;
    };
    let is_named = |other: &Descriptor| other.ref_name() == Some(&name);
    let renamed: Vec<_> = index.manifests.extract_if(.., |other| is_named(other)).collect();
    index.manifests.retain(|other| other.digest != entry.digest || other.ref_name().is_some());
    for mut old in renamed {
        old.annotations.remove(REF_NAME);
        if old.digest != entry.digest {
            list_entry(index, old, None);
        }
    }
    entry.annotations.insert(REF_NAME.to_owned(), name);
    index.manifests.push(entry);
}
