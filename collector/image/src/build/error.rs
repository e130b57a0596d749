//! What can go wrong in a build, told so that the author of a gadget can mend it.

use std::io;
use std::path::{Path, PathBuf};

use ig_config::Fault;

use super::tools::Tool;
use crate::{Arch, ErrorKind, StoreError};

/// A gadget image cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file operation failed.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An input file is larger than an image may hold.
    #[error("`{path}` has more than the {limit} bytes allowed for a {part}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it would have become.
        part: crate::store::Part,
        /// The bound.
        limit: u64,
    },
    /// `build.yaml` or `gadget.yaml` is wrong; each fault says where.
    #[error("`{path}` has {} fault{}:\n{}", faults.len(), if faults.len() == 1 { "" } else { "s" }, lines(faults))]
    Document {
        /// The file.
        path: PathBuf,
        /// All faults of the file.
        faults: Vec<Fault>,
    },
    /// `build.yaml` names a file that could be mistaken for an option of the compiler.
    #[error("`{key}: {name}` in build.yaml may not start with `-` or `@`")]
    OptionLike {
        /// The key.
        key: &'static str,
        /// The file name.
        name: String,
    },
    /// `build.yaml` asks for a WASM module to be compiled.
    #[error("building WASM from `{name}` is not available, only ready-made `.wasm` files are")]
    WasmSource {
        /// The file name.
        name: String,
    },
    /// The file named as WASM module is something else.
    #[error("`{path}` is not a WASM module")]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// The folder has nothing an image could be made of.
    #[error("`{folder}` has nothing to build: no eBPF source `{source_name}`, no metadata, no WASM module")]
    Nothing {
        /// The gadget's folder.
        folder: PathBuf,
        /// The eBPF source looked for.
        source_name: String,
    },
    /// A program that the build runs is not installed.
    #[error("`{tool}` is not installed: {} not found in PATH", tool.candidates().join(", "))]
    MissingTool {
        /// The program.
        tool: Tool,
    },
    /// The compiler is too old to emit what gadgets need.
    #[error("compiler `{path}` has version {version}, at least {} is needed", super::tools::OLDEST_CLANG)]
    OldCompiler {
        /// The compiler.
        path: PathBuf,
        /// Its major version.
        version: u32,
    },
    /// A program of the build failed.
    #[error("`{program}` failed with {status}:\n{output}")]
    ToolFailed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        output: String,
    },
    /// The gadget's source does not compile.
    #[error("failed to compile `{file}` for {arch}:\n{diagnostics}")]
    Compile {
        /// The source file.
        file: PathBuf,
        /// The architecture.
        arch: Arch,
        /// The compiler's words, with file and line.
        diagnostics: String,
    },
    /// The kernel does not say what its types are.
    #[error("failed to read the kernel's type information `{path}`")]
    KernelBtf {
        /// The file in sysfs.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `SOURCE_DATE_EPOCH` is not a number.
    #[error("SOURCE_DATE_EPOCH `{text}` is not a number of seconds since 1970")]
    Epoch {
        /// Its value.
        text: String,
    },
    /// The store refused the image.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BuildError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::TooLarge { .. }
            | Self::Document { .. }
            | Self::OptionLike { .. }
            | Self::WasmSource { .. }
            | Self::NotWasm { .. }
            | Self::Epoch { .. } => ErrorKind::InvalidInput,
            Self::Nothing { .. } => ErrorKind::NotFound,
            Self::MissingTool { .. } | Self::OldCompiler { .. } | Self::KernelBtf { .. } => {
                ErrorKind::MissingTool
            }
            Self::ToolFailed { .. } => ErrorKind::Io,
            Self::Compile { .. } => ErrorKind::CompileFailed,
            Self::Store(error) => error.kind(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MissingTool { tool } => Some(format!("apt-get install {}", tool.package())),
            Self::OldCompiler { .. } => Some(format!("apt-get install {}", Tool::Clang.package())),
            Self::Compile { diagnostics, .. } => compile_hint(diagnostics),
            Self::KernelBtf { .. } => Some(
                "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a vmlinux.h made on another machine"
                    .to_owned(),
            ),
            Self::WasmSource { .. } => {
                Some("compile the module yourself and name the `.wasm` file in build.yaml".to_owned())
            }
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}

/// The two headers that come from elsewhere, and what brings them.
fn compile_hint(diagnostics: &str) -> Option<String> {
    if diagnostics.contains("'bpf/") && diagnostics.contains("file not found") {
        return Some("apt-get install libbpf-dev".to_owned());
    }
    if diagnostics.contains("'asm/") && diagnostics.contains("file not found") {
        return Some("apt-get install linux-libc-dev".to_owned());
    }
    None
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
