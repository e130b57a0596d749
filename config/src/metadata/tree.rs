//! A tree whose keys make no difference of case and whose paths see dots in keys as levels.

use std::collections::BTreeMap;

use crate::yaml::{Node, Scalar, ScalarKind, Value};

/// A value of the tree; keys are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Tree {
    #[default]
    Null,
    Text(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// Of keys that differ in case only, the last one counts.
    pub(super) fn from_node(node: &Node) -> Self {
        match &node.value {
            Value::Scalar(scalar) => from_scalar(scalar),
            Value::Sequence(items) => Self::List(items.iter().map(Self::from_node).collect()),
            Value::Mapping(entries) => Self::Map(
                entries
                    .iter()
                    .map(|entry| (entry.key.to_lowercase(), Self::from_node(&entry.value)))
                    .collect(),
            ),
        }
    }

    /// The value at `path`. At each level the longest key that the path begins with is tried first.
    pub(super) fn find(&self, path: &str) -> Option<&Tree> {
        self.find_lower(&path.to_lowercase())
    }

    fn find_lower(&self, path: &str) -> Option<&Tree> {
        let Self::Map(map) = self else { return None };
        if let Some(found) = map.get(path) {
            return Some(found);
        }
        splits(path).find_map(|(key, rest)| map.get(key)?.find_lower(rest))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Map(map) => map.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.iter().filter_map(Self::text).map(str::to_owned).collect(),
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// Every text below a mapping by its path; lists have none. Where a nested and a dotted key make the same path,
    /// the dotted one counts, as in [`Tree::find`].
    pub(super) fn flatten(&self) -> Option<BTreeMap<String, String>> {
        let Self::Map(map) = self else { return None };
        let mut flat = BTreeMap::new();
        // Shorter keys first: what a longer key says replaces it.
        let mut keys: Vec<_> = map.iter().collect();
        keys.sort_by_key(|(key, _)| key.matches('.').count());
        for (key, value) in keys {
            match value {
                Self::Null => {
                    flat.insert(key.clone(), String::new());
                }
                Self::Text(text) => {
                    flat.insert(key.clone(), text.clone());
                }
                Self::List(_) => {}
                Self::Map(_) => {
                    for (rest, text) in value.flatten().unwrap_or_default() {
                        flat.insert(format!("{key}.{rest}"), text);
                    }
                }
            }
        }
        Some(flat)
    }

    /// Sets a text. Each key goes where the path leads already, else it is added as it is, dots and all.
    pub(super) fn insert(&mut self, keys: &[&str], value: &str) {
        let Some((key, rest)) = keys.split_first() else {
            *self = Self::Text(value.to_owned());
            return;
        };
        self.place(&key.to_lowercase()).insert(rest, value);
    }

    fn place(&mut self, path: &str) -> &mut Tree {
        let known = self.find_lower(path).is_some();
        if !self.is_map() {
            *self = Self::Map(BTreeMap::new());
        }
        let Self::Map(map) = self else { return self };
        let split =
            || splits(path).find(|(key, rest)| map.get(*key).is_some_and(|v| v.find_lower(rest).is_some()));
        match split().filter(|_| known && !map.contains_key(path)) {
            Some((key, rest)) => map.entry(key.to_owned()).or_default().place(rest),
            None => map.entry(path.to_owned()).or_default(),
        }
    }

    pub(super) fn merge(&mut self, patch: Tree) {
        let Self::Map(entries) = patch else {
            *self = patch;
            return;
        };
        if !self.is_map() {
            *self = Self::Map(BTreeMap::new());
        }
        for (key, value) in entries {
            self.place(&key).merge(value);
        }
    }

    pub(super) fn try_map_text<E>(
        &mut self,
        change: &mut dyn FnMut(&str) -> Result<String, E>,
    ) -> Result<(), E> {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) => {
                *text = change(text)?;
                Ok(())
            }
            Self::List(items) => items.iter_mut().try_for_each(|item| item.try_map_text(change)),
            Self::Map(map) => map.values_mut().try_for_each(|value| value.try_map_text(change)),
        }
    }
}

/// The ways to cut a path at a dot, longest beginning first.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.rmatch_indices('.').filter_map(|(at, _)| Some((path.get(..at)?, path.get(at + 1..)?)))
}

/// A single value as text, spelled the way the reference spells it: booleans in lower case, whole numbers in decimal,
/// other numbers without exponent.
fn from_scalar(scalar: &Scalar) -> Tree {
    Tree::Text(match scalar.kind {
        ScalarKind::Null => return Tree::Null,
        ScalarKind::Text => scalar.text.clone(),
        ScalarKind::Bool(truth) => truth.to_string(),
        ScalarKind::Int(number) => number.to_string(),
        ScalarKind::Float(number) if number.is_nan() => "NaN".to_owned(),
        ScalarKind::Float(number) if number.is_infinite() => {
            if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
        }
        ScalarKind::Float(number) => number.to_string(),
    })
}
