//! The WASM module of an image: ready-made, or compiled by the toolchain of its language.
//!
//! Every language ends in the same thing: one module for all architectures that exports the hooks of the gadget's life
//! cycle. Compilers run as the user with the user's environment, caches and networks, but for what would make two
//! builds of one source differ.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ig_image::store::Part;
use tempfile::TempDir;

use super::Progress;
use super::error::BuildError;
use super::inputs::read;
use super::tools::{Tool, start, text};

/// What a C module may export without saying so in its source.
const HOOKS: [&str; 8] = [
    "_initialize",
    "gadgetAPIVersion",
    "gadgetInit",
    "gadgetPreStart",
    "gadgetStart",
    "gadgetStop",
    "gadgetPostStop",
    "dataSourceCallback",
];
/// What Rust compiles for.
const RUST_TARGET: &str = "wasm32-wasip1";

/// How a module comes to be, by the ending of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Ready,
    C,
    Go,
    Rust,
    AssemblyScript,
}

impl Language {
    fn of(source: &str) -> Option<Self> {
        Some(match Path::new(source).extension()?.to_str()? {
            "wasm" => Self::Ready,
            "c" => Self::C,
            "go" => Self::Go,
            "rs" => Self::Rust,
            "ts" => Self::AssemblyScript,
            _ => return None,
        })
    }
}

/// Gives the module made from `source`, a path relative to `folder`.
pub(super) fn module(
    folder: &Path,
    source: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<u8>, BuildError> {
    let unknown = || BuildError::WasmSource { name: source.to_owned() };
    let language = Language::of(source).ok_or_else(unknown)?;
    let path = folder.join(source);
    if language == Language::Ready {
        return checked(&path);
    }
    fs::metadata(&path).map_err(BuildError::io("read the WASM source", &path))?;
    progress(Progress::CompilingWasm { source });
    let scratch = tempfile::Builder::new()
        .prefix("ig-wasm-")
        .tempdir()
        .map_err(BuildError::io("create a temporary folder in", &std::env::temp_dir()))?;
    let built = match language {
        Language::Go => go(&path, &scratch)?,
        Language::Rust => rust(&path, &scratch)?,
        Language::AssemblyScript => assembly_script(folder, &path, &scratch)?,
        Language::C | Language::Ready => c(folder, source, &scratch)?,
    };
    let Built { mut command, module } = built;
    let output = start(command.env_remove("MAKEFLAGS"))?;
    let diagnostics = [text(&output.stderr), text(&output.stdout)].join("\n").trim().to_owned();
    if !output.status.success() {
        return Err(BuildError::CompileWasm { file: path, diagnostics });
    }
    if language == Language::C && !diagnostics.is_empty() {
        progress(Progress::Diagnostics { text: &diagnostics });
    }
    checked(&module.locate()?)
}

/// A compiler to run, and where its module will be.
struct Built {
    command: Command,
    module: Module,
}

/// Where a compiler leaves its module.
enum Module {
    File(PathBuf),
    /// The only `.wasm` file of a folder, whatever its name.
    In(PathBuf),
}

impl Module {
    fn locate(self) -> Result<PathBuf, BuildError> {
        let folder = match self {
            Self::File(path) => return Ok(path),
            Self::In(folder) => folder,
        };
        let entries = fs::read_dir(&folder).map_err(BuildError::io("open folder", &folder))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        found.sort();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(BuildError::NotOneModule { folder }),
        }
    }
}

fn go(path: &Path, scratch: &TempDir) -> Result<Built, BuildError> {
    let module = scratch.path().join("program.wasm");
    let mut command = Command::new(Tool::Go.find()?);
    command
        .current_dir(parent(path))
        .env("CGO_ENABLED", "0")
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        // A reactor: hooks are called from outside, main never runs.
        .args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags", "-w -s", "-o"])
        .arg(&module)
        .arg(path.file_name().unwrap_or_default());
    Ok(Built { command, module: Module::File(module) })
}

fn rust(path: &Path, scratch: &TempDir) -> Result<Built, BuildError> {
    let package = parent(parent(path));
    let mut command = Command::new(Tool::Cargo.find()?);
    command
        .current_dir(package)
        .env("CARGO_TARGET_DIR", scratch.path())
        .env_remove("CARGO_MANIFEST_DIR")
        .args(["build", "--release", "--color", "never", "--target", RUST_TARGET, "--manifest-path"])
        .arg(package.join("Cargo.toml"));
    Ok(Built { command, module: Module::In(scratch.path().join(RUST_TARGET).join("release")) })
}

fn assembly_script(folder: &Path, path: &Path, scratch: &TempDir) -> Result<Built, BuildError> {
    // As npm would find it: beside the source, or further up in the gadget's folder.
    let local = path
        .ancestors()
        .skip(1)
        .take_while(|at| at.starts_with(folder))
        .map(|at| at.join("node_modules/.bin/asc"))
        .find(|asc| asc.exists());
    let asc = local.map_or_else(|| Tool::AssemblyScript.find(), Ok)?;
    let module = scratch.path().join("program.wasm");
    let mut command = Command::new(asc);
    command
        .current_dir(parent(path))
        .arg(path.file_name().unwrap_or_default())
        // Aborting is left out: no host has the import.
        .args(["--optimize", "--runtime", "stub", "--use", "abort=", "--noColors", "--outFile"])
        .arg(&module);
    Ok(Built { command, module: Module::File(module) })
}

fn c(folder: &Path, source: &str, scratch: &TempDir) -> Result<Built, BuildError> {
    let module = scratch.path().join("program.wasm");
    Tool::WasmLinker.find()?;
    let mut command = Command::new(Tool::Clang.find()?);
    command
        .current_dir(folder)
        .env_remove("CPATH")
        .env_remove("C_INCLUDE_PATH")
        .args(["--target=wasm32", "-O2", "-Wall", "-nostdlib", "-ffreestanding", "-fno-ident"])
        .args(["-fno-color-diagnostics", "-Wl,--no-entry", "-Wl,--strip-all"])
        .args(HOOKS.map(|hook| format!("-Wl,--export-if-defined={hook}")))
        .args([source, "-o"])
        .arg(&module);
    Ok(Built { command, module: Module::File(module) })
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn checked(path: &Path) -> Result<Vec<u8>, BuildError> {
    let content = read(path, Part::Wasm)?;
    if !content.starts_with(b"\0asm") {
        return Err(BuildError::NotWasm { path: path.to_owned() });
    }
    Ok(content)
}
