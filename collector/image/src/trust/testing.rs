//! What the tests of this module share: a store with an image, keys, policies.

use tempfile::TempDir;

use super::policy::Policy;
use super::settings::{Origin, Settings, Stated};
use super::{GuardError, SigningKey, Verifier};
use crate::manifest::{self, Annotations, Descriptor, Index, Manifest, Platform, to_json};
use crate::{Arch, ImageDescriptor, Reference, Store};

pub(super) const NAME: &str = "registry.example/team/gadget:v1";

/// A store that holds one image.
pub(super) fn store_with_image() -> (TempDir, Store, ImageDescriptor) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let image = put_image(&store, NAME, b"object");
    (folder, store, image)
}

pub(super) fn put_image(store: &Store, name: &str, object: &[u8]) -> ImageDescriptor {
    let config = store.put_blob(manifest::METADATA, b"name: x\n").unwrap();
    let layer = store.put_blob(manifest::EBPF, object).unwrap();
    let content = to_json(&Manifest::gadget(config, vec![layer], Annotations::new())).unwrap();
    let mut entry = store.put_blob(manifest::MANIFEST, &content).unwrap();
    entry.platform = Some(Platform::linux(Arch::Amd64));
    let name = Reference::parse(name).unwrap();
    store.put_index(&Index::of(vec![entry], Annotations::new()), Some(&name)).unwrap();
    store.resolve(&name).unwrap()
}

/// Lists a manifest with one layer that refers to `image`, or under `tag`.
pub(super) fn attach(
    store: &Store,
    image: &ImageDescriptor,
    artifact_type: &str,
    layers: Vec<Descriptor>,
    tag: Option<&str>,
) {
    let subject = Descriptor {
        media_type: image.media_type.clone(),
        digest: image.digest.to_string(),
        size: image.size,
        ..Descriptor::default()
    };
    let config = store.put_blob(manifest::EMPTY, b"{}").unwrap();
    let manifest = Manifest {
        media_type: manifest::MANIFEST.to_owned(),
        artifact_type: artifact_type.to_owned(),
        subject: tag.is_none().then(|| Box::new(subject)),
        ..Manifest::gadget(config, layers, Annotations::new())
    };
    let listed = store.put_blob(manifest::MANIFEST, &to_json(&manifest).unwrap()).unwrap();
    store.list_manifest(&listed, tag).unwrap();
}

pub(super) fn flag<T>(value: T) -> Stated<T> {
    Stated::new(value, Origin::Flag("--test".to_owned()))
}

pub(super) fn with_keys(keys: &[&str]) -> Settings {
    let keys = keys.iter().map(|key| flag(key.as_bytes().to_vec().into())).collect();
    Settings { public_keys: Some(flag(keys)), ..Settings::default() }
}

pub(super) fn verifier(settings: Settings) -> Verifier {
    Verifier::new(Policy::new(None, [settings]).unwrap())
}

/// A new key and its public half.
pub(super) fn key() -> (SigningKey, String) {
    let pair = SigningKey::generate(None).unwrap();
    (SigningKey::from_pem(&pair.private, None).unwrap(), pair.public)
}

/// Whether a guard refused for the reason that others may write.
pub(super) fn is_writable(error: &GuardError) -> bool {
    matches!(error, GuardError::Writable { .. })
}
