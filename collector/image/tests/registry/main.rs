//! The registry client against a server that keeps images and misbehaves on demand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail like tests"
)]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ig_image::auth::{AuthEnvironment, CredentialSources, Credentials, Keychain, Secret};
use ig_image::manifest::{
    Annotations, Descriptor, EBPF, INDEX, Index, MANIFEST, METADATA, Manifest, Platform, to_json,
};
use ig_image::registry::{
    PullOptions, Pulled, PushOptions, Registry, RegistryError, RegistryOptions, TransferEvent,
};
use ig_image::{Arch, Digest, ErrorKind, Reference, Store};

mod auth;
mod faults;
mod process;
mod real;
mod server;
mod transfer;
mod trust;

use server::{Reply, Request, Server, Step};

const REPOSITORY: &str = "a/gadget";

/// An image of two architectures with one layer, as bytes.
struct Image {
    index: Vec<u8>,
    manifest: Vec<u8>,
    metadata: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn with_layer(layer: &[u8]) -> Self {
        let metadata = b"name: x\n".to_vec();
        let config = Descriptor::of(METADATA, &metadata);
        let manifest = Manifest::gadget(config, vec![Descriptor::of(EBPF, layer)], Annotations::new());
        let manifest = to_json(&manifest).unwrap();
        let entry = |arch| Descriptor {
            platform: Some(Platform::linux(arch)),
            ..Descriptor::of(MANIFEST, &manifest)
        };
        let index = Index::of(Arch::ALL.map(entry).to_vec(), Annotations::new());
        Self { index: to_json(&index).unwrap(), manifest, metadata, layer: layer.to_vec() }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.index)
    }

    /// Puts the image into a server under the tag `v1`.
    fn put(&self, server: &Server) {
        server.put_blob(&self.metadata);
        server.put_blob(&self.layer);
        server.put_manifest(None, MANIFEST, &self.manifest);
        server.put_manifest(Some("v1"), INDEX, &self.index);
    }
}

/// Bytes that do not repeat.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..size).map(|_| next()).collect()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

/// Options that try again at once, and are patient with a server that shares a busy machine with others.
fn options(server: &Server) -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.insecure = vec![server.host()];
    options.certificates = "/nonexistent".into();
    options.patience.idle = Duration::from_mins(3);
    options.patience.retry.max_attempts = 3;
    options.patience.retry.initial = Duration::from_millis(1);
    options
}

fn registry(server: &Server) -> Registry {
    Registry::new(options(server), Keychain::default())
}

/// One that gives up after half a second of silence: for servers that are silent for ever.
fn hasty(server: &Server) -> Registry {
    let mut options = options(server);
    options.patience.idle = Duration::from_millis(500);
    Registry::new(options, Keychain::default())
}

fn name(server: &Server) -> Reference {
    Reference::parse(&format!("{}/{REPOSITORY}:v1", server.host())).unwrap()
}

fn keychain(host: &str, username: &str, password: &str) -> Keychain {
    let text = format!(r#"{{"auths":{{"{host}":{{"username":"{username}","password":"{password}"}}}}}}"#);
    let sources = CredentialSources {
        authfile: "/nonexistent".into(),
        pull_secret: Some(Secret::new(text)),
        environment: AuthEnvironment::default(),
    };
    Keychain::load(&sources).unwrap()
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Pulls from the server into a new store.
fn pull(server: &Server) -> Result<(tempfile::TempDir, Store, Pulled), RegistryError> {
    let (folder, store) = store();
    let pulled = block(registry(server).pull(&name(server), &store, PullOptions::default(), &()))?;
    Ok((folder, store, pulled))
}

/// A server with an image of one layer, whose answers `fault` may replace.
fn faulty(layer: &[u8], fault: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> (Server, Image) {
    let server = Server::plain(fault);
    let image = Image::with_layer(layer);
    image.put(&server);
    (server, image)
}

/// No byte of a broken transfer counts as a blob.
fn assert_no_blob(store: &Path, digest: Digest) {
    assert!(!store.join("blobs/sha256").join(digest.hex()).exists());
}
