//! Meaning: what serde_yaml makes of the same text, laid over the positions.

use serde::Deserialize as _;
use serde_yaml::{Deserializer, Value as Yaml};

use super::{Entry, Node, ScalarKind, Value};
use crate::{Fault, Source, Span};

/// Gives every scalar below `roots` its kind and applies merge keys (`<<`).
pub(super) fn resolve(source: &Source, roots: &mut [Node]) -> Result<(), Vec<Fault>> {
    if roots.is_empty() {
        return Ok(());
    }
    let mut values = Deserializer::from_str(source.text());
    for root in &mut *roots {
        let value = values.next().map(Yaml::deserialize).transpose();
        let value = value.map_err(|error| vec![refused(source, root.span, &error)])?;
        let value = value.ok_or_else(|| vec![disagree(source, root.span)])?;
        overlay(root, &value).map_err(|span| vec![disagree(source, span)])?;
        merge(source, root).map_err(|fault| vec![*fault])?;
    }
    match values.next().map(Yaml::deserialize) {
        None | Some(Ok(Yaml::Null)) => Ok(()),
        Some(_) => Err(vec![disagree(source, Span::default())]),
    }
}

/// Lays `value` over `node`; fails with the place where the two have different shapes.
fn overlay(node: &mut Node, value: &Yaml) -> Result<(), Span> {
    let span = node.span;
    match (&mut node.value, value) {
        (Value::Scalar(scalar), value) => {
            scalar.kind = match value {
                Yaml::Null => ScalarKind::Null,
                Yaml::Bool(truth) => ScalarKind::Bool(*truth),
                Yaml::Number(number) => kind_of(number).ok_or(span)?,
                Yaml::String(text) if *text == scalar.text => ScalarKind::Text,
                _ => return Err(span),
            };
            Ok(())
        }
        (Value::Sequence(items), Yaml::Sequence(values)) if items.len() == values.len() => {
            items.iter_mut().zip(values).try_for_each(|(item, value)| overlay(item, value))
        }
        (Value::Mapping(entries), Yaml::Mapping(values)) if entries.len() == values.len() => entries
            .iter_mut()
            .zip(values)
            .try_for_each(|(entry, (_, value))| overlay(&mut entry.value, value)),
        _ => Err(span),
    }
}

fn kind_of(number: &serde_yaml::Number) -> Option<ScalarKind> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    whole.map(ScalarKind::Int).or_else(|| number.as_f64().map(ScalarKind::Float))
}

/// Replaces `<<: {...}` and `<<: [{...}, ...]` by the entries they bring; keys written beside them win, then the
/// mappings in their order.
fn merge(source: &Source, node: &mut Node) -> Result<(), Box<Fault>> {
    match &mut node.value {
        Value::Scalar(_) => Ok(()),
        Value::Sequence(items) => items.iter_mut().try_for_each(|item| merge(source, item)),
        Value::Mapping(entries) => {
            entries.iter_mut().try_for_each(|entry| merge(source, &mut entry.value))?;
            let Some(at) = entries.iter().position(|entry| entry.key == "<<") else { return Ok(()) };
            let merged = entries.remove(at);
            let sources = match merged.value.value {
                Value::Sequence(items) => items,
                value => vec![Node { span: merged.value.span, value }],
            };
            for Node { span, value } in sources {
                let Value::Mapping(more) = value else {
                    let fault = source.fault(span, "", "merge key `<<` takes no such value");
                    return Err(Box::new(fault.expected("a mapping or a list of mappings")));
                };
                let known: std::collections::HashSet<&str> =
                    entries.iter().map(|entry| entry.key.as_str()).collect();
                let more: Vec<Entry> =
                    more.into_iter().filter(|entry| !known.contains(entry.key.as_str())).collect();
                entries.extend(more);
            }
            Ok(())
        }
    }
}

fn refused(source: &Source, fallback: Span, error: &serde_yaml::Error) -> Fault {
    let span = error.location().map_or(fallback, |place| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = (number(place.line()).max(1), number(place.column()).max(1));
        Span { line, column, end_line: line, end_column: column + 1 }
    });
    // The place is told by the fault already.
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    source.fault(span, "", format!("broken YAML: {text}"))
}

fn disagree(source: &Source, span: Span) -> Fault {
    let problem = "YAML readers disagree about what this is";
    source.fault(span, "", problem).hint("quote the value, or write it in a simpler way")
}
