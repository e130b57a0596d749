//! Images as one file: an uncompressed tar of an OCI layout, for carrying them where no registry is.
//!
//! What is written depends on the images alone: no time, no user, files and entries sorted. What is read may come from
//! anywhere: only regular files are taken, only under names that a layout has, each blob is compared with its digest,
//! and the store's index learns of the images when all of them are complete.

mod error;
mod export;
mod import;
mod read;
#[cfg(test)]
mod tests;

pub use error::{ArchiveError, MemberProblem};
pub use import::Imported;
pub use read::check;
