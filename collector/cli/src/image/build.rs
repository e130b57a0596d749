//! `ig image build`: a gadget's folder becomes an image in the store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Args};
use ig_authoring::build::{BuildRequest, Progress, build, source_date_epoch, source_tree};
use ig_image::{Arch, Store};

use super::new_name;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds program.bpf.c, gadget.yaml and, optionally, build.yaml. The headers \
    <gadget/*.h> ship inside ig; <bpf/*.h> come from libbpf-dev and <vmlinux.h> from the running kernel.\n\n\
    Builds are reproducible: the same sources give the same digest. The time of the build is SOURCE_DATE_EPOCH, \
    else that of the newest source. IG_SOURCE_PATH names a source tree whose include folder goes first.\n\n\
    Examples:\n  ig image build . -t trace_exec\n  \
    ig image build . -t trace_exec --arch amd64,arm64 --btfgen --btfhub-archive btfhub-archive\n  \
    ig image build . --update-metadata"
)]
pub(super) struct Arguments {
    /// The gadget's folder
    path: PathBuf,
    /// Name of the image, such as trace_exec or registry.example/name:tag [default: the folder's]
    #[arg(short, long)]
    tag: Option<String>,
    /// A build file other than PATH/build.yaml
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Architectures to build for [default: this machine's]
    #[arg(long, value_delimiter = ',', value_name = "ARCH")]
    arch: Vec<Arch>,
    /// A vmlinux.h to use for an architecture instead of the running kernel's types
    #[arg(long, value_name = "ARCH=FILE", value_parser = vmlinux)]
    vmlinux: Vec<(Arch, PathBuf)>,
    /// Also leave the objects, the module and the types in this folder, which must exist
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Add what the object declares and gadget.yaml lacks, or make the file
    #[arg(long)]
    update_metadata: bool,
    /// Hold gadget.yaml against the object
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set)]
    validate_metadata: bool,
    /// Bring along the types of other kernels, for those that do not show their own
    #[arg(long, requires = "btfhub_archive")]
    btfgen: bool,
    /// Folder with the types of kernels: ID/VERSION_ID/ARCH/RELEASE.btf.tar.xz or .btf
    #[arg(long, value_name = "DIR", requires = "btfgen")]
    btfhub_archive: Option<PathBuf>,
    /// Build on this machine; always so
    #[arg(short, long)]
    local: bool,
    /// Accepted for compatibility: no container is used
    #[arg(long, value_name = "IMAGE", conflicts_with = "local")]
    builder_image: Option<String>,
    /// Accepted for compatibility: no container is used
    #[arg(long, value_name = "POLICY", value_parser = ["always", "missing", "never"])]
    builder_image_pull: Option<String>,
}

fn vmlinux(text: &str) -> Result<(Arch, PathBuf), String> {
    let (arch, path) = text.split_once('=').ok_or("expected ARCH=FILE")?;
    Ok((arch.parse().map_err(|error: ig_image::ParseArchError| error.to_string())?, path.into()))
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.builder_image.is_some() || arguments.builder_image_pull.is_some() {
        say!("note: gadgets are built with the compiler of this machine; no builder image is used");
    }
    let output = arguments.output.as_deref().map(existing_folder).transpose()?;
    let tag = arguments.tag.as_deref().map(new_name).transpose()?;
    let epoch = source_date_epoch().map_err(|error| Failure::config(error.to_string()))?;
    let request = BuildRequest {
        file: arguments.file.clone(),
        tag,
        archs: arguments.arch.clone(),
        vmlinux: arguments.vmlinux.iter().cloned().collect::<BTreeMap<_, _>>(),
        output,
        source_date_epoch: epoch,
        update_metadata: arguments.update_metadata,
        validate_metadata: arguments.validate_metadata,
        btf_archive: arguments.btfhub_archive.clone(),
        source_tree: source_tree(),
        ..BuildRequest::new(&arguments.path)
    };
    let built = build(store, &request, &mut |step| match step {
        Progress::KernelTypes { btf } => say!("reading the kernel's types from {}", btf.display()),
        Progress::Compiling { source, arch } => {
            say!("compiling {} for {arch}", arguments.path.join(source).display());
        }
        Progress::CompilingWasm { source } => {
            say!("compiling {} to WASM", arguments.path.join(source).display());
        }
        Progress::CuttingTypes { file, number, count } => {
            say!("cutting types {number}/{count}: {}", file.display());
        }
        Progress::Diagnostics { text } => say!("{text}"),
        Progress::Warning { text } => warning!("{text}"),
        _ => {}
    })
    .map_err(|error| Failure::hinted(&error))?;
    say!("Successfully built {built}");
    Ok(())
}

/// A folder for output; making one silently would hide a mistyped name.
fn existing_folder(path: &Path) -> Result<PathBuf, Failure> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    Err(Failure::config(format!("the output folder `{}` does not exist", path.display()))
        .hint("make it first"))
}
