//! `vmlinux.h`: the running kernel's types as a C header, printed by bpftool and kept in a cache.
//!
//! The cache is keyed by the content of the kernel's BTF, so another kernel means another file and the same kernel
//! costs one hash.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ig_image::Digest;

use super::Progress;
use super::error::BuildError;
use super::tools::{Tool, run};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
const MAX_BTF: u64 = 256 << 20;

/// The header for the running kernel, made if it is not in the cache.
pub(super) fn of_running_kernel(
    cache: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, BuildError> {
    of_btf(Path::new(KERNEL_BTF), cache, progress)
}

fn of_btf(
    btf: &Path,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, BuildError> {
    let fault = |source| BuildError::KernelBtf { path: btf.to_owned(), source };
    let mut content = Vec::new();
    File::open(btf).and_then(|file| file.take(MAX_BTF).read_to_end(&mut content)).map_err(fault)?;
    let key: String = Digest::of(&content).hex().chars().take(32).collect();
    drop(content);

    let folder = match cache {
        Some(folder) => folder.to_owned(),
        None => default_cache(),
    }
    .join("vmlinux");
    let header = folder.join(format!("{key}.h"));
    if fs::metadata(&header).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
        return Ok(header);
    }
    progress(Progress::KernelTypes { btf });
    let bpftool = Tool::Bpftool.find()?;
    let output = run(Command::new(bpftool).args(["btf", "dump", "file"]).arg(btf).args(["format", "c"]))?;

    let create = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    create.map_err(BuildError::io("create folder", &folder))?;
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&output.stdout)?;
        file.persist(&header).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(BuildError::io("write", &header))?;
    Ok(header)
}

/// `/var/cache/ig` for root, else `ig` in the user's cache folder.
fn default_cache() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/ig");
    }
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("ig")
}

#[cfg(test)]
mod tests {
    use ig_model::Hint as _;

    use super::*;

    /// Scenario: the running kernel's BTF, twice, with an empty cache at first.
    /// Guarantees: the header is made once, holds the kernel's types, and is found the second time.
    #[test]
    fn header_is_made_once() {
        let cache = tempfile::tempdir().unwrap();
        let mut made = 0;
        let mut header = PathBuf::new();
        for _ in 0..2 {
            header = of_running_kernel(Some(cache.path()), &mut |_| made += 1).unwrap();
        }
        assert_eq!(made, 1);
        assert!(fs::read_to_string(header).unwrap().contains("struct task_struct {"));
    }

    /// Scenario: a kernel without BTF.
    /// Guarantees: the error names the file and the hint names the kernel option.
    #[test]
    fn kernel_without_btf_is_reported() {
        let cache = tempfile::tempdir().unwrap();
        let error = of_btf(&cache.path().join("none"), Some(cache.path()), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("none"));
        assert!(error.hint().unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
    }
}
