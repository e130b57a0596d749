//! One `kind: runtime-config` document as values.
//!
//! The table finds what is wrong with single values; what is left for here are the rules between values. A value
//! that the table refused reads as not written, so that one mistake gives one fault.

mod exporters;
mod gadgets;

pub(super) use exporters::literals;
pub(super) use gadgets::gadget;

use super::{Exporters, Images, Limits, Log, tables};
use crate::{
    Source,
    source::looks_secret,
    table::{check::Checker, fields::Fields},
    yaml::{Entry, Node, Value},
};

/// What one document says; a section is `None` where the document is silent on it.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) exporters: Option<Exporters>,
    pub(super) images: Option<Images>,
    pub(super) limits: Option<Limits>,
    pub(super) log: Option<Log>,
}

/// Reads everything but the gadgets.
pub(super) fn sections(checker: &mut Checker<'_>, root: &Node) -> Sections {
    let fields = Fields::new(Some(root), &tables::DOCUMENT, checker.source);
    Sections {
        exporters: fields.has("exporters").then(|| exporters::exporters(checker, fields.object("exporters"))),
        images: fields.has("images").then(|| images(fields.object("images"))),
        limits: fields.has("limits").then(|| limits(fields.object("limits"))),
        log: fields.has("log").then(|| log(fields.object("log"))),
    }
}

fn images(fields: Fields<'_>) -> Images {
    Images { pull: fields.word("pull").unwrap_or_default(), store: fields.path("store") }
}

fn limits(fields: Fields<'_>) -> Limits {
    let defaults = Limits::default();
    Limits {
        series_per_gadget: fields.whole("series-per-gadget").unwrap_or(defaults.series_per_gadget),
        series_total: fields.whole("series-total").unwrap_or(defaults.series_total),
        stale_after: fields.duration("stale-after").unwrap_or(defaults.stale_after),
    }
}

fn log(fields: Fields<'_>) -> Log {
    Log { level: fields.word("level"), format: fields.word("format") }
}

/// Keeps values that look secret out of every excerpt, wherever they are written: a misspelled `headers` holds the
/// same password.
pub(super) fn hide_secrets(source: &mut Source, node: &Node) {
    match &node.value {
        Value::Scalar(scalar) => {
            // `https://user:password@host`
            let rest = scalar.text.split_once("://").map(|(_, rest)| rest);
            if rest.is_some_and(|rest| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
                source.hide(node.span);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| hide_secrets(source, item)),
        Value::Mapping(entries) => {
            for Entry { key, value, .. } in entries {
                if looks_secret(key) {
                    source.hide(value.span);
                } else {
                    hide_secrets(source, value);
                }
            }
        }
    }
}
