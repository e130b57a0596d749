//! Building an image from a gadget's folder into the local store.
//!
//! The same inputs give the same digest: the time of the build is `SOURCE_DATE_EPOCH` where that is set, else the
//! newest change among the folder's sources, and no path of the machine enters the object. Inputs are the folder, the
//! embedded headers, libbpf's headers, the kernel's types and the compiler.
//!
//! An image lists the architectures it was built for: the machine's own unless others are asked for. The kernel's
//! types are those of this machine; a program for another architecture that looks into processor registers, be it by
//! including a header that does, needs the `vmlinux.h` of such a machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::manifest::{self, Descriptor, Index, Manifest, Platform, to_json};
use crate::{Arch, Digest, Reference, Store, StoreError};

mod compile;
mod error;
mod headers;
mod inputs;
#[cfg(test)]
mod tests;
mod tools;
mod vmlinux;

pub use error::BuildError;
pub use tools::Tool;

use headers::IncludeFolder;
use inputs::Inputs;
use tools::Toolchain;

/// What to build, and how.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The gadget's folder.
    pub folder: PathBuf,
    /// A build.yaml other than the folder's own.
    pub file: Option<PathBuf>,
    /// The name to store the image under; without one it is stored unnamed.
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
}

impl BuildRequest {
    /// Builds `folder` for this machine, unnamed.
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
    pub tag: Option<Reference>,
    /// Digest of its index.
    pub digest: Digest,
}

impl fmt::Display for BuiltImage {
    /// `<repository>:<tag>@sha256:<hex>`, or `@sha256:<hex>` for an unnamed image.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.tag {
            write!(f, "{}:{}", tag.repository(), tag.tag().unwrap_or_default())?;
        }
        write!(f, "@{}", self.digest)
    }
}

/// Reads `SOURCE_DATE_EPOCH` from the environment, for [`BuildRequest::source_date_epoch`].
///
/// # Errors
/// [`BuildError::Epoch`] if it is set to something that is not a number of seconds.
pub fn source_date_epoch() -> Result<Option<u64>, BuildError> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value.to_string_lossy().into_owned();
    match text.parse() {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => Err(BuildError::Epoch { text }),
    }
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
    let mut inputs = Inputs::read(&folder, request.file.as_deref(), &request.builder_version)?;
    for text in &inputs.warnings {
        progress(Progress::Warning { text });
    }
    let created = request.source_date_epoch.unwrap_or_else(|| inputs::newest_change(&folder));
    inputs::stamp(&mut inputs.annotations, created);

    let mut archs = if request.archs.is_empty() { vec![Arch::host()] } else { request.archs.clone() };
    archs.sort_unstable();
    archs.dedup();
    let objects = compile_all(request, &folder, inputs.source.as_deref(), &archs, progress)?;
    if let Some(output) = &request.output {
        for (arch, object) in &objects {
            let path = output.join(format!("{arch}.bpf.o"));
            std::fs::write(&path, object).map_err(BuildError::io("write", &path))?;
        }
    }
    let digest = assemble(store, &inputs, &archs, &objects, request.tag.as_ref())?;
    Ok(BuiltImage { tag: request.tag.clone(), digest })
}

fn compile_all(
    request: &BuildRequest,
    folder: &Path,
    source: Option<&str>,
    archs: &[Arch],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BTreeMap<Arch, Vec<u8>>, BuildError> {
    let mut objects = BTreeMap::new();
    let Some(source) = source else { return Ok(objects) };
    let toolchain = Toolchain::find()?;
    for &arch in archs {
        let header = match request.vmlinux.get(&arch) {
            Some(header) => header.clone(),
            None => vmlinux::of_running_kernel(request.cache.as_deref(), progress)?,
        };
        if arch != Arch::host() && !request.vmlinux.contains_key(&arch) {
            let text = format!(
                "no vmlinux.h was given for {arch}; the kernel types of this {} machine are used, \
                 and programs that read processor registers will not compile",
                Arch::host()
            );
            progress(Progress::Warning { text: &text });
        }
        let include = IncludeFolder::create(&header)?;
        objects.insert(arch, compile::compile(&toolchain, folder, source, arch, &include, progress)?);
    }
    Ok(objects)
}

/// Puts the parts into the store: blobs, a manifest for each architecture, and the index over them.
fn assemble(
    store: &Store,
    inputs: &Inputs,
    archs: &[Arch],
    objects: &BTreeMap<Arch, Vec<u8>>,
    tag: Option<&Reference>,
) -> Result<Digest, StoreError> {
    let config = if let Some(content) = &inputs.metadata {
        store.put_blob(manifest::METADATA, content)?
    } else {
        store.put_blob(manifest::EMPTY, b"{}")?;
        Descriptor::empty()
    };
    let config = Descriptor { annotations: inputs.annotations.clone(), ..config };
    let wasm = inputs.wasm.as_ref().map(|content| store.put_blob(manifest::WASM, content)).transpose()?;

    let mut entries = Vec::new();
    for &arch in archs {
        let object = objects.get(&arch).map(|object| store.put_blob(manifest::EBPF, object)).transpose()?;
        let layers = object.into_iter().chain(wasm.clone()).collect();
        let document = Manifest::gadget(config.clone(), layers, inputs.annotations.clone());
        let content = to_json(&document)
            .map_err(|source| StoreError::BadIndex { path: store.path().to_owned(), source })?;
        let entry = store.put_blob(manifest::MANIFEST, &content)?;
        entries.push(Descriptor {
            annotations: inputs.annotations.clone(),
            platform: Some(Platform::linux(arch)),
            ..entry
        });
    }
    store.put_index(&Index::of(entries, inputs.annotations.clone()), tag)
}
