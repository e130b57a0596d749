//! Checks a tree against a table and notes every fault.

use super::{Key, Kind, Object, Status, TextRule};
use crate::{
    Fault, Source,
    fault::quoted,
    source::{at_index, join},
    value,
    yaml::{Entry, Node, Scalar, ScalarKind},
};

/// More faults than this are counted instead of kept: nobody reads them, and a hostile document must not fill the
/// memory with them.
pub(crate) const MAX_FAULTS: usize = 200;

/// Collects the faults of one document.
#[derive(Debug)]
pub(crate) struct Checker<'s> {
    pub(crate) source: &'s Source,
    pub(crate) faults: Vec<Fault>,
    /// Where unknown keys are noted when they are not a fault.
    pub(crate) warnings: Option<Vec<Fault>>,
}

impl<'s> Checker<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self { source, faults: Vec::new(), warnings: None }
    }

    /// A checker for documents whose unknown keys are ignored.
    pub(crate) fn lenient(source: &'s Source) -> Self {
        Self { source, faults: Vec::new(), warnings: Some(Vec::new()) }
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Checks `node` against `kind`. Nothing at all counts as an empty mapping or list.
    pub(crate) fn check(&mut self, node: &Node, kind: &Kind, path: &str) {
        match kind {
            Kind::Object(object) => self.object(node, object, path),
            Kind::Either(object, _) if node.as_mapping().is_some() => self.object(node, object, path),
            Kind::Either(_, other) => self.check(node, other, path),
            Kind::List(of) => match node.as_sequence() {
                Some(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.check(item, of, &at_index(path, index));
                    }
                }
                None if node.is_null() => {}
                None => self.wrong_type(node, kind, path),
            },
            Kind::Map { keys, values } => match node.as_mapping() {
                Some(entries) => {
                    for entry in entries {
                        self.map_entry(entry, keys, values, path);
                    }
                }
                None if node.is_null() => {}
                None => self.wrong_type(node, kind, path),
            },
            _ => match node.as_scalar() {
                Some(scalar) => self.scalar(node, scalar, kind, path),
                None => self.wrong_type(node, kind, path),
            },
        }
    }

    /// Checks the keys of `node` against `object`, and each value against its key.
    pub(crate) fn object(&mut self, node: &Node, object: &'static Object, path: &str) {
        let empty = [];
        let entries = match node.as_mapping() {
            Some(entries) => entries,
            None if node.is_null() => empty.as_slice(),
            None => return self.wrong_type(node, &Kind::Object(object), path),
        };
        for entry in entries {
            let path = join(path, &entry.key);
            match object.key(&entry.key) {
                Some(key) => self.key(entry, key, &path),
                None => self.unknown_key(entry, object, &path),
            }
        }
        for key in object.supported().filter(|key| key.required && node.get(key.name).is_none()) {
            let problem = format!("missing key {}", quoted(key.name));
            let fault = self.source.fault(node.span, path, problem).expected(key.kind.expected());
            self.push(fault);
        }
        if object.one_of && entries.iter().filter(|entry| object.key(&entry.key).is_some()).count() != 1 {
            let names: Vec<_> = object.supported().map(|key| key.name).collect();
            let expected = format!("exactly one of {}", names.join(", "));
            self.push(self.source.fault(node.span, path, "wrong number of keys").expected(expected));
        }
    }

    fn key(&mut self, entry: &Entry, key: &'static Key, path: &str) {
        match key.status {
            Status::Supported => self.check(&entry.value, &key.kind, path),
            Status::NotYet(instead) => {
                let fault = self.source.fault(entry.key_span, path, "not supported by this version");
                self.push(fault.hint(instead));
            }
            Status::Renamed(instead) => {
                self.push(self.source.fault(entry.key_span, path, "unknown key").hint(instead));
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, object: &'static Object, path: &str) {
        let names: Vec<_> = object.supported().map(|key| key.name).collect();
        let problem = if self.warnings.is_some() { "unknown key is ignored" } else { "unknown key" };
        let fault = self.source.fault(entry.key_span, path, problem);
        let fault = fault.suggest(&entry.key, names.iter().copied());
        if let Some(warnings) = &mut self.warnings {
            if warnings.len() < MAX_FAULTS {
                warnings.push(fault);
            }
            return;
        }
        let fault =
            if fault.hint.is_some() { fault } else { fault.expected(format!("one of {}", names.join(", "))) };
        self.push(fault);
    }

    fn map_entry(&mut self, entry: &Entry, keys: &TextRule, values: &'static Kind, path: &str) {
        let path = join(path, &entry.key);
        if let Err(hint) = (keys.check)(&entry.key) {
            let fault = self.source.fault(entry.key_span, &path, "bad name").value(&entry.key);
            self.push(with_hint(fault.expected(keys.expected), hint));
        }
        self.check(&entry.value, values, &path);
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, kind: &Kind, path: &str) {
        if self.source.is_broken(node.span) {
            return;
        }
        let typed = match kind {
            Kind::Text(_) | Kind::Secret | Kind::Word(..) | Kind::Address | Kind::Path => {
                scalar.kind == ScalarKind::Text
            }
            Kind::Literal => scalar.kind != ScalarKind::Null,
            Kind::Spelled(_) => true,
            Kind::Bool => matches!(scalar.kind, ScalarKind::Bool(_)),
            Kind::Whole { .. } => matches!(scalar.kind, ScalarKind::Int(_)),
            Kind::Number => matches!(scalar.kind, ScalarKind::Int(_) | ScalarKind::Float(_)),
            Kind::Duration { .. } | Kind::Size { .. } => {
                matches!(scalar.kind, ScalarKind::Int(_) | ScalarKind::Text)
            }
            Kind::Object(_) | Kind::List(_) | Kind::Map { .. } | Kind::Either(..) => false,
        };
        if !typed {
            return self.wrong_type(node, kind, path);
        }
        if let Err(hint) = value_of(scalar, kind) {
            let problem = match kind {
                Kind::Word(_, later) if later.contains(&scalar.text.as_str()) => {
                    "not supported by this version:"
                }
                Kind::Word(..) => "unknown value",
                _ => "bad value",
            };
            let fault = self.source.fault(node.span, path, problem).expected(kind.expected());
            let fault = match kind {
                Kind::Secret => fault,
                Kind::Word(words, _) => fault
                    .value(self.source.shown(node.span, &scalar.text))
                    .suggest(&scalar.text, words().iter().copied()),
                _ => fault.value(self.source.shown(node.span, &scalar.text)),
            };
            // A hint may repeat the text, and what was put in is not to be shown.
            let repeats = self.source.hides(node.span) && hint.contains(&scalar.text);
            let hint = if repeats || self.source.is_substituted(node.span) { String::new() } else { hint };
            self.push(with_hint(fault, hint));
        }
    }

    fn wrong_type(&mut self, node: &Node, kind: &Kind, path: &str) {
        let mut fault = self.source.fault(node.span, path, format!("wrong type: {}", node.describe()));
        fault = fault.expected(kind.expected());
        let Some(scalar) = node.as_scalar() else {
            self.push(fault);
            return;
        };
        let takes_text = matches!(kind, Kind::Text(_) | Kind::Secret | Kind::Word(..) | Kind::Path);
        match scalar.kind {
            ScalarKind::Null if takes_text || matches!(kind, Kind::Literal) => {
                fault = fault.hint("for an empty text write \"\"");
            }
            ScalarKind::Null => {}
            _ if matches!(kind, Kind::Secret) => fault = fault.hint("quote it to make it text"),
            ScalarKind::Text => fault = fault.value(self.source.shown(node.span, &scalar.text)),
            _ if takes_text => {
                fault =
                    fault.value(self.source.shown(node.span, &scalar.text)).hint("quote it to make it text");
            }
            _ => fault = fault.value(self.source.shown(node.span, &scalar.text)),
        }
        self.push(fault);
    }
}

/// Whether Go would read the empty string.
pub(crate) fn is_empty(scalar: &Scalar) -> bool {
    scalar.kind == ScalarKind::Null || scalar.text.is_empty()
}

fn with_hint(fault: Fault, hint: String) -> Fault {
    if hint.is_empty() { fault } else { fault.hint(hint) }
}

/// Checks a scalar of the right type; the error is a hint and may be empty.
fn value_of(scalar: &Scalar, kind: &Kind) -> Result<(), String> {
    let within = |ok: bool| if ok { Ok(()) } else { Err(String::new()) };
    match kind {
        Kind::Text(rule) => (rule.check)(&scalar.text),
        Kind::Spelled(rule) if !is_empty(scalar) => (rule.check)(&scalar.text),
        Kind::Secret => within(http::HeaderValue::from_str(&scalar.text).is_ok()),
        Kind::Word(words, _) => within(words().contains(&scalar.text.as_str())),
        Kind::Address => value::address(&scalar.text).map(|_| ()),
        Kind::Path => within(!scalar.text.is_empty() && !scalar.text.contains('\0')),
        Kind::Whole { min, max } => match scalar.kind {
            ScalarKind::Int(number) => within((i128::from(*min)..=i128::from(*max)).contains(&number)),
            _ => within(false),
        },
        Kind::Number => match scalar.kind {
            ScalarKind::Float(number) => within(number.is_finite()),
            _ => Ok(()),
        },
        Kind::Duration { least, most, zero } => {
            let time = value::duration(&scalar.text)?;
            within((*least..=*most).contains(&time) || (*zero && time.is_zero()))
        }
        Kind::Size { min, max } => {
            let bytes = value::size(&scalar.text)?;
            within((*min..=*max).contains(&bytes))
        }
        _ => Ok(()),
    }
}
