//! The list of images that people see.

use super::entries::describe;
use super::{ImageDescriptor, Store, StoreError};
use crate::manifest;
use crate::{Arch, Digest, Reference};

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
    /// Lists the named images, sorted by full name. Signatures and unnamed images are left out; an image whose blobs
    /// are damaged is listed, without its time of creation.
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, StoreError> {
        let index = self.index()?;
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
