//! Reading one architecture of an image, distrusting every byte of it.

use serde::de::DeserializeOwned;

use super::error::{LoadImageError, Part};
use super::{ImageDescriptor, Store, blob, graph};
use crate::manifest::{self, Annotations, Descriptor, Index, Manifest};
use crate::{Arch, Digest, Reference};

/// One architecture of a stored image, verified against the digests that lead to it.
#[derive(Clone, Debug)]
pub struct Gadget {
    /// The full name it was loaded by.
    pub reference: Reference,
    /// Digest of the image's index: the identity of what runs.
    pub digest: Digest,
    /// Digest of the manifest for the architecture.
    pub manifest_digest: Digest,
    /// The eBPF object.
    pub ebpf: Option<Vec<u8>>,
    /// The text of `gadget.yaml`.
    pub metadata: Option<String>,
    /// The WASM module.
    pub wasm: Option<Vec<u8>>,
    /// The BTF archive, not read yet: it is large and needed only on kernels without BTF.
    pub btfgen: Option<Layer>,
    /// The manifest's annotations.
    pub annotations: Annotations,
    /// What was odd about the image without being wrong, a sentence each.
    pub warnings: Vec<String>,
}

/// A layer that is read on demand by [`Store::read_layer`].
#[derive(Clone, Debug)]
pub struct Layer {
    reference: Reference,
    part: Part,
    descriptor: Descriptor,
}

impl Layer {
    /// Bytes the layer has.
    pub fn size(&self) -> u64 {
        self.descriptor.size
    }
}

impl Store {
    /// Reads the image called `reference` as built for `arch`.
    ///
    /// # Errors
    /// [`LoadImageError`] if the image is unknown, not built for `arch`, or if any part of it is missing, larger than
    /// [`Part::limit`], malformed or different from its digest.
    pub fn load_gadget(&self, reference: &Reference, arch: Arch) -> Result<Gadget, LoadImageError> {
        self.load_image(&self.resolve(reference)?, arch)
    }

    /// Reads an image that was resolved before, wherever its name leads now.
    ///
    /// # Errors
    /// As [`Store::load_gadget`].
    pub fn load_image(&self, image: &ImageDescriptor, arch: Arch) -> Result<Gadget, LoadImageError> {
        let (entry, manifest_digest, manifest) = self.read_manifest(image, arch)?;
        let mut gadget = Gadget {
            reference: image.reference.clone(),
            digest: image.digest,
            manifest_digest,
            ebpf: None,
            metadata: self.read_metadata(image, &manifest)?,
            wasm: None,
            btfgen: None,
            annotations: if manifest.annotations.is_empty() {
                entry.annotations
            } else {
                manifest.annotations
            },
            warnings: Vec::new(),
        };
        for descriptor in manifest.layers {
            self.add_layer(&mut gadget, descriptor)?;
        }
        Ok(gadget)
    }

    /// Reads a layer that [`Store::load_gadget`] left on disk.
    ///
    /// # Errors
    /// [`LoadImageError::Blob`] if it is missing, too large or damaged.
    pub fn read_layer(&self, layer: &Layer) -> Result<Vec<u8>, LoadImageError> {
        self.read_part(&layer.reference, &layer.descriptor, layer.part)
    }

    /// Reads the manifest of `image` for `arch`: its entry in the index, its digest and itself.
    pub(super) fn read_manifest(
        &self,
        image: &ImageDescriptor,
        arch: Arch,
    ) -> Result<(Descriptor, Digest, Manifest), LoadImageError> {
        let reference = &image.reference;
        if image.media_type != manifest::INDEX {
            return Err(LoadImageError::NotAnIndex {
                reference: Box::new(reference.clone()),
                media_type: graph::clip(&image.media_type),
            });
        }
        let whole = Descriptor {
            media_type: image.media_type.clone(),
            digest: image.digest.to_string(),
            size: image.size,
            ..Descriptor::default()
        };
        let (_, index): (_, Index) = self.read_document(reference, &whole, Part::Index)?;
        let is_wanted =
            |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|p| p.architecture == arch.name());
        let Some(entry) = index.manifests.iter().find(is_wanted) else {
            let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            return Err(LoadImageError::Platform {
                reference: Box::new(reference.clone()),
                wanted: arch,
                available: platforms.take(8).map(|p| graph::shown(&p.architecture, 20)).collect(),
            });
        };
        let (digest, manifest) = self.read_document(reference, entry, Part::Manifest)?;
        Ok((entry.clone(), digest, manifest))
    }

    fn read_metadata(
        &self,
        image: &ImageDescriptor,
        manifest: &Manifest,
    ) -> Result<Option<String>, LoadImageError> {
        if manifest.config.media_type == manifest::EMPTY {
            return Ok(None);
        }
        let content = self.read_part(&image.reference, &manifest.config, Part::Metadata)?;
        if content == b"{}" {
            return Ok(None);
        }
        let text = String::from_utf8(content).map_err(|source| LoadImageError::NotText {
            reference: Box::new(image.reference.clone()),
            source,
        })?;
        Ok(Some(text))
    }

    fn add_layer(&self, gadget: &mut Gadget, descriptor: Descriptor) -> Result<(), LoadImageError> {
        let (part, taken) = match descriptor.media_type.as_str() {
            manifest::EBPF => (Part::Ebpf, gadget.ebpf.is_some()),
            manifest::WASM => (Part::Wasm, gadget.wasm.is_some()),
            manifest::BTFGEN => (Part::Btfgen, gadget.btfgen.is_some()),
            other => {
                let media_type = graph::clip(other);
                gadget.warnings.push(format!("layer of unknown media type `{media_type}` is skipped"));
                return Ok(());
            }
        };
        let reference = gadget.reference.clone();
        if taken {
            return Err(LoadImageError::DuplicateLayer { reference: Box::new(reference), part });
        }
        match part {
            Part::Ebpf => gadget.ebpf = Some(self.read_part(&reference, &descriptor, part)?),
            Part::Wasm => gadget.wasm = Some(self.read_part(&reference, &descriptor, part)?),
            _ => gadget.btfgen = Some(Layer { reference, part, descriptor }),
        }
        Ok(())
    }

    fn read_document<T: DeserializeOwned>(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        part: Part,
    ) -> Result<(Digest, T), LoadImageError> {
        let content = self.read_part(reference, descriptor, part)?;
        let digest = Digest::of(&content);
        let document = serde_json::from_slice(&content).map_err(|source| LoadImageError::Document {
            reference: Box::new(reference.clone()),
            part,
            digest,
            source,
        })?;
        Ok((digest, document))
    }

    fn read_part(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        part: Part,
    ) -> Result<Vec<u8>, LoadImageError> {
        blob::read(self.path(), descriptor, part).map_err(|source| LoadImageError::Blob {
            reference: Box::new(reference.clone()),
            part,
            source,
        })
    }
}
