//! `ig image`: build gadgets into the local store and list what is there.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use ig_image::{
    Arch, Reference, Store,
    build::{BuildRequest, Progress, build, source_date_epoch},
};

use crate::failure::Failure;

/// Where root's images are; others have `~/.ig/oci-store`.
const ROOT_STORE: &str = "/var/lib/ig/oci-store";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Image store [default: /var/lib/ig/oci-store, or ~/.ig/oci-store without root]
    #[arg(long, env = "IG_STORE", value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the gadget in a folder and put its image into the store
    Build(BuildArguments),
    /// List the images in the store
    #[command(visible_alias = "ls")]
    List {
        /// How the list is printed
        #[arg(short, long, value_enum, default_value_t = Output::Columns)]
        output: Output,
        /// Print whole digests
        #[arg(long)]
        no_trunc: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds program.bpf.c, gadget.yaml and, optionally, build.yaml. The headers \
    <gadget/*.h> ship inside ig; <bpf/*.h> come from libbpf-dev and <vmlinux.h> from the running kernel."
)]
struct BuildArguments {
    /// The gadget's folder
    path: PathBuf,
    /// Name of the image, such as trace_exec or registry.example/name:tag
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
    /// Also leave the objects in this folder
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table
    Columns,
    /// One JSON array
    Json,
    /// One JSON array, indented
    Jsonpretty,
}

fn vmlinux(text: &str) -> Result<(Arch, PathBuf), String> {
    let (arch, path) = text.split_once('=').ok_or("expected ARCH=FILE")?;
    Ok((arch.parse().map_err(|error: ig_image::ParseArchError| error.to_string())?, path.into()))
}

/// The store to use: the one given, else the user's own.
pub(crate) fn store_path(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| Store::default_path().unwrap_or_else(|_| ROOT_STORE.into()), Path::to_owned)
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::open(store_path(arguments.store.as_deref()))
        .map_err(|error| with_hint(Failure::new(&error), error.hint()))?;
    match &arguments.command {
        Command::Build(request) => run_build(&store, request),
        Command::List { output, no_trunc } => list(&store, *output, *no_trunc),
    }
}

fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn run_build(store: &Store, arguments: &BuildArguments) -> Result<(), Failure> {
    let tag = arguments
        .tag
        .as_deref()
        .map(Reference::parse)
        .transpose()
        .map_err(|error| Failure::config(error.to_string()))?;
    let epoch = source_date_epoch().map_err(|error| Failure::config(error.to_string()))?;
    let request = BuildRequest {
        file: arguments.file.clone(),
        tag,
        archs: arguments.arch.clone(),
        vmlinux: arguments.vmlinux.iter().cloned().collect::<BTreeMap<_, _>>(),
        output: arguments.output.clone(),
        source_date_epoch: epoch,
        ..BuildRequest::new(&arguments.path)
    };
    let built = build(store, &request, &mut |step| match step {
        Progress::KernelTypes { btf } => eprintln!("reading the kernel's types from {}", btf.display()),
        Progress::Compiling { source, arch } => {
            eprintln!("compiling {} for {arch}", arguments.path.join(source).display());
        }
        Progress::Diagnostics { text } => eprintln!("{text}"),
        Progress::Warning { text } => eprintln!("warning: {text}"),
        _ => {}
    })
    .map_err(|error| with_hint(Failure::new(&error), error.hint()))?;
    eprintln!("Successfully built {built}");
    Ok(())
}

fn list(store: &Store, output: Output, no_trunc: bool) -> Result<(), Failure> {
    let images = store.list().map_err(|error| with_hint(Failure::new(&error), error.hint()))?;
    if output != Output::Columns {
        let list: Vec<_> = images
            .iter()
            .map(|image| {
                serde_json::json!({
                    "Repository": image.repository,
                    "Tag": image.tag,
                    "Digest": image.digest.to_string(),
                    "Created": image.created.as_deref().unwrap_or_default(),
                })
            })
            .collect();
        let text = if output == Output::Json {
            serde_json::to_string(&list)
        } else {
            serde_json::to_string_pretty(&list)
        };
        print!("{}", text.map_err(|error| Failure::new(&error))?);
        return Ok(());
    }
    let short = std::io::stdout().is_terminal() && !no_trunc;
    let mut rows =
        vec![["REPOSITORY".to_owned(), "TAG".to_owned(), "DIGEST".to_owned(), "CREATED".to_owned()]];
    for image in images {
        let digest = image.digest.to_string();
        let digest =
            if short { digest.trim_start_matches("sha256:").chars().take(12).collect() } else { digest };
        rows.push([image.repository, image.tag, digest, image.created.unwrap_or_default()]);
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let (repository, tag, digest) = (width(0), width(1), width(2));
    for [a, b, c, d] in &rows {
        println!("{}", format!("{a:repository$} {b:tag$} {c:digest$} {d}").trim_end());
    }
    Ok(())
}
