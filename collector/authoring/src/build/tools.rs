//! The programs a build runs, and where they are.

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::error::BuildError;

/// The oldest compiler whose BTF and CO-RE relocations gadgets can live with.
pub(super) const OLDEST_CLANG: u32 = 14;
/// Most text of a program's output that is kept.
const MAX_OUTPUT: usize = 64 << 10;
/// Where Debian keeps programs that an ordinary user's PATH leaves out.
const EXTRA_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program that a build runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// The C compiler.
    Clang,
    /// Removes debug information, keeps BTF.
    Strip,
    /// Prints the kernel's types as a C header.
    Bpftool,
    /// Links WASM modules; the compiler calls it.
    WasmLinker,
    /// Builds WASM from Go.
    Go,
    /// Builds WASM from Rust.
    Cargo,
    /// Builds WASM from AssemblyScript.
    AssemblyScript,
}

impl Tool {
    /// The names it may be installed under, best first.
    pub(super) fn candidates(self) -> &'static [&'static str] {
        match self {
            Self::Clang => &[
                "clang-19", "clang", "clang-21", "clang-20", "clang-18", "clang-17", "clang-16", "clang-15",
                "clang-14",
            ],
            Self::Strip => &["llvm-strip-19", "llvm-strip"],
            Self::Bpftool => &["bpftool"],
            Self::WasmLinker => &["wasm-ld-19", "wasm-ld"],
            Self::Go => &["go"],
            Self::Cargo => &["cargo"],
            Self::AssemblyScript => &["asc"],
        }
    }

    /// How to get it.
    pub(super) fn install(self) -> &'static str {
        match self {
            Self::Clang => "apt-get install clang-19",
            Self::Strip => "apt-get install llvm-19",
            Self::Bpftool => "apt-get install bpftool",
            Self::WasmLinker => "apt-get install lld-19",
            Self::Go => "install Go 1.24 or newer, the first that makes modules of this form",
            Self::Cargo => "install Rust, and the target with: rustup target add wasm32-wasip1",
            Self::AssemblyScript => "run in the gadget's folder: npm install assemblyscript",
        }
    }

    /// Finds the program.
    pub(super) fn find(self) -> Result<PathBuf, BuildError> {
        find(self.candidates()).ok_or(BuildError::MissingTool { tool: self })
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clang => "clang",
            Self::Strip => "llvm-strip",
            Self::Bpftool => "bpftool",
            Self::WasmLinker => "wasm-ld",
            Self::Go => "go",
            Self::Cargo => "cargo",
            Self::AssemblyScript => "asc",
        })
    }
}

/// Compiler and strip of the same LLVM release.
#[derive(Debug)]
pub(super) struct Toolchain {
    pub(super) clang: PathBuf,
    pub(super) strip: PathBuf,
}

impl Toolchain {
    /// Finds both and checks the compiler's version.
    pub(super) fn find() -> Result<Self, BuildError> {
        let clang = Tool::Clang.find()?;
        let output = run(Command::new(&clang).arg("--version"))?;
        let version = clang_major(&String::from_utf8_lossy(&output.stdout));
        if let Some(version) = version.filter(|version| *version < OLDEST_CLANG) {
            return Err(BuildError::OldCompiler { path: clang, version });
        }
        let matching = version.and_then(|version| find(&[&format!("llvm-strip-{version}")]));
        let strip = matching.map_or_else(|| Tool::Strip.find(), Ok)?;
        Ok(Self { clang, strip })
    }
}

/// Runs a program to its end without input; an error if it cannot start or fails.
pub(super) fn run(command: &mut Command) -> Result<Output, BuildError> {
    let output = start(command)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(BuildError::ToolFailed {
        program: command.get_program().into(),
        status: output.status,
        output: text(&output.stderr),
    })
}

/// Runs a program to its end without input and lets the caller judge how it ended.
pub(super) fn start(command: &mut Command) -> Result<Output, BuildError> {
    command.stdin(Stdio::null());
    command.output().map_err(BuildError::io("run", Path::new(command.get_program())))
}

/// What a program wrote, as text of bounded length.
pub(super) fn text(output: &[u8]) -> String {
    let kept = output.get(..MAX_OUTPUT).unwrap_or(output);
    let mut text = String::from_utf8_lossy(kept).trim_end().to_owned();
    if kept.len() < output.len() {
        text.push_str("\n... (more left out)");
    }
    text
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(EXTRA_FOLDERS.into_iter().map(PathBuf::from))
        .collect();
    let in_folders =
        |name: &&str| folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path));
    names.iter().find_map(in_folders)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The major version in the answer to `clang --version`.
fn clang_major(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("clang version ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: answers of compilers packaged by Debian, upstream and Apple.
    /// Guarantees: the major version is found; other text has none.
    #[test]
    fn clang_version_is_read() {
        assert_eq!(clang_major("Debian clang version 19.1.7 (3~deb12u1)\nTarget: x"), Some(19));
        assert_eq!(clang_major("clang version 9.0.0-2"), Some(9));
        assert_eq!(clang_major("gcc (Debian) 12"), None);
    }

    /// Scenario: a program that writes a megabyte.
    /// Guarantees: the kept text is bounded and says so.
    #[test]
    fn output_is_bounded() {
        let kept = text(&vec![b'x'; 1 << 20]);
        assert!(kept.len() < MAX_OUTPUT + 100 && kept.ends_with("left out)"));
    }
}
