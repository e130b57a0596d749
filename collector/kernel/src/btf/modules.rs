//! BTF of kernel modules, which rests on that of the kernel.

use std::sync::Arc;

use super::{Btf, BtfError};

/// Where the kernel shows the BTF of everything that has one.
pub const FOLDER: &str = "/sys/kernel/btf";

/// Names of the loaded modules that have BTF.
///
/// # Errors
/// When the folder cannot be read.
///
/// # Kernel
/// 5.11, `CONFIG_DEBUG_INFO_BTF_MODULES`; older kernels have none.
pub fn module_names() -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(FOLDER)? {
        if let Some(name) = entry?.file_name().to_str().filter(|name| *name != "vmlinux") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The types of a module; `base` is the kernel's own.
///
/// # Errors
/// As [`Btf::from_file`].
pub fn module(name: &str, base: Arc<Btf>) -> Result<Btf, BtfError> {
    Btf::from_file(&format!("{FOLDER}/{name}"), Some(base))
}
