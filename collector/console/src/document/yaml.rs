//! YAML: one document per record, each after a line of dashes.
//!
//! The emitter is our own, as records are flat streams of a few kinds of values: a general one would need each record
//! as a tree first. Text stands bare only where no reader could take it for something else.

use ig_datasource::Number;
use ig_model::kind::Scalar;
use ig_operators::{Value, ValueKind, ValueScratch};

use super::{
    Step,
    json::{element, finite, hex, integer, is_single},
    json_string,
    tree::{Node, Nodes},
};

/// Words that YAML 1.1 or 1.2 take for a bool or nothing.
const RESERVED: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"];

/// Writes records as YAML documents.
#[derive(Debug)]
pub(super) struct Yaml {
    steps: Vec<Step>,
    tail: Box<[u8]>,
    scratch: ValueScratch,
    text: String,
}

impl Yaml {
    /// `label` stands first, as the member `_source`.
    pub(super) fn plan(nodes: Nodes, label: Option<&str>) -> Self {
        let mut pending = b"---\n".to_vec();
        let mut steps = Vec::new();
        let label = label.filter(|_| !nodes.contains_key("_source"));
        if let Some(label) = label {
            pending.extend_from_slice(b"_source: ");
            scalar(label.as_bytes(), &mut pending);
            pending.push(b'\n');
        } else if nodes.is_empty() {
            pending.extend_from_slice(b"{}\n");
        }
        members(nodes, 0, &mut pending, &mut steps);
        Self { steps, tail: pending.into(), scratch: ValueScratch::default(), text: String::new() }
    }

    /// Appends the document of a record.
    pub(super) fn write(&mut self, record: &[u8], out: &mut Vec<u8>) {
        for step in &self.steps {
            out.extend_from_slice(&step.lead);
            match step.column.value(record, &mut self.scratch) {
                Value::None if step.column.value_kind() == ValueKind::Bytes => {
                    out.extend_from_slice(b" \"\"");
                }
                Value::None => out.extend_from_slice(b" null"),
                Value::Bool(value) => out.extend_from_slice(if value { b" true" } else { b" false" }),
                Value::Unsigned(value) => {
                    out.push(b' ');
                    integer(value, out);
                }
                Value::Signed(value) => {
                    out.push(b' ');
                    integer(value, out);
                }
                Value::Float(value) => {
                    out.push(b' ');
                    float(value, is_single(&step.column), &mut self.text, out);
                }
                Value::Text(text) => {
                    out.push(b' ');
                    scalar(text, out);
                }
                Value::Bytes(bytes) => {
                    out.extend_from_slice(b" \"");
                    hex(bytes, out);
                    out.push(b'"');
                }
                Value::Array(values) => {
                    let kind = values.scalar();
                    let mut empty = true;
                    for value in values {
                        empty = false;
                        out.push(b'\n');
                        out.resize(out.len() + 2 * step.depth, b' ');
                        out.extend_from_slice(b"- ");
                        match value {
                            Number::Float(value) => {
                                float(value, kind == Scalar::Float(4), &mut self.text, out);
                            }
                            value => element(value, kind, &mut self.text, out),
                        }
                    }
                    if empty {
                        out.extend_from_slice(b" []");
                    }
                }
            }
            out.push(b'\n');
        }
        out.extend_from_slice(&self.tail);
    }
}

fn members(nodes: Nodes, depth: usize, pending: &mut Vec<u8>, steps: &mut Vec<Step>) {
    for (name, node) in nodes {
        pending.resize(pending.len() + 2 * depth, b' ');
        scalar(name.as_bytes(), pending);
        pending.push(b':');
        match node {
            Node::Members(nodes) => {
                pending.push(b'\n');
                members(nodes, depth + 1, pending, steps);
            }
            Node::Value(column) => {
                steps.push(Step { lead: std::mem::take(pending).into(), column: *column, depth });
            }
        }
    }
}

/// Appends a float. One without a fraction that is larger than any integer keeps a point: readers take it for an
/// integer otherwise, and refuse it.
fn float(value: f64, single: bool, text: &mut String, out: &mut Vec<u8>) {
    const DIGITS: usize = 16;
    if finite(value, single, text) {
        out.extend_from_slice(text.as_bytes());
        if text.len() > DIGITS && !text.contains(['.', 'e']) {
            out.extend_from_slice(b".0");
        }
    } else if value.is_nan() {
        out.extend_from_slice(b".nan");
    } else {
        out.extend_from_slice(if value > 0.0 { b".inf" } else { b"-.inf" });
    }
}

/// Appends text bare if it can only be text, else in double quotes, whose escapes are those of JSON.
fn scalar(text: &[u8], out: &mut Vec<u8>) {
    if is_bare(text) {
        out.extend_from_slice(text);
    } else {
        json_string(text, true, out);
    }
}

fn is_bare(text: &[u8]) -> bool {
    let starts = text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'_'));
    let each = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/_.-+@=|^()~$".contains(byte));
    starts && each && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}
