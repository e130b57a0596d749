//! The layers of an image, and how they become one.

use std::collections::BTreeMap;
use std::path::Path;

use ig_image::manifest::{self, Descriptor, Index, Manifest, Platform, to_json};
use ig_image::{Arch, Digest, Reference, Store, StoreError};

use super::error::BuildError;
use super::inputs::Inputs;

/// The layers of an image.
pub(super) struct Parts {
    pub(super) objects: BTreeMap<Arch, Vec<u8>>,
    pub(super) wasm: Option<Vec<u8>>,
    pub(super) types: BTreeMap<Arch, Vec<u8>>,
}

impl Parts {
    /// Leaves them in a folder under the names that other tools expect.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BuildError> {
        let objects = self.objects.iter().map(|(arch, object)| (format!("{arch}.bpf.o"), object));
        let types = self.types.iter().map(|(arch, layer)| {
            let machine = match arch {
                Arch::Amd64 => "x86_64",
                Arch::Arm64 => "arm64",
            };
            (format!("btfs-{machine}.tar.gz"), layer)
        });
        let wasm = self.wasm.iter().map(|module| ("program.wasm".to_owned(), module));
        for (name, content) in objects.chain(types).chain(wasm) {
            let path = folder.join(name);
            std::fs::write(&path, content).map_err(BuildError::io("write", &path))?;
        }
        Ok(())
    }
}

/// Puts the parts into the store: blobs, a manifest for each architecture, and the index over them.
pub(super) fn assemble(
    store: &Store,
    inputs: &Inputs,
    archs: &[Arch],
    parts: &Parts,
    tag: &Reference,
) -> Result<Digest, StoreError> {
    let config = if let Some(content) = &inputs.metadata {
        store.put_blob(manifest::METADATA, content)?
    } else {
        store.put_blob(manifest::EMPTY, b"{}")?;
        Descriptor::empty()
    };
    let config = Descriptor { annotations: inputs.annotations.clone(), ..config };
    let wasm = parts.wasm.as_ref().map(|content| store.put_blob(manifest::WASM, content)).transpose()?;

    let mut entries = Vec::new();
    for &arch in archs {
        let object =
            parts.objects.get(&arch).map(|object| store.put_blob(manifest::EBPF, object)).transpose()?;
        let types =
            parts.types.get(&arch).map(|layer| store.put_blob(manifest::BTFGEN, layer)).transpose()?;
        let layers = object.into_iter().chain(wasm.clone()).chain(types).collect();
        let document = Manifest::gadget(config.clone(), layers, inputs.annotations.clone());
        let content = to_json(&document)
            .map_err(|source| StoreError::BadIndex { path: store.path().to_owned(), source })?;
        let entry = store.put_blob(manifest::MANIFEST, &content)?;
        entries.push(Descriptor {
            annotations: inputs.annotations.clone(),
            platform: Some(Platform::linux(arch)),
            ..entry
        });
    }
    let digest = store.put_index(&Index::of(entries, inputs.annotations.clone()), Some(tag))?;
    store.record_build(digest)?;
    Ok(digest)
}
