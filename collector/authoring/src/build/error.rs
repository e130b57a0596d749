//! What can go wrong in a build, told so that the author of a gadget can mend it.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use ig_config::Fault;
use ig_image::{Arch, StoreError};
use ig_model::Hint;

use super::tools::Tool;

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
        part: ig_image::store::Part,
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
    /// `build.yaml` names a WASM source in no language known here.
    #[error(
        "`wasm: {name}` in build.yaml is neither a module (.wasm) nor C (.c), Go (.go), Rust (.rs) or AssemblyScript (.ts)"
    )]
    WasmSource {
        /// The file name.
        name: String,
    },
    /// The WASM source does not compile.
    #[error("failed to compile `{file}` to WASM:\n{diagnostics}")]
    CompileWasm {
        /// The source file.
        file: PathBuf,
        /// The compiler's words.
        diagnostics: String,
    },
    /// A compiler left no module, or several.
    #[error("`{folder}` has not exactly one WASM module after the build")]
    NotOneModule {
        /// Where it should be.
        folder: PathBuf,
    },
    /// The compiled object could not be loaded.
    #[error("the object made of `{file}` cannot be read")]
    Object {
        /// The source file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<ig_loader::ParseError>,
    },
    /// gadget.yaml cannot be completed.
    #[error("failed to update `{path}`")]
    Update {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<crate::gadget_yaml::UpdateError>,
    },
    /// What was asked for needs an eBPF source, and the folder has none.
    #[error("{what} needs an eBPF source, and `{folder}` has none")]
    NoObject {
        /// What was asked for.
        what: &'static str,
        /// The gadget's folder.
        folder: PathBuf,
    },
    /// The types of other kernels cannot be cut.
    #[error(transparent)]
    Pack(#[from] crate::btf_archive::PackError),
    /// The file named as WASM module is something else.
    #[error("`{path}` is not a WASM module")]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// The folder has nothing an image could be made of.
    #[error("`{folder}` has nothing to build: no eBPF source `{source_name}` and no WASM module")]
    Nothing {
        /// The gadget's folder.
        folder: PathBuf,
        /// The eBPF source looked for.
        source_name: String,
    },
    /// Nobody gave the image a name, and the folder's own cannot be one.
    #[error("the name of `{folder}` cannot be that of an image")]
    NoName {
        /// The gadget's folder.
        folder: PathBuf,
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
        /// How to get the headers that this machine lacks, if it lacks any that gadgets usually need.
        install: Option<&'static str>,
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
}

impl Hint for BuildError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::MissingTool { tool } => Some(tool.install().into()),
            Self::OldCompiler { .. } => Some(Tool::Clang.install().into()),
            Self::Compile { install, .. } => install.map(Cow::Borrowed),
            Self::KernelBtf { .. } => Some(
                "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a vmlinux.h made on another machine"
                    .into(),
            ),
            Self::Nothing { .. } => Some(
                "name the source as `ebpfsource` in build.yaml; only a gadget.yaml with an `operator` needs none"
                    .into(),
            ),
            Self::NoName { .. } => Some("give it one with `-t NAME`".into()),
            Self::WasmSource { .. } => {
                Some("compile the module yourself and name the `.wasm` file in build.yaml".into())
            }
            Self::CompileWasm { diagnostics, .. } => wasm_hint(diagnostics).map(Cow::Borrowed),
            Self::Update { source, .. } => match &**source {
                crate::gadget_yaml::UpdateError::Unfit { additions } => {
                    Some(format!("add what is missing by hand:\n{additions}").into())
                }
                _ => None,
            },
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}

/// What compilers say when a part of the toolchain is not there. Only their words tell: the reports that rustc and go can
/// write for programs hold the same texts, most of them without a code, and a wrong guess costs a hint.
fn wasm_hint(diagnostics: &str) -> Option<&'static str> {
    let says = |words: &str| diagnostics.contains(words);
    if says("target may not be installed")
        || says("can't find crate for `std`")
        || says("can't find crate for `core`")
    {
        return Some("rustup target add wasm32-wasip1");
    }
    if says("-buildmode=c-shared not supported") {
        return Some(Tool::Go.install());
    }
    if says("cannot find module") || says("dial tcp") || says("no required module provides package") {
        return Some("Go fetches modules from the network; vendor them with: go mod vendor");
    }
    None
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
