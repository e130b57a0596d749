//! Why a layer of types cannot be made.

use std::io;
use std::path::PathBuf;

use ig_kernel::btf::BtfError;
use ig_loader::ParseError;
use ig_loader::min_btf::CutError;

/// A layer of types cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file or folder of the archive cannot be read.
    #[error("failed to read `{path}` of the BTF archive")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file of the archive does not hold what its name says.
    #[error("`{path}` of the BTF archive {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file of the archive is not usable BTF.
    #[error("`{path}` of the BTF archive holds no usable types")]
    Types {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BtfError,
    },
    /// The types of a kernel cannot be cut.
    #[error("failed to cut the types of `{path}`")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<CutError>,
    },
    /// The object cannot be read.
    #[error("the object, for which types are to be cut, cannot be read")]
    Object(#[source] Box<ParseError>),
    /// More files than any archive has.
    #[error("the BTF archive `{path}` has more than {limit} entries")]
    TooMany {
        /// Its folder.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
    /// The layer could not be put together.
    #[error("failed to pack the types")]
    Write(#[source] io::Error),
}
