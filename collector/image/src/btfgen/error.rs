//! What can go wrong with types that are brought along.

use std::io;
use std::path::PathBuf;

use ig_kernel::btf::BtfError;
use ig_loader::ParseError;
use ig_loader::min_btf::CutError;

use super::Kernel;

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

/// No types for a kernel can be had from a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The layer has none for this kernel.
    #[error(
        "the image brings no types for this kernel: `{wanted}` is not among the {count} files of its BTF layer"
    )]
    Missing {
        /// The file that was looked for.
        wanted: String,
        /// Files the layer has.
        count: usize,
        /// The releases that it has for the same distribution and machine, some of them.
        near: Vec<String>,
    },
    /// The layer is not a tar.gz, or damaged.
    #[error("the image's BTF layer cannot be read")]
    Read(#[source] io::Error),
    /// The layer holds what none may hold.
    #[error("the image's BTF layer is refused: entry `{entry}` {problem}")]
    Refused {
        /// Its name, shortened.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The layer is larger than any may be.
    #[error("the image's BTF layer is refused: more than {limit} {what}")]
    TooLarge {
        /// Bytes or entries.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The machine does not say what it is.
    #[error("failed to read `{path}`, which names the distribution")]
    Distribution {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl SelectError {
    pub(super) fn missing(kernel: &Kernel, count: usize, near: Vec<String>) -> Self {
        Self::Missing { wanted: kernel.file(), count, near }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { near, .. } if near.is_empty() => Some(
                "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or build the image with --btfgen and an archive that has \
                 this kernel"
                    .to_owned(),
            ),
            Self::Missing { near, .. } => {
                Some(format!("the image has types for {} of the same distribution", near.join(", ")))
            }
            _ => None,
        }
    }
}
