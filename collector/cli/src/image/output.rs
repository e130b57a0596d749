//! How the commands around images print what they found: text for people, JSON and YAML for programs.
//!
//! Much of it was written by whoever built an image, so nothing reaches a terminal that does things to it.

use clap::ValueEnum;
use ig_model::text::is_printable;
use serde::Serialize;
use serde_json::Value;

use crate::{failure::Failure, print as streams};

/// The form of a document on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Compact JSON
    Json,
    /// Indented JSON
    Jsonpretty,
    /// YAML
    Yaml,
}

/// Prints `document`. Compact JSON ends without a line break, as scripts know it.
pub(super) fn print(document: &impl Serialize, form: Form) -> Result<(), Failure> {
    let text = match form {
        Form::Json => serde_json::to_string(document),
        Form::Jsonpretty => serde_json::to_string_pretty(document),
        Form::Yaml => serde_json::to_value(document).map(|value| {
            let mut out = String::new();
            write_yaml(&value, 0, &mut out);
            out
        }),
    };
    write(&escape_document(&text.map_err(|error| Failure::new(&error))?))
}

/// Writes to standard output. A reader who has seen enough is not a failure.
pub(super) fn write(text: &str) -> Result<(), Failure> {
    streams::out(text)
}

/// JSON, or YAML made of JSON's strings, with everything escaped that Go escapes and that terminals act upon. None of
/// it can stand outside of a string, but for the line break.
fn escape_document(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (!is_printable(c) || matches!(c, '<' | '>' | '&')) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// YAML of the plainest kind: block mappings and sequences, strings in JSON's quotes.
fn write_yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                write_yaml_member(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                write_yaml(item, indent + 2, out);
            }
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn write_yaml_member(value: &Value, indent: usize, out: &mut String) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push_str(":\n");
        out.push_str(&" ".repeat(indent + 2));
        write_yaml(value, indent + 2, out);
    } else {
        out.push_str(": ");
        write_yaml(value, indent, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: text with escape sequences, C1 controls, line separators and a change of direction.
    /// Guarantees: no such character is in a document, and JSON still means the same.
    #[test]
    fn hostile_text_is_escaped() {
        let hostile = "a\u{1b}[2J\u{9b}2J\n\u{202e}\u{2028}<b>é";
        let json = escape_document(&serde_json::to_string(hostile).unwrap());
        assert!(json.chars().all(is_printable), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
        assert!(json.contains("\\u003cb\\u003e"));
    }

    /// Scenario: nested and empty values, numbers, text that YAML would take for something else.
    /// Guarantees: the YAML is laid out in blocks, with strings in quotes.
    #[test]
    fn yaml_is_plain() {
        let mut out = String::new();
        let value = serde_json::json!([{"a": "no", "b": [], "c": {"d": [1, {"e": null}]}}, "x: y"]);
        write_yaml(&value, 0, &mut out);
        let expected = "- \"a\": \"no\"\n  \"b\": []\n  \"c\":\n    \"d\":\n      - 1\n      - \"e\": null\n- \"x: y\"\n";
        assert_eq!(out, expected);
    }
}
