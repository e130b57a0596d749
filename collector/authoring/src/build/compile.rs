//! Compiling an eBPF source into the object that an image holds.
//!
//! The object depends on the content of its inputs only: paths of this machine are mapped to relative ones, and line
//! information takes source text from the compiler instead of from files that the mapped paths cannot reach.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use ig_image::Arch;
use ig_image::store::Part;

use super::error::BuildError;
use super::headers::IncludeFolder;
use super::tools::{Toolchain, run, start, text};
use super::{Progress, inputs};

/// Compiles `source`, a path relative to `folder`, for `arch`.
pub(super) fn compile(
    toolchain: &Toolchain,
    folder: &Path,
    source: &str,
    arch: Arch,
    include: &IncludeFolder,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<u8>, BuildError> {
    progress(Progress::Compiling { source, arch });
    let object = include.path().join(format!("{arch}.bpf.o"));
    let output = start(
        Command::new(&toolchain.clang)
            .current_dir(folder)
            .env_remove("CPATH")
            .env_remove("C_INCLUDE_PATH")
            .args(["-target", "bpf", "-Wall", "-O2", "-g", "-gdwarf-5", "-gembed-source"])
            .args(["-fdebug-compilation-dir=.", "-fno-color-diagnostics", "-fno-ident"])
            .arg(prefix_map(include.path(), "include"))
            .arg(prefix_map(folder, "."))
            .arg("-D")
            .arg(target_macro(arch))
            .args(include.search().flat_map(|folder| [OsStr::new("-I"), folder.as_os_str()]))
            .arg(format!("-I/usr/include/{}", multiarch(Arch::host())))
            .args(["-c", source, "-o"])
            .arg(&object),
    )?;
    // The folder is gone by the time somebody reads this; its name would only mislead.
    let diagnostics = text(&output.stderr).replace(&format!("{}/", include.path().display()), "include/");
    if !output.status.success() {
        return Err(BuildError::Compile { file: folder.join(source), arch, diagnostics });
    }
    if !diagnostics.is_empty() {
        progress(Progress::Diagnostics { text: &diagnostics });
    }
    run(Command::new(&toolchain.strip).arg("-g").arg(&object))?;
    let content = inputs::read(&object, Part::Ebpf)?;
    fs::remove_file(&object).map_err(BuildError::io("remove", &object))?;
    Ok(content)
}

/// The `__TARGET_ARCH_*` macro that libbpf's tracing header looks for.
const fn target_macro(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "__TARGET_ARCH_x86",
        Arch::Arm64 => "__TARGET_ARCH_arm64",
    }
}

/// The folder below `/usr/include` that holds the machine's own `asm/` headers.
const fn multiarch(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "x86_64-linux-gnu",
        Arch::Arm64 => "aarch64-linux-gnu",
    }
}

fn prefix_map(from: &Path, to: &str) -> OsString {
    let mut option = OsString::from("-ffile-prefix-map=");
    option.push(from);
    option.push("=");
    option.push(to);
    option
}
