//! What a check of a store can find, and what it means for the images.

use std::fmt;
use std::path::PathBuf;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Names of images and signatures that lead to something usable.
    pub images: usize,
    /// Blobs that were looked at.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Intact blobs that nothing leads to.
    pub garbage: usize,
    /// Their bytes.
    pub garbage_bytes: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Whether what could be put right was.
    pub is_repaired: bool,
}

/// Something that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `oci-layout` is missing or torn.
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// `index.json` is missing or torn.
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// Names that could still be read from it.
        recovered: usize,
    },
    /// An image is there but no name leads to it since the index is damaged.
    Nameless {
        /// The image.
        digest: String,
        /// The title in its annotations, to tell what it is.
        title: String,
    },
    /// A name stands in the index twice.
    Duplicate {
        /// The name.
        name: String,
        /// What the entry that does not count leads to.
        digest: String,
    },
    /// A name has the digest of another image in it.
    Misnamed {
        /// The name.
        name: String,
        /// What it leads to.
        digest: String,
    },
    /// An entry of the index leads to something incomplete or damaged.
    Entry {
        /// Its name, if it has one.
        name: Option<String>,
        /// What it leads to.
        digest: String,
        /// What is wrong there.
        cause: String,
        /// Whether this machine could still run it.
        is_usable: bool,
    },
    /// The content of a blob is not what its name says.
    Blob {
        /// The blob's file.
        path: PathBuf,
        /// What it is instead.
        cause: String,
    },
    /// The disk does not give a blob.
    Unreadable {
        /// The blob's file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A temporary file of a process that was killed.
    Leftover {
        /// The file.
        path: PathBuf,
    },
}

impl Report {
    /// Whether something is gone, or still wrong after a repair.
    pub fn has_losses(&self) -> bool {
        self.faults.iter().any(Fault::is_loss)
    }
}

impl Fault {
    /// Whether a repair gives up something that a person may want back.
    pub fn is_loss(&self) -> bool {
        match self {
            // A blob that matters is told again by the entry that leads to it.
            Self::Layout { .. }
            | Self::Index { .. }
            | Self::Duplicate { .. }
            | Self::Misnamed { .. }
            | Self::Leftover { .. }
            | Self::Blob { .. } => false,
            Self::Nameless { .. } | Self::Unreadable { .. } => true,
            Self::Entry { name, .. } => name.is_some(),
        }
    }

    /// What a repair does about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Layout { .. } => "it is written anew".to_owned(),
            Self::Index { recovered: 0, .. } => "it is made anew from the blobs, without names".to_owned(),
            Self::Index { recovered, .. } => {
                format!("it is made anew from the blobs and the {recovered} names that can be read in it")
            }
            Self::Nameless { digest, .. } => {
                format!("its name is lost; give it one with `ig image tag image@{digest} NAME`")
            }
            Self::Duplicate { .. } => "the name stays with the last entry".to_owned(),
            Self::Misnamed { .. } => "the name is removed, for nothing may run by it".to_owned(),
            Self::Entry { name: Some(name), is_usable: false, .. } => {
                format!(
                    "the name is removed; get the image back with `ig image pull {name}`, or build it again"
                )
            }
            Self::Entry { name: Some(name), is_usable: true, .. } => {
                format!("it stays, for this machine can run it; complete it with `ig image pull {name}`")
            }
            Self::Entry { name: None, .. } => "the entry is removed".to_owned(),
            Self::Blob { .. } | Self::Leftover { .. } => "the file is removed".to_owned(),
            Self::Unreadable { .. } => "it stays as it is; look after the disk".to_owned(),
        }
    }

    /// From what is wrong with the store to what is wrong with one image.
    pub(super) fn order(&self) -> u8 {
        match self {
            Self::Layout { .. } => 0,
            Self::Index { .. } => 1,
            Self::Blob { .. } | Self::Unreadable { .. } => 2,
            Self::Leftover { .. } => 3,
            Self::Duplicate { .. } | Self::Misnamed { .. } | Self::Entry { name: None, .. } => 4,
            Self::Nameless { .. } | Self::Entry { .. } => 5,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { path, cause } | Self::Index { path, cause, .. } | Self::Blob { path, cause } => {
                write!(f, "`{}` is damaged: {cause}", path.display())
            }
            Self::Nameless { digest, title } if title.is_empty() => write!(f, "image `{digest}` has no name"),
            Self::Nameless { digest, title } => write!(f, "image `{digest}`, titled `{title}`, has no name"),
            Self::Duplicate { name, digest } => {
                write!(f, "`{name}` stands in the index twice, once for `{digest}`, which does not count")
            }
            Self::Misnamed { name, digest } => {
                write!(f, "`{name}` leads to an image of another digest, `{digest}`")
            }
            Self::Entry { name: Some(name), cause, .. } => write!(f, "image `{name}` is incomplete: {cause}"),
            Self::Entry { name: None, digest, cause, .. } => {
                write!(f, "entry `{digest}` of the index is incomplete: {cause}")
            }
            Self::Unreadable { path, cause } => write!(f, "`{}` cannot be read: {cause}", path.display()),
            Self::Leftover { path } => {
                write!(f, "`{}` was left by a process that was killed", path.display())
            }
        }
    }
}
