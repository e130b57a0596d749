//! Types for kernels that have none: chosen from an image when it runs.
//!
//! Why it exists: relocation needs the kernel's types, and kernels before 5.4 or built without
//! `CONFIG_DEBUG_INFO_BTF` do not show them. An image carries of each kernel only what its own object asks for, in one
//! layer: a tar.gz with a file `<ID>/<VERSION_ID>/<architecture>/<release>.btf` for each kernel.
//!
//! [`select`] finds the file for a kernel, also in layers of other builders, which write names with `./`, write only the
//! last part of them, or call an architecture `arm64` that the kernel calls `aarch64`. A layer is hostile: names, kinds,
//! counts and sizes are checked, and nothing is ever written to disk.

mod error;
mod kernel;
mod layer;
#[cfg(test)]
mod tests;

pub use error::SelectError;
pub use kernel::Kernel;
pub use layer::select;

/// Most bytes of one file with types, whole or cut.
pub const MAX_TYPES: u64 = 256 << 20;

/// The end of the name of a file with types.
pub const EXTENSION: &str = ".btf";
