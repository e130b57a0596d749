//! Gadget images: their names, the local store they live in, and building them from a source folder.
//!
//! A gadget image is an OCI index with one manifest per architecture; each manifest holds a `gadget.yaml` and up to
//! three layers (eBPF object, WASM module, BTF archive). The store on disk is a plain OCI image layout that the Go
//! project Inspektor Gadget reads and writes too, also at the same time as this crate.
//!
//! Everything read from the store is hostile: each blob is bounded in size and compared with its digest before a byte
//! of it is interpreted. This crate parses neither ELF nor WASM, and never talks to a registry.

mod arch;
pub mod build;
mod digest;
mod error;
pub mod manifest;
pub mod reference;
pub mod store;

pub use arch::{Arch, ParseArchError};
pub use digest::{Digest, ParseDigestError};
pub use error::ErrorKind;
pub use reference::{Reference, ReferenceError};
pub use store::{Gadget, ImageDescriptor, ListedImage, LoadImageError, ResolveError, Store, StoreError};
