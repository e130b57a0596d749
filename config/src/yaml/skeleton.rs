//! Positions: the events of saphyr-parser as trees, with every limit enforced while they are built.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScanError, Span as EventSpan, Tag};

use super::{Entry, MAX_DEPTH, MAX_EXPANDED, MAX_NODES, Node, Scalar, ScalarKind, Value};
use crate::{Fault, Source, Span, source::join};

/// Builds one tree per document. Every scalar is [`ScalarKind::Text`] for now, null documents included.
pub(super) fn read(source: &Source) -> Result<Vec<Node>, Vec<Fault>> {
    let mut builder = Builder::new(source);
    let mut parser = Parser::new_from_str(source.text());
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| vec![syntax(source, &error)])?;
        builder.take(event, convert(span)).map_err(|fault| vec![*fault])?;
    }
    if builder.faults.is_empty() { Ok(builder.roots) } else { Err(builder.faults) }
}

/// More duplicate keys than this are not listed one by one.
const MAX_FAULTS: usize = 100;

struct Builder<'s> {
    source: &'s Source,
    roots: Vec<Node>,
    open: Vec<Frame>,
    anchors: HashMap<usize, Weighed>,
    nodes: usize,
    bytes: usize,
    faults: Vec<Fault>,
}

/// A finished value that an alias may repeat, with what repeating it costs.
struct Weighed {
    node: Node,
    nodes: usize,
    bytes: usize,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    start: Span,
    anchor: usize,
    /// What the builder had counted when it began.
    nodes: usize,
    bytes: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: BTreeMap<String, Span>, key: Option<(String, Span)> },
}

type Stop = Result<(), Box<Fault>>;

impl<'s> Builder<'s> {
    fn new(source: &'s Source) -> Self {
        let (roots, open, faults) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, roots, open, anchors: HashMap::new(), nodes: 0, bytes: 0, faults }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Stop {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(id) => self.alias(id, span),
            Event::Scalar(text, _, anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                let (nodes, bytes) = (self.nodes, self.bytes);
                self.count(1, text.len(), span)?;
                let scalar = Scalar { text: text.into_owned(), kind: ScalarKind::Text };
                self.finish(Node { span, value: Value::Scalar(scalar) }, anchor, nodes, bytes)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.begin(Content::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                let content = Content::Mapping { entries: Vec::new(), seen: BTreeMap::new(), key: None };
                self.begin(content, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, start: Span) -> Stop {
        if self.open.len() >= MAX_DEPTH {
            let problem = "document is nested too deeply";
            return self.refuse(start, problem, &format!("at most {MAX_DEPTH} levels"));
        }
        if matches!(self.open.last(), Some(Frame { content: Content::Mapping { key: None, .. }, .. })) {
            return self.refuse(start, "key is a mapping or a list", "a single value");
        }
        let (nodes, bytes) = (self.nodes, self.bytes);
        self.count(1, 0, start)?;
        self.open.push(Frame { start, anchor, nodes, bytes, content });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Stop {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let value = match frame.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        let span = Span { end_line: end.end_line, end_column: end.end_column, ..frame.start };
        self.finish(Node { span, value }, frame.anchor, frame.nodes, frame.bytes)
    }

    /// Puts a complete value where it belongs and remembers it under its anchor.
    fn finish(&mut self, node: Node, anchor: usize, nodes: usize, bytes: usize) -> Stop {
        if anchor > 0 {
            // The copy kept for aliases is paid for like an alias, or anchors would double every level for free.
            let (nodes, bytes) = (self.nodes - nodes, self.bytes - bytes);
            self.count(nodes, bytes, node.span)?;
            self.anchors.insert(anchor, Weighed { node: node.clone(), nodes, bytes });
        }
        self.place(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Stop {
        let Some(Weighed { nodes, bytes, .. }) = self.anchors.get(&id) else {
            return self.refuse(span, "alias names an anchor that is not complete", "an anchor further up");
        };
        let (nodes, bytes) = (*nodes, *bytes);
        self.count(nodes, bytes, span)?;
        let copy = self.anchors.get(&id).map(|anchored| anchored.node.clone());
        copy.map_or(Ok(()), |node| self.place(node))
    }

    fn place(&mut self, node: Node) -> Stop {
        let span = node.span;
        let Some(frame) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match &mut frame.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key } => match (key.take(), node.value) {
                (Some((key, key_span)), value) => {
                    entries.push(Entry { key, key_span, value: Node { span, value } });
                }
                (None, Value::Scalar(Scalar { text, .. })) => {
                    let first = seen.insert(text.clone(), span);
                    *key = Some((text, span));
                    if let Some(first) = first {
                        self.duplicate(first, span);
                    }
                }
                (None, _) => return self.refuse(span, "key is a mapping or a list", "a single value"),
            },
        }
        Ok(())
    }

    /// Notes that the key just placed at `again` stands at `first` already.
    fn duplicate(&mut self, first: Span, again: Span) {
        if self.faults.len() < MAX_FAULTS {
            let fault = self.source.fault(again, self.path(), "key is written twice");
            self.faults.push(fault.other(self.source.position(first)));
        }
    }

    fn count(&mut self, nodes: usize, bytes: usize, span: Span) -> Stop {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > MAX_NODES {
            let expected = format!("at most {MAX_NODES}, with aliases expanded");
            return self.refuse(span, "document holds too many values", &expected);
        }
        if self.bytes > MAX_EXPANDED {
            let expected = format!("at most {MAX_EXPANDED} bytes, with aliases expanded");
            return self.refuse(span, "document holds too much text", &expected);
        }
        Ok(())
    }

    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Stop {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                let fault = self.source.fault(span, self.path(), "unsupported tag").value(&tag.to_string());
                Err(Box::new(fault.expected("a plain YAML value")))
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, span: Span, problem: &str, expected: &str) -> Stop {
        Err(Box::new(self.source.fault(span, self.path(), problem).expected(expected)))
    }

    /// The way to the value that comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.content {
                Content::Sequence(items) => path = crate::source::at_index(&path, items.len()),
                Content::Mapping { key: Some((key, _)), .. } => path = join(&path, key),
                Content::Mapping { key: None, .. } => {}
            }
        }
        path
    }
}

fn syntax(source: &Source, error: &ScanError) -> Fault {
    let marker = error.marker();
    let start = place(marker.line(), marker.col());
    let span = Span { line: start.0, column: start.1, end_line: start.0, end_column: start.1 + 1 };
    let fault = source.fault(span, "", format!("broken YAML: {}", error.info().to_lowercase()));
    let tabs =
        fault.excerpt.as_ref().is_some_and(|shown| shown.line.trim_start_matches(' ').starts_with('\t'));
    if tabs { fault.hint("indent with spaces; YAML takes no tabs") } else { fault }
}

fn convert(span: EventSpan) -> Span {
    let (line, column) = place(span.start.line(), span.start.col());
    let (end_line, end_column) = place(span.end.line(), span.end.col());
    Span { line, column, end_line, end_column }
}

/// Lines come counted from one, columns from zero.
fn place(line: usize, column: usize) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(line).max(1), number(column).saturating_add(1))
}
