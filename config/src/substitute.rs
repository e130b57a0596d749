//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` in documents.
//!
//! Substitution happens after parsing and only inside of text: what is put in can neither add keys nor change what a
//! value is, and a quote in a password does no harm. Faults about the result show what the document says, not what
//! was put in.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use ig_files::{Content, FileVersion, ReadError, read_bounded};

use crate::{
    Fault, Source, Span,
    fault::shorten,
    source::{at_index, join},
    table::check::MAX_FAULTS,
    yaml::{Node, ScalarKind, Value},
};

/// Largest file put in, in bytes.
pub const MAX_FILE: u64 = 64 << 10;
/// Longest text after substitution, in bytes.
const MAX_RESULT: usize = 256 << 10;
/// Most bytes of all substituted texts together.
const MAX_ALL: usize = 8 << 20;

/// Where variables and files come from.
pub trait Environment {
    /// The value of an environment variable, or `None` when it is not set to text.
    fn var(&self, name: &str) -> Option<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, is larger than [`MAX_FILE`] or is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        read_text(path, MAX_FILE)
    }
}

/// Reads the text of a regular file of at most `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    read_bounded(path, most).and_then(Content::into_text).map_err(ReadError::into_cause)
}

/// `path` as seen from the directory of the document `file`.
pub(crate) fn beside(file: &str, path: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("")).join(path)
}

/// Substitutes in the documents of one load and remembers which files went in.
pub(crate) struct Substitution<'e> {
    environment: &'e dyn Environment,
    /// Each file is read once, so that all places see the same text.
    files: RefCell<BTreeMap<PathBuf, PutIn>>,
    total: usize,
}

/// A file that was put in.
struct PutIn {
    text: Result<String, String>,
    version: FileVersion,
}

/// Why a reference cannot be replaced.
struct Refusal {
    problem: &'static str,
    value: String,
    /// Whether the value quotes the document, and so may hold a secret.
    quotes: bool,
    hint: String,
}

impl<'e> Substitution<'e> {
    pub(crate) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment, files: RefCell::default(), total: 0 }
    }

    /// The files that were put in, in the order of their paths: how they were read, and their text if they could be.
    pub(crate) fn into_files(self) -> impl Iterator<Item = (FileVersion, Option<String>)> {
        self.files.into_inner().into_values().map(|PutIn { text, version }| (version, text.ok()))
    }

    /// Replaces every reference below `node`.
    pub(crate) fn apply(
        &mut self,
        source: &mut Source,
        node: &mut Node,
        path: &str,
        faults: &mut Vec<Fault>,
    ) {
        match &mut node.value {
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.apply(source, item, &at_index(path, index), faults);
                }
            }
            Value::Mapping(entries) => {
                for entry in entries {
                    self.apply(source, &mut entry.value, &join(path, &entry.key), faults);
                }
            }
            Value::Scalar(scalar) if scalar.kind == ScalarKind::Text && scalar.text.contains("${") => {
                match self.text(source.file(), &scalar.text) {
                    Ok(text) => {
                        source.substituted(node.span, std::mem::replace(&mut scalar.text, text));
                    }
                    Err(refusal) => {
                        source.broken(node.span);
                        if faults.len() < MAX_FAULTS {
                            faults.push(fault(source, node.span, path, refusal));
                        }
                    }
                }
            }
            Value::Scalar(_) => {}
        }
    }

    fn text(&mut self, document: &str, text: &str) -> Result<String, Refusal> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) =
                (rest.get(..at).unwrap_or_default(), rest.get(at + 2..).unwrap_or_default());
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((reference, after)) = after.split_once('}') else {
                return Err(Refusal {
                    problem: "reference without end",
                    value: format!("${{{after}"),
                    quotes: true,
                    hint: "close it with `}`, or write `$${` where `${` is meant".to_owned(),
                });
            };
            out.push_str(&self.reference(document, reference)?);
            rest = after;
            if out.len() > MAX_RESULT {
                return Err(Refusal {
                    problem: "text is too long after substitution",
                    value: text.to_owned(),
                    quotes: true,
                    hint: format!("at most {MAX_RESULT} bytes"),
                });
            }
        }
        out.push_str(rest);
        self.total += out.len();
        if self.total > MAX_ALL {
            return Err(Refusal {
                problem: "documents hold too much text after substitution",
                value: text.to_owned(),
                quotes: true,
                hint: format!("at most {MAX_ALL} bytes"),
            });
        }
        Ok(out)
    }

    fn reference(&self, document: &str, reference: &str) -> Result<String, Refusal> {
        if let Some(path) = reference.strip_prefix("file:") {
            return self.file(&beside(document, path));
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Refusal {
                problem: "unknown reference",
                value: format!("${{{reference}}}"),
                quotes: true,
                hint: "write `${VAR}`, `${VAR:-default}` or `${file:PATH}`, or `$${` where `${` is meant"
                    .to_owned(),
            });
        }
        match (self.environment.var(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(Refusal {
                problem: "environment variable is not set",
                value: name.to_owned(),
                quotes: false,
                hint: format!("set it, or give a default: `${{{}:-default}}`", shorten(name, 60)),
            }),
        }
    }

    /// The text of a file without its last line break.
    fn file(&self, path: &Path) -> Result<String, Refusal> {
        let mut files = self.files.borrow_mut();
        let read = files.entry(path.to_owned()).or_insert_with(|| match self.environment.file(path) {
            Ok(text) => {
                let version = FileVersion::of(path, text.as_bytes());
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
                PutIn { text: Ok(text), version }
            }
            Err(error) => {
                PutIn { version: FileVersion::unread(path, error.kind()), text: Err(error.to_string()) }
            }
        });
        read.text.clone().map_err(|error| Refusal {
            problem: "failed to read file",
            value: path.display().to_string(),
            quotes: false,
            hint: error,
        })
    }
}

fn fault(source: &Source, span: Span, path: &str, refusal: Refusal) -> Fault {
    let Refusal { problem, value, quotes, hint } = refusal;
    let fault = source.fault(span, path, problem).hint(hint);
    if quotes && source.hides(span) { fault } else { fault.value(&value) }
}
