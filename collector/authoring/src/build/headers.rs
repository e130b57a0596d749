//! The folder that a compile finds its headers in: ours, embedded in the binary, and the kernel's types.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ig_image::Arch;
use tempfile::TempDir;

use super::error::BuildError;

/// Names and texts of `gadget/*.h`.
const GADGET_HEADERS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/headers.rs"));

/// A temporary include folder; removed when dropped.
#[derive(Debug)]
pub(super) struct IncludeFolder {
    folder: TempDir,
    /// Folders that go before it.
    before: Vec<PathBuf>,
}

/// A `vmlinux.h` for arm64 on top of another machine's types.
///
/// # Source
/// `arch/arm64/include/uapi/asm/ptrace.h` of Linux: part of its ABI.
const ARM64_REGISTERS: &str = "\
#include \"vmlinux-other.h\"
#ifndef IG_ARM64_REGISTERS
#define IG_ARM64_REGISTERS
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
#pragma clang attribute pop
#endif
";

impl IncludeFolder {
    /// Writes `gadget/*.h` and a `vmlinux.h` for `arch` beside them. The headers of `tree` go before ours.
    pub(super) fn create(vmlinux: &Path, arch: Arch, tree: Option<&Path>) -> Result<Self, BuildError> {
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
        let target: PathBuf = vmlinux.canonicalize().map_err(BuildError::io("open", vmlinux))?;
        let header = folder.path().join("vmlinux.h");
        if arch == Arch::Arm64 && lacks_registers(&target).map_err(BuildError::io("read", &target))? {
            let link = folder.path().join("vmlinux-other.h");
            symlink(target, &link).map_err(BuildError::io("write", &link))?;
            fs::write(&header, ARM64_REGISTERS).map_err(BuildError::io("write", &header))?;
        } else {
            symlink(target, &header).map_err(BuildError::io("write", &header))?;
        }
        let tree = tree.map(|tree| tree.canonicalize().map_err(BuildError::io("open", tree))).transpose()?;
        let before = tree.map_or_else(Vec::new, |tree| {
            let include = tree.join("include");
            vec![include.join("gadget").join(arch.name()), include]
        });
        Ok(Self { folder, before })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Every folder to look into, in this order.
    pub(super) fn search(&self) -> impl Iterator<Item = &Path> {
        self.before.iter().map(PathBuf::as_path).chain([self.path()])
    }
}

/// How to get the headers that programs usually need from elsewhere, if none of `folders` has them.
pub(super) fn missing_package(folders: &[PathBuf]) -> Option<&'static str> {
    const NEEDED: [(&str, &str); 2] = [
        ("bpf/bpf_helpers.h", "apt-get install libbpf-dev"),
        ("asm/types.h", "apt-get install linux-libc-dev"),
    ];
    let is_there = |header: &str| folders.iter().any(|folder| folder.join(header).exists());
    NEEDED.into_iter().find(|(header, _)| !is_there(header)).map(|(_, install)| install)
}

/// Whether kernel types lack the registers that programs for arm64 see.
fn lacks_registers(vmlinux: &Path) -> io::Result<bool> {
    const NAME: &[u8] = b"struct user_pt_regs {";
    let content = fs::read(vmlinux)?;
    Ok(!content.windows(NAME.len()).any(|window| window == NAME))
}
