//! The folder that a compile finds its headers in: ours, embedded in the binary, and the kernel's types.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::BuildError;

/// Names and texts of `gadget/*.h`.
const GADGET_HEADERS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/headers.rs"));

/// A temporary include folder; removed when dropped.
#[derive(Debug)]
pub(super) struct IncludeFolder {
    folder: TempDir,
}

impl IncludeFolder {
    /// Writes `gadget/*.h` and links `vmlinux.h` beside them.
    pub(super) fn create(vmlinux: &Path) -> Result<Self, BuildError> {
        let folder = tempfile::Builder::new()
            .prefix("ig-include-")
            .tempdir()
            .map_err(BuildError::io("create a temporary folder in", &std::env::temp_dir()))?;
        let gadget = folder.path().join("gadget");
        fs::create_dir(&gadget).map_err(BuildError::io("create folder", &gadget))?;
        for (name, content) in GADGET_HEADERS {
            let path = gadget.join(name);
            fs::write(&path, content).map_err(BuildError::io("write", &path))?;
        }
        let link = folder.path().join("vmlinux.h");
        let target: PathBuf = vmlinux.canonicalize().map_err(BuildError::io("open", vmlinux))?;
        symlink(target, &link).map_err(BuildError::io("write", &link))?;
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}
