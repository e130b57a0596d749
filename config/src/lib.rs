//! The documents people write: runtime-config.yaml, instance-spec manifests and gadget.yaml, read strictly and with
//! positions.
//!
//! - [`policy`]: image-policy documents, which an administrator locks a machine with.
//! - [`runtime`]: runtime-config.yaml and instance-spec manifests as typed values; every fault at once.
//! - [`metadata`]: gadget.yaml, as forgiving as the reference's runtime.
//! - [`yaml`]: the reader below both, for other documents as well.
//! - [`schema`]: JSON schema and key reference, from the tables that the reader uses.
//!
//! The crate does no more than read: it starts nothing, and needs no kernel, network or privilege. All of it runs on
//! hostile input.

mod fault;
pub mod metadata;
pub mod policy;
mod position;
pub mod runtime;
pub mod schema;
mod source;
pub mod substitute;
mod table;
pub mod value;
pub mod yaml;

pub use fault::Fault;
pub use position::{NotCompared, Position};
pub use source::{Source, Span};
pub use table::Word;
