//! Every key as a table in Markdown.

use crate::{
    runtime::tables::ALL,
    table::{Key, Kind, Object, Status, show_size},
    value::show_duration,
};

/// The reference of every key of runtime-config.yaml, in Markdown: one section per mapping.
pub fn key_reference() -> String {
    ALL.iter().map(|object| section(object)).collect::<Vec<_>>().join("\n")
}

fn section(object: &Object) -> String {
    let mut text = format!("### {}\n\n{}\n\n", object.name, object.doc);
    if object.one_of {
        text.push_str("Exactly one of these keys is given.\n\n");
    }
    text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in object.keys.iter().filter(|key| !matches!(key.status, Status::Renamed(_))) {
        text.push_str(&row(key));
    }
    text
}

fn row(key: &Key) -> String {
    let (value, default, doc) = match key.status {
        Status::NotYet(instead) => {
            ("-".to_owned(), "-".to_owned(), format!("{} Not in this version: {instead}.", key.doc))
        }
        _ => (kind(&key.kind), default(key), key.doc.to_owned()),
    };
    format!("| `{}` | {} | {} | {} |\n", key.name, cell(&value), cell(&default), cell(&doc))
}

fn default(key: &Key) -> String {
    match key.default {
        _ if key.required => "required".to_owned(),
        Some(text) => format!("`{text}`"),
        None => String::new(),
    }
}

fn kind(kind_: &Kind) -> String {
    match kind_ {
        Kind::Text(_) | Kind::Secret => "text".to_owned(),
        Kind::Literal | Kind::Spelled(_) => "single value".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Whole { min, max } if min == max => format!("`{min}`"),
        Kind::Whole { min, max } => format!("{min} to {max}"),
        Kind::Number => "number".to_owned(),
        Kind::Duration { least, most, .. } => {
            format!("duration, {} to {}", show_duration(*least), show_duration(*most))
        }
        Kind::Size { min, max } => format!("size, {} to {}", show_size(*min), show_size(*max)),
        Kind::Word(words, _) => words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Address => "address and port".to_owned(),
        Kind::Path => "file".to_owned(),
        Kind::Object(object) => link(object),
        Kind::List(of) => format!("list of {}", kind(of)),
        Kind::Map { values, .. } => format!("mapping of names to {}", kind(values)),
        Kind::Either(object, other) => format!("{} or {}", kind(other), link(object)),
    }
}

fn link(object: &Object) -> String {
    format!("[{0}](#{0})", object.name)
}

/// Keeps a text within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
