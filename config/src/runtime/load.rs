//! Reading files and directories of documents, and the rules that hold between documents.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use ig_files::{FileVersion, Followed};
use sha2::{Digest as _, Sha256};

use super::{Gadget, RuntimeConfig, conflicts::conflicts, decode, manifest, tables};
use crate::{
    Fault, Position,
    source::{at_index, join},
    substitute::{Environment, ProcessEnvironment, Substitution, read_text},
    table::check::{Checker, MAX_FAULTS},
    yaml::{self, Document, Node},
};

/// How the documents of a directory are called.
const EXTENSIONS: &[&str] = &["yaml", "yml"];

/// What was loaded and what to know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the documents ask for.
    pub config: RuntimeConfig,
    /// What is odd about them and no fault.
    pub warnings: Vec<Fault>,
    /// SHA-256 of all texts that went in (file names, documents, files put in by `${file:...}`), in hexadecimal.
    /// Equal hashes mean that nothing was edited; environment variables are not part of it.
    pub hash: String,
    /// The document files, in the order they were read.
    pub files: Vec<PathBuf>,
    /// The files put in by `${file:...}` as they were read: a change of these is a change of the configuration, too.
    pub referenced: Vec<FileVersion>,
}

/// Every fault of the documents, in the order of files and lines.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.faults))]
pub struct LoadError {
    /// Never empty.
    pub faults: Vec<Fault>,
    /// Like [`Loaded::hash`], for reporting which edit was refused; files that could not be read are not in it.
    pub hash: String,
    /// Like [`Loaded::referenced`], also with those that could not be read: what is wrong may be mended there.
    pub referenced: Vec<FileVersion>,
    /// Whether a file could not be read, which may pass without any file changing.
    pub unread: bool,
}

/// The documents to follow for changes of what [`load`] makes of `path`.
pub fn documents(path: &Path) -> Followed {
    Followed::documents(path, EXTENSIONS)
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => "documents refused".to_owned(),
    }
}

/// Loads a file, or the `*.yaml` and `*.yml` files of a directory in the order of their names.
///
/// # Errors
/// Every fault of every document; nothing is loaded if there is one.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    load_with(path, &ProcessEnvironment)
}

/// [`load`], with variables and `${file:...}` from `environment`.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, environment: &dyn Environment) -> Result<Loaded, LoadError> {
    let mut load = Load::new(environment);
    let listed = files_of(path);
    let unlisted = |fault: Box<Fault>| LoadError {
        faults: vec![*fault],
        hash: String::new(),
        referenced: Vec::new(),
        unread: true,
    };
    for file in listed.map_err(unlisted)? {
        let name = file.display().to_string();
        match read_text(&file, yaml::MAX_TEXT as u64) {
            Ok(text) => load.read(&name, &text),
            Err(error) => {
                load.unread = true;
                load.faults.push(Fault::new(Position::whole(&name), "", format!("failed to read: {error}")));
            }
        }
        load.files.push(file);
    }
    load.finish()
}

/// Checks a text; `name` is the name that faults carry, and its directory is where relative paths begin.
///
/// # Errors
/// Every fault of the text.
pub fn check_str(name: &str, text: &str) -> Result<Loaded, LoadError> {
    check_str_with(name, text, &ProcessEnvironment)
}

/// [`check_str`], with variables and `${file:...}` from `environment`.
///
/// # Errors
/// As [`check_str`].
pub fn check_str_with(name: &str, text: &str, environment: &dyn Environment) -> Result<Loaded, LoadError> {
    let mut load = Load::new(environment);
    load.read(name, text);
    load.files.push(PathBuf::from(name));
    load.finish()
}

/// The files to read. Hidden ones are left out: Kubernetes keeps its own bookkeeping in `..data`.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Box<Fault>> {
    let failed =
        |problem: &str| Box::new(Fault::new(Position::whole(&path.display().to_string()), "", problem));
    let unread = |error| failed(&format!("failed to read: {error}"));
    let metadata = std::fs::metadata(path).map_err(unread)?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(unread)?;
    let entries: Result<Vec<_>, _> = entries.collect();
    let entries = entries.map_err(unread)?;
    let hidden = |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let named = |file: &Path| {
        file.extension().and_then(OsStr::to_str).is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    let mut files: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
    files.retain(|file| named(file) && !hidden(file) && !file.is_dir());
    files.sort();
    if files.is_empty() {
        return Err(Box::new(failed("directory holds no documents").expected("*.yaml or *.yml")));
    }
    Ok(files)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Everything read so far.
struct Load<'e> {
    substitution: Substitution<'e>,
    hash: Sha256,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    files: Vec<PathBuf>,
    documents: Vec<Document>,
    unread: bool,
}

/// A gadget with what is needed to point at it.
pub(super) struct Draft<'d> {
    pub(super) gadget: Gadget,
    pub(super) document: &'d Document,
    node: &'d Node,
    pub(super) path: String,
}

impl<'e> Load<'e> {
    fn new(environment: &'e dyn Environment) -> Self {
        Self {
            substitution: Substitution::new(environment),
            hash: Sha256::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            documents: Vec::new(),
            unread: false,
        }
    }

    /// Reads the documents of one text, up to and including substitution.
    fn read(&mut self, name: &str, text: &str) {
        for part in [name, text] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
        let documents = match yaml::read(name, text) {
            Ok(documents) => documents,
            Err(faults) => return self.faults.extend(faults),
        };
        if documents.is_empty() {
            let fault = Fault::new(Position::whole(name), "", "file holds no document");
            self.warnings.push(fault.expected("kind: runtime-config or kind: instance-spec"));
        }
        for mut document in documents {
            document.source.screened();
            decode::hide_secrets(&mut document.source, &document.root);
            if kind_of(&document) != Some(RUNTIME_CONFIG) {
                self.documents.push(document);
                continue;
            }
            let Document { source, root } = &mut document;
            self.substitution.apply(source, root, "", &mut self.faults);
            self.documents.push(document);
        }
    }

    fn finish(self) -> Result<Loaded, LoadError> {
        let Self { substitution, mut hash, mut faults, mut warnings, files, documents, mut unread } = self;
        let mut referenced = Vec::new();
        for (file, text) in substitution.into_files() {
            hash.update(file.path.as_os_str().as_encoded_bytes());
            hash.update(text.as_deref().unwrap_or_default());
            unread |= text.is_none();
            referenced.push(file);
        }
        let hash = hex(&hash.finalize());
        if documents.is_empty() && faults.is_empty() {
            faults.append(&mut warnings);
        }
        let mut config = RuntimeConfig::default();
        let mut drafts = Vec::new();
        let mut sections = Seen::new();
        for document in &documents {
            let mut checker = checker_of(document);
            document_of(&mut checker, document, &mut config, &mut sections, &mut drafts);
            faults.append(&mut checker.faults);
            warnings.extend(checker.warnings.into_iter().flatten());
        }
        name_manifests(&mut drafts);
        for fault in duplicates(&drafts)
            .into_iter()
            .chain(references(&config, &documents, &drafts))
            .chain(conflicts(&drafts))
        {
            faults.push(fault);
        }
        if !faults.is_empty() {
            return Err(LoadError { faults: sorted(faults), hash, referenced, unread });
        }
        config.gadgets = drafts.into_iter().map(|draft| draft.gadget).collect();
        Ok(Loaded { config, warnings: sorted(warnings), hash, files, referenced })
    }
}

const RUNTIME_CONFIG: &str = "runtime-config";
const INSTANCE_SPEC: &str = "instance-spec";

fn kind_of(document: &Document) -> Option<&str> {
    Some(document.root.get("kind")?.as_scalar()?.text.as_str())
}

fn checker_of(document: &Document) -> Checker<'_> {
    match kind_of(document) {
        Some(INSTANCE_SPEC) => Checker::lenient(&document.source),
        _ => Checker::new(&document.source),
    }
}

/// Where each section was first given.
type Seen = BTreeMap<&'static str, Position>;

fn document_of<'d>(
    checker: &mut Checker<'_>,
    document: &'d Document,
    config: &mut RuntimeConfig,
    seen: &mut Seen,
    drafts: &mut Vec<Draft<'d>>,
) {
    let (source, root) = (&document.source, &document.root);
    match kind_of(document) {
        Some(INSTANCE_SPEC) => {
            let gadget = manifest::gadget(checker, root);
            drafts.extend(gadget.map(|gadget| Draft { gadget, document, node: root, path: String::new() }));
        }
        Some(RUNTIME_CONFIG) => {
            checker.object(root, &tables::DOCUMENT, "");
            for section in ["exporters", "images", "limits", "log"] {
                let Some(entry) = root.entry(section) else { continue };
                let at = source.position(entry.key_span);
                if let Some(first) = seen.get(section) {
                    let fault = source.fault(entry.key_span, section, "section is given twice");
                    checker.push(fault.other(first.clone()).hint("keep it in one document"));
                } else {
                    seen.insert(section, at);
                }
            }
            let sections = decode::sections(checker, root);
            config.exporters = sections.exporters.unwrap_or_else(|| config.exporters.clone());
            config.images = sections.images.unwrap_or_else(|| config.images.clone());
            config.limits = sections.limits.unwrap_or(config.limits);
            config.log = sections.log.unwrap_or(config.log);
            let gadgets = root.get("gadgets").and_then(Node::as_sequence).unwrap_or_default();
            for (index, node) in gadgets.iter().enumerate() {
                let path = at_index("gadgets", index);
                let gadget = decode::gadget(checker, node, &path);
                drafts.extend(gadget.map(|gadget| Draft { gadget, document, node, path }));
            }
        }
        Some(other) => {
            let span = root.get("kind").map_or(root.span, |node| node.span);
            let fault = source.fault(span, "kind", "unknown value").value(other);
            let fault = fault.expected(format!("{RUNTIME_CONFIG} or {INSTANCE_SPEC}"));
            checker.push(fault.suggest(other, [RUNTIME_CONFIG, INSTANCE_SPEC]));
        }
        None if root.as_mapping().is_none() => {
            let fault = source.fault(root.span, "", format!("wrong type: {}", root.describe()));
            checker.push(fault.expected(format!("a mapping with `kind: {RUNTIME_CONFIG}`")));
        }
        None => {
            let fault = source.fault(root.span, "", "missing key \"kind\"");
            checker.push(fault.expected(format!("{RUNTIME_CONFIG} or {INSTANCE_SPEC}")));
        }
    }
}

/// Names the manifests that have no name. Written names come first, so that adding a manifest never renames a gadget
/// that was named on purpose.
fn name_manifests(drafts: &mut [Draft<'_>]) {
    let mut taken: std::collections::HashSet<String> =
        drafts.iter().map(|draft| draft.gadget.name.clone()).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.gadget.name.is_empty()) {
        draft.gadget.name = manifest::derive_name(&draft.gadget.image, |name| taken.contains(name));
        taken.insert(draft.gadget.name.clone());
    }
}

fn duplicates(drafts: &[Draft<'_>]) -> Vec<Fault> {
    let mut first: HashMap<&str, Position> = HashMap::new();
    let mut faults = Vec::new();
    for draft in drafts {
        let name = draft.gadget.name.as_str();
        let span = draft.node.get("name").map_or(draft.node.span, |node| node.span);
        let at = draft.document.source.position(span);
        if let Some(first) = first.get(name) {
            let fault = draft.document.source.fault(span, join(&draft.path, "name"), "gadget name is taken");
            let name = draft.document.source.shown(span, name);
            faults.push(
                fault.value(name).other(first.clone()).hint("names are unique in all documents together"),
            );
        } else {
            first.insert(name, at);
        }
    }
    faults
}

/// Gadgets may only name exporters that exist.
fn references(config: &RuntimeConfig, documents: &[Document], drafts: &[Draft<'_>]) -> Vec<Fault> {
    // Taken from the documents: an exporter that is refused for another reason is defined nevertheless.
    let sections =
        documents.iter().filter_map(|document| document.root.get("exporters")?.get("otlp")?.as_mapping());
    let written = sections.flatten().map(|entry| entry.key.as_str());
    let mut names: Vec<&str> = config.exporters.names().chain(written).collect();
    names.sort_unstable();
    names.dedup();
    let mut faults = Vec::new();
    for draft in drafts {
        let written = draft.node.get("exporters").and_then(Node::as_sequence).unwrap_or_default();
        for (index, node) in written.iter().enumerate() {
            let Some(name) = node.as_scalar().map(|scalar| scalar.text.as_str()) else { continue };
            if names.contains(&name) {
                continue;
            }
            let path = at_index(&join(&draft.path, "exporters"), index);
            let fault = draft.document.source.fault(node.span, path, "exporter is not defined");
            let fault = fault.value(draft.document.source.shown(node.span, name));
            let fault = if names.is_empty() {
                fault.hint("define it under `exporters`")
            } else {
                fault.expected(format!("one of {}", names.join(", ")))
            };
            faults.push(fault.suggest(name, names.iter().copied()));
        }
    }
    faults
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    // Stable, so that faults at one place keep the order they were found in.
    faults.sort_by(|a, b| a.at.cmp(&b.at));
    if let Some(more) = faults.len().checked_sub(MAX_FAULTS).filter(|more| *more > 0)
        && let Some(last) = faults.get(MAX_FAULTS).map(|fault| fault.at.clone())
    {
        faults.truncate(MAX_FAULTS);
        faults.push(Fault::new(last, "", format!("{more} more faults are not shown")));
    }
    faults
}
