//! Finding things in a gadget.yaml with their places: keys make no difference of case, and dots in keys are levels.

use ig_config::yaml::{Entry, Node};

/// The entry called `key`, whatever its case; the last one counts, as for the runtime.
pub(super) fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    node.as_mapping()?.iter().rev().find(|entry| entry.key.to_lowercase() == key.to_lowercase())
}

/// The value below a way of keys, none of which has dots.
pub(super) fn find<'n>(node: &'n Node, keys: &[&str]) -> Option<&'n Node> {
    keys.iter().try_fold(node, |node, key| entry(node, key).map(|entry| &entry.value))
}

/// The entries of the mapping below a way of keys; none if there is none.
pub(super) fn entries<'n>(node: &'n Node, keys: &[&str]) -> &'n [Entry] {
    find(node, keys).and_then(Node::as_mapping).unwrap_or_default()
}

/// The text of a single value.
pub(super) fn text(node: &Node) -> Option<&str> {
    node.as_scalar().map(|scalar| scalar.text.as_str())
}

/// Every single value below a mapping with its key; nested keys are joined by dots.
pub(super) fn flatten(node: &Node) -> Vec<(String, &Entry)> {
    let mut flat = Vec::new();
    walk(node, "", &mut flat);
    flat
}

fn walk<'n>(node: &'n Node, prefix: &str, flat: &mut Vec<(String, &'n Entry)>) {
    // The depth of a document is limited where it is read.
    for entry in node.as_mapping().unwrap_or_default() {
        let key = join(prefix, &entry.key);
        if entry.value.as_mapping().is_some() {
            walk(&entry.value, &key, flat);
        } else {
            flat.push((key, entry));
        }
    }
}

/// The fields that a `fields` mapping describes: full name and entry. `proc: {comm: {…}}` describes `proc.comm`.
pub(super) fn fields(node: &Node) -> Vec<(String, &Entry)> {
    let mut found = Vec::new();
    descend(node, "", &mut found);
    found
}

fn descend<'n>(node: &'n Node, prefix: &str, found: &mut Vec<(String, &'n Entry)>) {
    for entry in node.as_mapping().unwrap_or_default() {
        let name = join(prefix, &entry.key);
        let inner = entry.value.as_mapping().unwrap_or_default();
        let describes = |entry: &Entry| matches!(entry.key.to_lowercase().as_str(), "annotations" | "tags");
        if inner.is_empty() || inner.iter().any(describes) {
            found.push((name, entry));
        } else {
            descend(&entry.value, &name, found);
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}
