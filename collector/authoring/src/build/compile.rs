//! Compiling an eBPF source into the object that an image holds.
//!
//! The object depends on the content of its inputs only: paths of this machine are mapped to relative ones, and line
//! information takes source text from the compiler instead of from files that the mapped paths cannot reach.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ig_image::Arch;
use ig_image::store::Part;

use super::error::BuildError;
use super::headers::{IncludeFolder, missing_package};
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
            .arg(format!("-I{}", multiarch_folder()))
            .args(["-c", source, "-o"])
            .arg(&object),
    )?;
    // The folder is gone by the time somebody reads this; its name would only mislead.
    let diagnostics = text(&output.stderr).replace(&format!("{}/", include.path().display()), "include/");
    if !output.status.success() {
        // What is missing is looked up, not read out of the compiler's words.
        let folders: Vec<PathBuf> = include.search().map(Path::to_owned).chain(system_folders()).collect();
        let install = missing_package(&folders);
        return Err(BuildError::Compile { file: folder.join(source), arch, diagnostics, install });
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

/// The folder of the machine's own `asm/` headers.
fn multiarch_folder() -> String {
    format!("/usr/include/{}", multiarch(Arch::host()))
}

/// Where the compiler looks behind the folders it is given.
fn system_folders() -> impl Iterator<Item = PathBuf> {
    [multiarch_folder(), "/usr/local/include".to_owned(), "/usr/include".to_owned()]
        .into_iter()
        .map(PathBuf::from)
}

fn prefix_map(from: &Path, to: &str) -> OsString {
    let mut option = OsString::from("-ffile-prefix-map=");
    option.push(from);
    option.push("=");
    option.push(to);
    option
}
