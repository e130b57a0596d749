//! JSON, planned once: a flat list of ready-made `,"key":` pieces and the columns whose values stand between them.

use ig_datasource::Number;
use ig_model::{FieldKind, kind::Scalar};
use ig_operators::{Column, NumberForm, Render, Value, ValueKind, ValueScratch};

use super::{
    Step, json_string,
    tree::{Node, Nodes},
};
use crate::text::number;

/// How JSON is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// One member a line, two spaces for each level.
    pub(super) pretty: bool,
    /// Levels around the document.
    pub(super) depth: usize,
    /// Whether it goes to a terminal.
    pub(super) screen: bool,
}

/// Writes records as JSON objects.
#[derive(Debug)]
pub(super) struct Json {
    layout: Layout,
    steps: Vec<Step>,
    tail: Box<[u8]>,
    scratch: ValueScratch,
    text: String,
}

struct Planner {
    layout: Layout,
    pending: Vec<u8>,
    steps: Vec<Step>,
}

impl Json {
    /// `label` stands first, as the member `_source`.
    pub(super) fn plan(nodes: Nodes, label: Option<&str>, layout: Layout) -> Self {
        let mut planner = Planner { layout, pending: Vec::new(), steps: Vec::new() };
        planner.line(layout.depth, false);
        planner.members(nodes, label, layout.depth + 1);
        Self {
            layout,
            steps: planner.steps,
            tail: planner.pending.into(),
            scratch: ValueScratch::default(),
            text: String::new(),
        }
    }

    /// What stands in front of an element of the array around the documents.
    pub(super) fn before_element(&self, index: u64) -> &'static [u8] {
        match (index, self.layout.pretty) {
            (0, false) => b"[",
            (0, true) => b"[\n",
            (_, false) => b",",
            (_, true) => b",\n",
        }
    }

    /// What ends that array.
    pub(super) fn after_elements(&self, count: u64) -> &'static [u8] {
        match (count, self.layout.pretty) {
            (0, _) => b"[]\n",
            (_, false) => b"]\n",
            (_, true) => b"\n]\n",
        }
    }

    /// Appends the document of a record, without a line end.
    pub(super) fn write(&mut self, record: &[u8], out: &mut Vec<u8>) {
        for step in &self.steps {
            out.extend_from_slice(&step.lead);
            match step.column.value(record, &mut self.scratch) {
                Value::None if step.column.value_kind() == ValueKind::Bytes => out.extend_from_slice(b"\"\""),
                Value::None => out.extend_from_slice(b"null"),
                Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
                Value::Unsigned(value) => integer(value, out),
                Value::Signed(value) => integer(value, out),
                Value::Float(value) => float(value, is_single(&step.column), &mut self.text, out),
                Value::Text(text) => json_string(text, self.layout.screen, out),
                Value::Bytes(bytes) => {
                    out.push(b'"');
                    hex(bytes, out);
                    out.push(b'"');
                }
                Value::Array(values) => {
                    let (scalar, mut first) = (values.scalar(), true);
                    out.push(b'[');
                    for value in values {
                        if !std::mem::take(&mut first) {
                            out.push(b',');
                        }
                        line(self.layout.pretty, step.depth + 1, true, out);
                        element(value, scalar, &mut self.text, out);
                    }
                    line(self.layout.pretty && !first, step.depth, true, out);
                    out.push(b']');
                }
            }
        }
        out.extend_from_slice(&self.tail);
    }
}

impl Planner {
    /// An object whose members are `depth` levels deep.
    fn members(&mut self, nodes: Nodes, label: Option<&str>, depth: usize) {
        self.pending.push(b'{');
        let mut first = true;
        if let Some(label) = label.filter(|_| !nodes.contains_key("_source")) {
            self.key("_source", &mut first, depth);
            json_string(label.as_bytes(), true, &mut self.pending);
        }
        for (name, node) in nodes {
            self.key(&name, &mut first, depth);
            match node {
                Node::Members(nodes) => self.members(nodes, None, depth + 1),
                Node::Value(column) => {
                    let lead = std::mem::take(&mut self.pending).into();
                    self.steps.push(Step { lead, column: *column, depth });
                }
            }
        }
        if !first {
            self.line(depth - 1, true);
        }
        self.pending.push(b'}');
    }

    fn key(&mut self, name: &str, first: &mut bool, depth: usize) {
        if !std::mem::take(first) {
            self.pending.push(b',');
        }
        self.line(depth, true);
        json_string(name.as_bytes(), true, &mut self.pending);
        self.pending.extend_from_slice(if self.layout.pretty { b": " } else { b":" });
    }

    fn line(&mut self, depth: usize, fresh: bool) {
        line(self.layout.pretty, depth, fresh, &mut self.pending);
    }
}

/// Indents, on a line of its own if it is to be `fresh`.
fn line(pretty: bool, depth: usize, fresh: bool, out: &mut Vec<u8>) {
    if pretty {
        if fresh {
            out.push(b'\n');
        }
        out.resize(out.len() + 2 * depth, b' ');
    }
}

/// Whether a float has single precision, and so fewer digits.
pub(super) fn is_single(column: &Column) -> bool {
    matches!(column.render, Render::Number(NumberForm::Plain(FieldKind::Float32)))
}

pub(super) fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// An element of an array.
pub(super) fn element(value: Number, scalar: Scalar, text: &mut String, out: &mut Vec<u8>) {
    match value {
        Number::Unsigned(value) if scalar == Scalar::Bool => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        }
        Number::Unsigned(value) => integer(value, out),
        Number::Signed(value) => integer(value, out),
        Number::Float(value) => float(value, scalar == Scalar::Float(4), text, out),
    }
}

fn float(value: f64, single: bool, text: &mut String, out: &mut Vec<u8>) {
    if finite(value, single, text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Spells a float into `text`; false for what is no number.
pub(super) fn finite(value: f64, single: bool, text: &mut String) -> bool {
    text.clear();
    if single {
        #[expect(clippy::cast_possible_truncation, reason = "it was a single before it became a double")]
        number::es6_single(value as f32, text)
    } else {
        number::es6(value, text)
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]));
}
