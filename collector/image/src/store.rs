//! The local image store: an OCI image layout on disk, shared with other processes.
//!
//! Any number of processes may read and write one store at once. A [`Store`] therefore caches nothing: each call
//! sees the index as it is at that moment, and what a call returns stays valid whatever happens on disk afterwards.
//! Blobs are removed only by [`Store::remove`], [`Store::collect`] and a repairing [`Store::check`], which leave alone
//! what a live process runs or is storing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::manifest::{self, Annotations, Descriptor, Index, to_json};
use crate::{Digest, Reference};

mod blob;
mod builds;
mod collect;
mod entries;
mod error;
mod fsck;
pub(crate) mod graph;
mod hold;
mod ingest;
mod layout;
mod limits;
mod list;
mod load;
mod location;
mod lock;
#[cfg(test)]
mod tests;

pub use collect::{Collect, Collected, GRACE, Removed};
pub(crate) use entries::check_name;
use entries::{describe, is_misnamed, list_entry, list_nameless, without_name};
pub use error::{BlobError, IngestError, LoadImageError, Part, ResolveError, StoreError, WalkError};
pub use fsck::{Fault, Repair, Report, salvage};
pub(crate) use graph::{Links, is_document};
pub use hold::Pin;
pub use ingest::BlobWriter;
pub(crate) use layout::LAYOUT_CONTENT;
pub use limits::Limits;
pub use list::ListedImage;
pub use load::{Gadget, Layer};

/// A folder of images in OCI layout.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    access: Access,
    limits: Limits,
    lease: hold::Lease,
    /// Whether a reader has waited for the lock in vain.
    is_held: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
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

impl Store {
    /// Opens the store in `path`, creating it (mode 0700) if it does not exist. One of another user than root is opened
    /// for reading only.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be created or read, is writable by everybody, or holds something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = path.into();
        let access = layout::create_or_check(&root)?;
        Ok(Self::at(root, access))
    }

    /// Opens a store that may belong to somebody else, without ever writing to it. `index.json` and its lock must
    /// exist.
    ///
    /// # Errors
    /// [`StoreError`] if the folder is not a store, or cannot be read.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = path.into();
        layout::check_complete(&root)?;
        Ok(Self::at(root, Access::ReadOnly))
    }

    fn at(root: PathBuf, access: Access) -> Self {
        let (limits, lease, is_held) = Default::default();
        Self { root, access, limits, lease, is_held }
    }

    /// The same store with other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The bounds on what is stored and walked.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The index as it is now.
    fn index(&self) -> Result<Index, StoreError> {
        lock::read_index(&self.root, &self.is_held)
    }

    fn lease(&self) -> &hold::Lease {
        &self.lease
    }

    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(StoreError::ReadOnly { path: self.root.clone() }),
        }
    }

    /// Keeps a blob that is not listed yet from being collected.
    fn hold(&self, digest: Digest) -> Result<(), StoreError> {
        self.check_writable()?;
        self.lease.touch(&self.root, digest)
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Looks an image up by its full name, else by its digest. What has a digest in its name has that digest: an entry
    /// that says otherwise, which another program may have written, does not count.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] or [`ResolveError::Misnamed`] if no such image is stored; others if the store is
    /// unusable.
    pub fn resolve(&self, reference: &Reference) -> Result<ImageDescriptor, ResolveError> {
        let index = self.index()?;
        let name = reference.to_string();
        let by_name = index.manifests.iter().rev().find(|entry| entry.ref_name() == Some(&name));
        let by_digest = || {
            let digest = reference.digest()?.to_string();
            index.manifests.iter().find(|entry| entry.digest == digest)
        };
        if let Some(entry) = by_name.filter(|entry| !is_misnamed(reference, entry)).or_else(by_digest) {
            return describe(reference, entry);
        }
        let (named, store) = (Box::new(reference.clone()), self.root.clone());
        reference.digest().and_then(|digest| self.raw_blob(reference, digest)).ok_or_else(|| match by_name {
            Some(entry) => {
                ResolveError::Misnamed { reference: named, actual: graph::clip(&entry.digest), store }
            }
            None => ResolveError::NotFound { reference: named, store },
        })
    }

    /// Gives the image called `source` a second name.
    ///
    /// # Errors
    /// [`ResolveError`] if there is no such image, `target` has the digest of another, or the store cannot be written.
    pub fn tag(&self, source: &Reference, target: &Reference) -> Result<ImageDescriptor, ResolveError> {
        self.check_writable()?;
        let image = self.resolve(source)?;
        let entry = Descriptor {
            media_type: image.media_type.clone(),
            digest: image.digest.to_string(),
            size: image.size,
            annotations: image.annotations.clone(),
            ..Descriptor::default()
        };
        let name = target.to_string();
        layout::try_update_index(&self.root, |index| list_entry(index, entry, Some(&name)))?;
        Ok(ImageDescriptor { reference: target.clone(), ..image })
    }

    /// Stores a blob and describes it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn put_blob(&self, media_type: &str, content: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::of(media_type, content);
        self.hold(Digest::of(content))?;
        blob::write(&self.root, content)?;
        Ok(descriptor)
    }

    /// Whether a blob is there and intact. From here on it is kept until it is listed or the process ends.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written, which keeping it needs, or the blob cannot be read.
    pub fn has_blob(&self, digest: Digest) -> Result<bool, StoreError> {
        if self.access == Access::ReadWrite {
            self.hold(digest)?;
        }
        let path = blob::path(&self.root, digest);
        match blob::measure(&path) {
            Ok((_, actual)) => Ok(actual == digest),
            // A pipe or a link in its place is replaced by whoever stores the blob.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                Ok(false)
            }
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Reads a blob of at most `limit` bytes and checks it against its digest.
    ///
    /// # Errors
    /// [`BlobError`] if it is missing, larger or damaged.
    pub fn read_blob(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        blob::read_any(&self.root, digest, limit)
    }

    /// Opens a blob for streaming it out. Its content is not checked: whoever receives it compares the digest.
    ///
    /// # Errors
    /// [`BlobError::Io`] if it is missing or not a regular file.
    pub fn open_blob(&self, digest: Digest) -> Result<File, BlobError> {
        let path = blob::path(&self.root, digest);
        layout::open_regular(&path).map_err(|source| BlobError::Io { path, source })
    }

    /// Stores an image index whose manifests and layers are stored already, and names it if `tag` is given.
    ///
    /// An image that had the name before stays in the store, unnamed.
    ///
    /// # Errors
    /// [`StoreError::Misnamed`] if `tag` has the digest of another image; others if the store cannot be written.
    pub fn put_index(&self, image: &Index, tag: Option<&Reference>) -> Result<Digest, StoreError> {
        let content = to_json(image)
            .map_err(|source| StoreError::BadIndex { path: self.root.join("index.json"), source })?;
        let descriptor = Descriptor::of(manifest::INDEX, &content);
        let digest = Digest::of(&content);
        self.hold(digest)?;
        blob::write(&self.root, &content)?;
        let whole = Descriptor { annotations: image.annotations.clone(), ..descriptor };
        let name = tag.map(Reference::to_string);
        let listed = self.reach(&whole);
        self.update(|index| {
            for entry in &image.manifests {
                list_nameless(index, without_name(entry));
            }
            list_entry(index, without_name(&whole), name.as_deref())?;
            Ok(listed)
        })?;
        Ok(digest)
    }

    /// The blobs an image leads to, as far as they can be read.
    fn reach(&self, image: &Descriptor) -> BTreeSet<Digest> {
        let mut seen = std::collections::BTreeMap::new();
        // What is missing or odd ends the walk and stays held for the life of the process, which harms nobody.
        drop(graph::walk(&mut graph::OnDisk(&self.root), image, &self.limits, &mut seen));
        seen.into_keys().collect()
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
}
