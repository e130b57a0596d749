//! Types for kernels that have none: cut from an archive when an image is built, chosen from the image when it runs.
//!
//! Why it exists: relocation needs the kernel's types, and kernels before 5.4 or built without
//! `CONFIG_DEBUG_INFO_BTF` do not show them. BTFHub keeps whole ones for the kernels of distributions; an image carries
//! of each only what its own object asks for, in one layer: a tar.gz with a file
//! `<ID>/<VERSION_ID>/<architecture>/<release>.btf` for each kernel.
//!
//! [`pack`] makes such a layer from a folder in BTFHub's form, always the same bytes from the same files. [`select`]
//! finds the file for a kernel, also in layers of other builders, which write names with `./`, write only the last part
//! of them, or call an architecture `arm64` that the kernel calls `aarch64`. A layer is hostile: names, kinds, counts
//! and sizes are checked, and nothing is ever written to disk.

mod archive;
mod error;
mod kernel;
mod layer;
#[cfg(test)]
mod tests;

pub use archive::{Packed, pack};
pub use error::{PackError, SelectError};
pub use kernel::Kernel;
pub use layer::select;

/// Most bytes of one file with types, whole or cut.
const MAX_TYPES: u64 = 256 << 20;

/// The end of the name of a file with types.
const EXTENSION: &str = ".btf";
