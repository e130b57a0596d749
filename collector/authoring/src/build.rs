//! Building an image from a gadget's folder into the local store.
//!
//! The same inputs give the same digest: the time of the build is `SOURCE_DATE_EPOCH` where that is set, else the
//! newest change among the folder's sources, and no path of the machine enters the object. Inputs are the folder, the
//! embedded headers, libbpf's headers, the kernel's types and the compiler.
//!
//! An image lists the architectures it was built for: the machine's own unless others are asked for. The kernel's
//! types are those of this machine, with the registers of arm64 added where it is built for and lacks them; relocation
//! corrects the rest. A program for amd64 that looks into processor registers needs, on arm64, a `vmlinux.h` of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ig_image::{Arch, Digest, Reference, Store};
use ig_loader::Object;
use ig_model::environment;

use crate::btf_archive;
use crate::gadget_yaml::Companion;

mod compile;
mod describe;
mod error;
mod headers;
mod inputs;
mod parts;
#[cfg(test)]
mod tests;
mod tools;
mod vmlinux;
mod wasm;

pub use error::BuildError;
pub use tools::Tool;

use headers::IncludeFolder;
use inputs::Inputs;
use parts::{Parts, assemble};
use tools::Toolchain;

/// What to build, and how.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The gadget's folder.
    pub folder: PathBuf,
    /// A build.yaml other than the folder's own.
    pub file: Option<PathBuf>,
    /// The name to store the image under; without one it is the folder's.
    pub tag: Option<Reference>,
    /// The architectures to build for; empty means this machine's.
    pub archs: Vec<Arch>,
    /// A `vmlinux.h` for an architecture, instead of the running kernel's types.
    pub vmlinux: BTreeMap<Arch, PathBuf>,
    /// An existing folder to leave the objects in as `<arch>.bpf.o`.
    pub output: Option<PathBuf>,
    /// Where generated headers are kept; `None` means the user's cache folder.
    pub cache: Option<PathBuf>,
    /// The time of the build in seconds since 1970; see [`source_date_epoch`].
    pub source_date_epoch: Option<u64>,
    /// The version recorded as the builder's.
    pub builder_version: String,
    /// Whether the folder's gadget.yaml is completed, or made, from what the object declares.
    pub update_metadata: bool,
    /// Whether gadget.yaml is held against the object; what keeps the gadget from working ends the build.
    pub validate_metadata: bool,
    /// A folder with the types of other kernels, in BTFHub's form, to bring along what the object needs of them.
    pub btf_archive: Option<PathBuf>,
    /// A source tree whose `include` folder goes before the embedded headers; see [`source_tree`].
    pub source_tree: Option<PathBuf>,
}

impl BuildRequest {
    /// Builds `folder` for this machine, under its own name.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            file: None,
            tag: None,
            archs: Vec::new(),
            vmlinux: BTreeMap::new(),
            output: None,
            cache: None,
            source_date_epoch: None,
            builder_version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
            update_metadata: false,
            validate_metadata: true,
            btf_archive: None,
            source_tree: None,
        }
    }
}

/// A step of a build, for the person who waits.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The kernel's types are being printed as a C header; once for each kernel.
    KernelTypes {
        /// Where the kernel keeps them.
        btf: &'a Path,
    },
    /// The compiler is running.
    Compiling {
        /// The source, relative to the folder.
        source: &'a str,
        /// The architecture.
        arch: Arch,
    },
    /// The compiler of a WASM module is running.
    CompilingWasm {
        /// The source, relative to the folder.
        source: &'a str,
    },
    /// The types of a kernel are being cut.
    CuttingTypes {
        /// The file of the archive.
        file: &'a Path,
        /// Which one of them it is, from one.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// What the compiler said about a source that it accepted.
    Diagnostics {
        /// Its words, with file and line; no line break at the end.
        text: &'a str,
    },
    /// Something odd that does not stop the build.
    Warning {
        /// A sentence.
        text: &'a str,
    },
}

/// An image that was built and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// The name it was stored under.
    pub tag: Reference,
    /// Digest of its index.
    pub digest: Digest,
}

impl fmt::Display for BuiltImage {
    /// `<repository>:<tag>@sha256:<hex>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = &self.tag;
        write!(f, "{}:{}@{}", tag.repository(), tag.tag().unwrap_or_default(), self.digest)
    }
}

/// Reads `SOURCE_DATE_EPOCH` from the environment, for [`BuildRequest::source_date_epoch`].
///
/// # Errors
/// [`BuildError::Epoch`] if it is set to something that is not a number of seconds.
pub fn source_date_epoch() -> Result<Option<u64>, BuildError> {
    let Some(text) = environment::text("SOURCE_DATE_EPOCH") else { return Ok(None) };
    match text.parse() {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => Err(BuildError::Epoch { text }),
    }
}

/// Reads `IG_SOURCE_PATH` from the environment, for [`BuildRequest::source_tree`].
pub fn source_tree() -> Option<PathBuf> {
    environment::variable("IG_SOURCE_PATH").map(PathBuf::from)
}

/// Builds an image and stores it.
///
/// Blocks while the compiler runs.
///
/// # Errors
/// [`BuildError`]; nothing is stored under the name unless the whole image was built.
pub fn build(
    store: &Store,
    request: &BuildRequest,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BuiltImage, BuildError> {
    let folder = inputs::folder(&request.folder)?;
    let tag = request.tag.clone().map_or_else(|| inputs::name_of(&folder), Ok)?;
    let mut inputs = Inputs::read(&folder, request.file.as_deref(), &request.builder_version)?;
    for text in &inputs.warnings {
        progress(Progress::Warning { text });
    }
    let created = request.source_date_epoch.unwrap_or_else(|| inputs::newest_change(&folder));
    let objects = compile_all(request, &folder, inputs.source.as_deref(), progress)?;
    describe(request, &folder, &mut inputs, &objects, progress)?;
    inputs::stamp(&mut inputs.annotations, created);
    let parts = Parts {
        types: cut_types(request, &folder, &objects, progress)?,
        wasm: inputs.wasm.as_deref().map(|source| wasm::module(&folder, source, progress)).transpose()?,
        objects,
    };
    if let Some(output) = &request.output {
        parts.write(output)?;
    }
    let digest = assemble(store, &inputs, &archs(request), &parts, &tag)?;
    Ok(BuiltImage { tag, digest })
}

fn archs(request: &BuildRequest) -> Vec<Arch> {
    let mut archs = if request.archs.is_empty() { vec![Arch::host()] } else { request.archs.clone() };
    archs.sort_unstable();
    archs.dedup();
    archs
}

/// Completes and checks gadget.yaml by the first object; what an object declares is the same for each architecture.
fn describe(
    request: &BuildRequest,
    folder: &Path,
    inputs: &mut Inputs,
    objects: &BTreeMap<Arch, Vec<u8>>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), BuildError> {
    let object = objects
        .values()
        .next()
        .filter(|_| request.update_metadata || request.validate_metadata)
        .map(|bytes| Object::parse("gadget", bytes))
        .transpose()
        .map_err(|source| BuildError::Object {
            file: folder.join(inputs.source.as_deref().unwrap_or_default()),
            source: Box::new(source),
        })?;
    let companion = if inputs.wasm.is_some() { Companion::Wasm } else { Companion::None };
    if request.update_metadata {
        let Some(object) = &object else {
            return Err(BuildError::NoObject { what: "updating gadget.yaml", folder: folder.to_owned() });
        };
        describe::update(&inputs.metadata_path, inputs.metadata_text(), object)?;
        inputs.read_metadata(&request.builder_version)?;
    }
    if request.validate_metadata
        && let Some(text) = inputs.metadata_text()
    {
        describe::validate(&inputs.metadata_path, text, object.as_ref(), companion, progress)?;
    }
    Ok(())
}

/// A layer of types for each architecture that the archive has kernels of.
fn cut_types(
    request: &BuildRequest,
    folder: &Path,
    objects: &BTreeMap<Arch, Vec<u8>>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BTreeMap<Arch, Vec<u8>>, BuildError> {
    let mut layers = BTreeMap::new();
    let Some(archive) = &request.btf_archive else { return Ok(layers) };
    if objects.is_empty() {
        return Err(BuildError::NoObject { what: "cutting kernel types", folder: folder.to_owned() });
    }
    for (arch, object) in objects {
        let mut each = |file: &Path, number, count| progress(Progress::CuttingTypes { file, number, count });
        let packed = btf_archive::pack(object, archive, *arch, &mut each)?;
        for path in &packed.misplaced {
            let text = format!(
                "`{}` is not at <ID>/<VERSION_ID>/<architecture>/ of the archive and is left out",
                path.display()
            );
            progress(Progress::Warning { text: &text });
        }
        if packed.kernels == 0 {
            let text = format!("`{}` has no types of {arch} kernels", archive.display());
            progress(Progress::Warning { text: &text });
        } else {
            layers.insert(*arch, packed.layer);
        }
    }
    Ok(layers)
}

fn compile_all(
    request: &BuildRequest,
    folder: &Path,
    source: Option<&str>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BTreeMap<Arch, Vec<u8>>, BuildError> {
    let mut objects = BTreeMap::new();
    let Some(source) = source else { return Ok(objects) };
    let toolchain = Toolchain::find()?;
    for arch in archs(request) {
        let header = match request.vmlinux.get(&arch) {
            Some(header) => header.clone(),
            None => vmlinux::of_running_kernel(request.cache.as_deref(), progress)?,
        };
        if arch != Arch::host() && !request.vmlinux.contains_key(&arch) {
            let text = format!(
                "no vmlinux.h was given for {arch}; the kernel types of this {} machine are used",
                Arch::host()
            );
            progress(Progress::Warning { text: &text });
        }
        let include = IncludeFolder::create(&header, arch, request.source_tree.as_deref())?;
        objects.insert(arch, compile::compile(&toolchain, folder, source, arch, &include, progress)?);
    }
    Ok(objects)
}
