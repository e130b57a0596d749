//! Label text: rendered once for a new row, escaped and ready for the exposition, and readable back for OTLP.
//!
//! The text of a row is `name="value",name="value",`, without the labels whose value is empty: to Prometheus both are the
//! same, and OpenTelemetry's attributes have values. Where two label names become one once they are
//! exposed, their values are sorted and joined by `;`, and the original values follow after a line feed (which
//! cannot occur in escaped text), each ended by another, so that OTLP still gets every attribute.

use crate::naming::Naming;
use crate::spec::{LabelSpec, Labeler};

/// The longest text of one label; more is cut.
const MAX_VALUE_BYTES: usize = 4096;

/// How the labels of a table become text, and text becomes labels again.
#[derive(Debug)]
pub struct LabelPlan {
    specs: Vec<LabelSpec>,
    /// The exposed labels in order; more than one member where names collide.
    exposed: Vec<Exposed>,
    /// Some exposed label has more than one member.
    collided: bool,
}

#[derive(Debug)]
struct Exposed {
    /// `name="`
    opening: String,
    members: Vec<usize>,
}

impl LabelPlan {
    /// Plans the labels of a table; `has_histograms` reserves `le`.
    pub(crate) fn new(specs: &[LabelSpec], naming: &dyn Naming, has_histograms: bool) -> Self {
        let mut exposed: Vec<Exposed> = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let opening = format!("{}=\"", naming.label(&spec.name, has_histograms));
            match exposed.iter_mut().find(|other| other.opening == opening) {
                Some(other) => other.members.push(index),
                None => exposed.push(Exposed { opening, members: vec![index] }),
            }
        }
        let collided = exposed.len() < specs.len();
        Self { specs: specs.to_vec(), exposed, collided }
    }

    /// The labels as the gadget declared them.
    pub fn specs(&self) -> &[LabelSpec] {
        &self.specs
    }

    /// Renders the labels of `key` to `out`, using `values` as scratch space.
    pub(crate) fn render(
        &self,
        labeler: &dyn Labeler,
        key: &[u8],
        values: &mut Vec<String>,
        out: &mut Vec<u8>,
    ) {
        values.resize_with(self.specs.len(), String::new);
        for (index, value) in values.iter_mut().enumerate() {
            value.clear();
            labeler.render(key, index, value);
            if value.len() > MAX_VALUE_BYTES {
                value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
            }
        }
        for label in &self.exposed {
            let of_member = |member: &usize| values.get(*member).map(String::as_str);
            let mut present =
                label.members.iter().filter_map(of_member).filter(|value| !value.is_empty()).peekable();
            if present.peek().is_none() {
                continue;
            }
            out.extend_from_slice(label.opening.as_bytes());
            if let [only] = label.members.as_slice() {
                escape(of_member(only).unwrap_or_default(), out);
            } else {
                let mut joined: Vec<&str> = present.collect();
                joined.sort_unstable();
                escape(&joined.join(";"), out);
            }
            out.extend_from_slice(b"\",");
        }
        if self.collided {
            for value in values.iter() {
                out.push(b'\n');
                escape(value, out);
            }
        }
    }

    /// The part of a row's text that the exposition shows.
    #[inline]
    pub fn shown<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        if !self.collided {
            return text;
        }
        text.split(|byte| *byte == b'\n').next().unwrap_or_default()
    }

    /// Calls `visit` with each label that has a value, unescaped, read back from a row's text.
    pub fn read_back(&self, text: &[u8], mut visit: impl FnMut(&LabelSpec, &str)) {
        let mut value = Vec::new();
        if self.collided {
            for (spec, escaped) in self.specs.iter().zip(text.split(|byte| *byte == b'\n').skip(1)) {
                if escaped.is_empty() {
                    continue;
                }
                value.clear();
                unescape(escaped, &mut value);
                visit(spec, std::str::from_utf8(&value).unwrap_or_default());
            }
            return;
        }
        let mut rest = text;
        for (spec, label) in self.specs.iter().zip(&self.exposed) {
            let Some(from) = rest.strip_prefix(label.opening.as_bytes()) else { continue };
            value.clear();
            let used = unescape(from, &mut value);
            visit(spec, std::str::from_utf8(&value).unwrap_or_default());
            rest = from.get(used + 2..).unwrap_or_default(); // the closing quote and the comma
        }
    }
}

/// Escapes a label value as the text of rows, and both exposition formats, want it.
pub fn escape(value: &str, out: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(match special.first() {
            Some(b'\n') => b'n',
            Some(other) => *other,
            None => return,
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Undoes [`escape`] up to the first bare quote or the end; returns how many bytes were read.
fn unescape(escaped: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(byte) = escaped.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => {
                at += 1;
                out.push(match escaped.get(at) {
                    Some(b'n') => b'\n',
                    Some(other) => *other,
                    None => return at,
                });
            }
            other => out.push(*other),
        }
        at += 1;
    }
    at
}
