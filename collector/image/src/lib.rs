//! Gadget images: their names, the local store they live in, registries and signatures.
//!
//! A gadget image is an OCI index with one manifest per architecture; each manifest holds a `gadget.yaml` and up to
//! three layers (eBPF object, WASM module, BTF archive). The store on disk is a plain OCI image layout that the Go
//! project Inspektor Gadget reads and writes too, also at the same time as this crate.
//!
//! Everything read from the store is hostile: each blob is bounded in size and compared with its digest before a byte
//! of it is interpreted. What comes from a registry is bounded and checked before it is stored. Objects and modules are
//! bytes here: who runs or builds an image reads them.

pub mod access;
mod arch;
pub mod archive;
pub mod auth;
pub mod btfgen;
mod digest;
mod error;
pub mod manifest;
pub mod reference;
pub mod registry;
pub mod store;
pub mod trust;

pub use arch::{Arch, ParseArchError};
pub use digest::{Digest, ParseDigestError};
pub use error::ErrorKind;
pub use reference::{Reference, ReferenceError};
pub use store::{
    BlobWriter, Gadget, ImageDescriptor, IngestError, ListedImage, LoadImageError, Pin, ResolveError, Store,
    StoreError,
};
