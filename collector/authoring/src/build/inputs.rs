//! What a build starts from: `build.yaml`, `gadget.yaml`, and the files they name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use ig_config::yaml::{self, Node};
use ig_image::Reference;
use ig_image::manifest::{Annotations, BUILDER_VERSION, CREATED};
use ig_image::store::Part;

use super::error::BuildError;

const DEFAULT_SOURCE: &str = "program.bpf.c";
const DEFAULT_METADATA: &str = "gadget.yaml";
const MAX_DEPTH: usize = 4;
const MAX_ENTRIES: usize = 4096;

/// The files that go into an image, read whole; the eBPF source is left to the compiler.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The eBPF source, relative to the folder.
    pub(super) source: Option<String>,
    /// The `gadget.yaml` as it is.
    pub(super) metadata: Option<Vec<u8>>,
    /// What the `gadget.yaml` says about the image.
    pub(super) annotations: Annotations,
    /// Where the `gadget.yaml` is, or would be.
    pub(super) metadata_path: PathBuf,
    /// The WASM module or its source, relative to the folder.
    pub(super) wasm: Option<String>,
    /// Oddities worth a word to the author.
    pub(super) warnings: Vec<String>,
}

impl Inputs {
    /// Reads what `folder` offers. `file` is a build.yaml that must exist; without it the folder's own is optional.
    pub(super) fn read(folder: &Path, file: Option<&Path>, builder: &str) -> Result<Self, BuildError> {
        let mut warnings = Vec::new();
        let plan = Plan::read(folder, file, &mut warnings)?;

        let source_path = folder.join(&plan.source);
        let has_source = source_path.is_file();
        if !has_source && plan.source != DEFAULT_SOURCE {
            let missing = fs::metadata(&source_path).map(|_| ());
            let not_a_file = Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
            missing.and(not_a_file).map_err(BuildError::io("read the eBPF source", &source_path))?;
        }
        let metadata_path = folder.join(&plan.metadata);
        let mut inputs = Self {
            source: has_source.then_some(plan.source.clone()),
            metadata: None,
            annotations: Annotations::new(),
            metadata_path,
            wasm: plan.wasm,
            warnings,
        };
        inputs.read_metadata(builder)?;
        if !has_source && inputs.wasm.is_none() && !inputs.is_filled_by_operators()? {
            return Err(BuildError::Nothing { folder: folder.to_owned(), source_name: plan.source });
        }
        Ok(inputs)
    }

    /// Reads the `gadget.yaml`, if there is one, and what it says about the image.
    pub(super) fn read_metadata(&mut self, builder: &str) -> Result<(), BuildError> {
        if self.metadata_path.exists() {
            let content = read(&self.metadata_path, Part::Metadata)?;
            self.annotations = describe(&self.metadata_path, &content, builder)?;
            self.metadata = Some(content);
        }
        Ok(())
    }

    /// Whether the collector itself makes the records, as `operator` of the `gadget.yaml` says; such a gadget has no
    /// program.
    fn is_filled_by_operators(&self) -> Result<bool, BuildError> {
        let Some(content) = &self.metadata else { return Ok(false) };
        let document = document(&self.metadata_path, content)?;
        let operators = document.as_ref().and_then(|document| document.root.get("operator"));
        Ok(operators.and_then(Node::as_mapping).is_some_and(|entries| !entries.is_empty()))
    }

    /// The text of the `gadget.yaml`; it was checked when it was read.
    pub(super) fn metadata_text(&self) -> Option<&str> {
        self.metadata.as_deref().and_then(|content| std::str::from_utf8(content).ok())
    }
}

/// The image's name where nobody gives it one: that of the folder.
pub(super) fn name_of(folder: &Path) -> Result<Reference, BuildError> {
    let whole = fs::canonicalize(folder).map_err(BuildError::io("find", folder))?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |reference: &Reference| reference.digest().is_none() && !name.contains([':', '/']);
    let reference = Reference::parse(&name).ok().filter(is_plain);
    reference.ok_or_else(|| BuildError::NoName { folder: whole.clone() })
}

/// Reads a file that becomes `part` of an image, within the part's bounds.
pub(super) fn read(path: &Path, part: Part) -> Result<Vec<u8>, BuildError> {
    let limit = part.limit();
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| {
        if file.metadata()?.is_file() {
            file.take(limit + 1).read_to_end(&mut content)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
        }
    });
    read.map_err(BuildError::io("read", path))?;
    if content.len() as u64 > limit {
        return Err(BuildError::TooLarge { path: path.to_owned(), part, limit });
    }
    Ok(content)
}

/// When the newest of the folder's sources was changed, in seconds since 1970.
///
/// Looks at sources, headers, documents and modules down to a few levels, but not at what tools leave behind, and
/// follows no links.
pub(super) fn newest_change(folder: &Path) -> u64 {
    let mut newest = 0;
    let mut seen = 0;
    let mut pending = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return newest;
            }
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
            if metadata.is_dir() && depth < MAX_DEPTH && !is_tools_folder(&path) {
                pending.push((path, depth + 1));
            } else if metadata.is_file() && is_source(&path) {
                let age = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                newest = newest.max(age.map_or(0, |age| age.as_secs()));
            }
        }
    }
    newest
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(
        extension,
        Some("c" | "h" | "yaml" | "wasm" | "go" | "mod" | "sum" | "rs" | "toml" | "lock" | "ts")
    )
}

/// Whether tools keep their own files in it.
fn is_tools_folder(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with('.') || matches!(name, "target" | "node_modules"))
}

/// The contents of a build.yaml.
struct Plan {
    source: String,
    metadata: String,
    wasm: Option<String>,
}

impl Plan {
    fn read(folder: &Path, file: Option<&Path>, warnings: &mut Vec<String>) -> Result<Self, BuildError> {
        let mut plan =
            Self { source: DEFAULT_SOURCE.to_owned(), metadata: DEFAULT_METADATA.to_owned(), wasm: None };
        let path = file.map_or_else(|| folder.join("build.yaml"), Path::to_owned);
        if file.is_none() && !path.exists() {
            return Ok(plan);
        }
        let Some(document) = document(&path, &read(&path, Part::Metadata)?)? else { return Ok(plan) };
        let Some(entries) = document.root.as_mapping() else {
            let fault = document
                .source
                .fault(document.root.span, "", format!("build.yaml holds {}", document.root.describe()))
                .expected("a mapping");
            return Err(BuildError::Document { path, faults: vec![fault] });
        };
        let mut faults = Vec::new();
        for entry in entries {
            let text = text_of(&entry.value);
            match (entry.key.as_str(), text) {
                ("ebpfsource" | "wasm" | "metadata", None) => {
                    let problem = format!("`{}` is {}", entry.key, entry.value.describe());
                    let fault = document.source.fault(entry.value.span, entry.key.clone(), problem);
                    faults.push(fault.expected("a file name"));
                }
                (_, Some("")) => {}
                ("ebpfsource", Some(name)) => plan.source = safe("ebpfsource", name)?,
                ("metadata", Some(name)) => plan.metadata = safe("metadata", name)?,
                ("wasm", Some(name)) => plan.wasm = Some(safe("wasm", name)?),
                (key, _) => warnings.push(format!("`{}`: unknown key `{key}` is ignored", path.display())),
            }
        }
        if !faults.is_empty() {
            return Err(BuildError::Document { path, faults });
        }
        Ok(plan)
    }
}

/// The text of a scalar; nothing counts as empty.
fn text_of(node: &Node) -> Option<&str> {
    if node.is_null() {
        return Some("");
    }
    node.as_scalar().map(|scalar| scalar.text.as_str())
}

/// Refuses a file name that a program of the build would take for an option.
fn safe(key: &'static str, name: &str) -> Result<String, BuildError> {
    if name.trim().starts_with(['-', '@']) {
        return Err(BuildError::OptionLike { key, name: name.to_owned() });
    }
    Ok(name.to_owned())
}

/// The one document of a YAML file, `None` if the file says nothing.
fn document(path: &Path, content: &[u8]) -> Result<Option<yaml::Document>, BuildError> {
    let name = path.display().to_string();
    let refuse = |faults| BuildError::Document { path: path.to_owned(), faults };
    let text = std::str::from_utf8(content).map_err(|error| {
        let source = ig_config::Source::new(&name, "");
        refuse(vec![source.fault(ig_config::Span::default(), "", format!("not UTF-8 text: {error}"))])
    })?;
    let mut documents = yaml::read(&name, text).map_err(refuse)?.into_iter();
    let first = documents.next();
    if let Some(second) = documents.next() {
        let fault = second.source.fault(second.root.span, "", "a second document in the file");
        return Err(refuse(vec![fault.expected("one document")]));
    }
    Ok(first)
}

/// The annotations that a gadget.yaml asks for, without the time of the build.
fn describe(path: &Path, content: &[u8], builder: &str) -> Result<Annotations, BuildError> {
    const KEYS: [(&str, &str); 5] = [
        ("name", "title"),
        ("description", "description"),
        ("homepageURL", "url"),
        ("documentationURL", "documentation"),
        ("sourceURL", "source"),
    ];
    let document = document(path, content)?;
    let root = document.as_ref().map(|document| &document.root);
    let mut annotations = Annotations::new();
    for (key, name) in KEYS {
        let text = root.and_then(|root| root.get(key)).and_then(text_of).unwrap_or_default();
        annotations.insert(format!("org.opencontainers.image.{name}"), text.to_owned());
    }
    annotations.insert(BUILDER_VERSION.to_owned(), builder.to_owned());

    let mut faults = Vec::new();
    if let Some(document) = &document {
        if document.root.as_mapping().is_none() {
            let problem = format!("gadget.yaml holds {}", document.root.describe());
            faults.push(document.source.fault(document.root.span, "", problem).expected("a mapping"));
        }
        for entry in document.root.get("annotations").and_then(Node::as_mapping).unwrap_or_default() {
            if let Some(text) = text_of(&entry.value) {
                annotations.insert(entry.key.clone(), text.to_owned());
            } else {
                let path = format!("annotations.{}", entry.key);
                let problem = format!("annotation is {}", entry.value.describe());
                faults.push(document.source.fault(entry.value.span, path, problem).expected("text"));
            }
        }
    }
    if faults.is_empty() {
        Ok(annotations)
    } else {
        Err(BuildError::Document { path: path.to_owned(), faults })
    }
}

/// Adds the time of the build, which metadata cannot override.
pub(super) fn stamp(annotations: &mut Annotations, seconds: u64) {
    let created = ig_model::text::rfc3339_utc(i64::try_from(seconds).unwrap_or_default());
    annotations.insert(CREATED.to_owned(), created);
}

/// The gadget's folder with links resolved; an error if it is not a folder.
pub(super) fn folder(path: &Path) -> Result<PathBuf, BuildError> {
    let opened = path.canonicalize().and_then(|folder| {
        fs::read_dir(&folder)?;
        Ok(folder)
    });
    opened.map_err(BuildError::io("open the gadget's folder", path))
}
