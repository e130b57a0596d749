//! Why an image brings no types for a kernel.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use ig_model::Hint;

use super::Kernel;

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
}

impl Hint for SelectError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing { near, .. } if near.is_empty() => Some(
                "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or build the image with --btfgen and an archive that has \
                 this kernel"
                    .into()),
            Self::Missing { near, .. } => {
                Some(format!("the image has types for {} of the same distribution", near.join(", ")).into())
            }
            _ => None,
        }
    }
}
