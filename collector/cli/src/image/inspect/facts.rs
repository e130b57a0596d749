//! What is known of an image once its parts are read.

use ig_config::metadata::Metadata;
use ig_datasource::{Discovered, discover};
use ig_image::manifest::Manifest;
use ig_image::store::Part;
use ig_image::{Arch, Gadget, ImageDescriptor, Reference, Store};
use ig_kernel::btf::vmlinux;
use ig_loader::Object;

use super::module::Module;
use crate::failure::Failure;

/// One architecture of an image, taken apart. What cannot be read is missing, with a warning.
pub(super) struct Facts {
    pub(super) image: ImageDescriptor,
    pub(super) arch: Arch,
    pub(super) gadget: Gadget,
    pub(super) manifest: Manifest,
    pub(super) metadata: Metadata,
    pub(super) object: Option<Object>,
    pub(super) module: Option<Module>,
    pub(super) warnings: Vec<String>,
    discovered: Option<Discovered>,
}

impl Facts {
    pub(super) fn gather(store: &Store, reference: &Reference, arch: Arch) -> Result<Self, Failure> {
        let image = store.resolve(reference).map_err(|error| Failure::hinted(&error))?;
        let gadget = store.load_image(&image, arch).map_err(|error| Failure::hinted(&error))?;
        let manifest = store
            .read_blob(gadget.manifest_digest, Part::Manifest.limit())
            .map_err(|error| Failure::new(&error))?;
        let manifest = serde_json::from_slice(&manifest).map_err(|error| Failure::new(&error))?;
        let mut warnings = gadget.warnings.clone();
        let metadata = match Metadata::parse(gadget.metadata.as_deref().unwrap_or_default()) {
            Ok(metadata) => metadata,
            Err(error) => {
                warnings.push(error.to_string());
                Metadata::default()
            }
        };
        let object = gadget.ebpf.as_deref().and_then(|bytes| {
            Object::parse("gadget", bytes)
                .map_err(|error| warnings.push(format!("eBPF object: {}", ig_model::chain(&error))))
                .ok()
        });
        let discovered = object.as_ref().and_then(|object| {
            discover(object, &metadata).map_err(|error| warnings.push(error.to_string())).ok()
        });
        let module = gadget.wasm.as_deref().and_then(|bytes| {
            Module::read(bytes).map_err(|error| warnings.push(format!("WASM module: {error}"))).ok()
        });
        Ok(Self { image, arch, gadget, manifest, metadata, object, module, warnings, discovered })
    }

    /// What the object's markers say; nothing without an object.
    pub(super) fn discovered(&self) -> Option<&Discovered> {
        self.discovered.as_ref()
    }

    /// The running kernel's types, where relocations are of any use: for an object of this machine.
    pub(super) fn kernel(&self) -> Option<std::sync::Arc<ig_kernel::btf::Btf>> {
        if self.arch == Arch::host() { vmlinux().ok() } else { None }
    }
}
