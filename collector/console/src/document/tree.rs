//! The nesting of a document, from the dotted names of columns.

use std::collections::BTreeMap;

use ig_operators::{Column, Columns, ValueKind};

use crate::fields::Kept;

/// Names with more dots than this keep the rest as one key.
const MAX_DEPTH: usize = 32;

/// Members in order of name.
pub(super) type Nodes = BTreeMap<String, Node>;

/// A member of a document.
#[derive(Debug)]
pub(super) enum Node {
    /// A value.
    Value(Box<Column>),
    /// Members of its own.
    Members(Nodes),
}

/// The members of the documents of a data source.
pub(super) fn build(columns: &Columns, kept: &Kept) -> Nodes {
    let left_out: Vec<&str> = columns
        .iter()
        .filter(|column| !column.referenced || column.annotation("json.skip") == Some("true"))
        .map(|column| column.name.as_str())
        .collect();
    let is_left_out = |name: &str| {
        left_out
            .iter()
            .any(|out| name.strip_prefix(out).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    let mut nodes = Nodes::new();
    for column in columns.iter() {
        if column.value_kind() != ValueKind::Members && kept.has(&column.name) && !is_left_out(&column.name) {
            let mut path = column.name.splitn(MAX_DEPTH, '.');
            insert(&mut nodes, &mut path, column);
        }
    }
    nodes
}

/// Puts a column in its place. A value whose name is also that of a group gives way to the group.
fn insert<'a>(nodes: &mut Nodes, path: &mut impl Iterator<Item = &'a str>, column: &Column) {
    let mut at = nodes;
    let mut part = path.next();
    while let Some(name) = part {
        part = path.next();
        if part.is_none() {
            at.entry(name.to_owned()).or_insert_with(|| Node::Value(Box::new(column.clone())));
            return;
        }
        let node = at.entry(name.to_owned()).or_insert_with(|| Node::Members(Nodes::new()));
        if matches!(node, Node::Value(_)) {
            *node = Node::Members(Nodes::new());
        }
        let Node::Members(members) = node else { return };
        at = members;
    }
}
