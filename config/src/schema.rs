//! The JSON schema and the key reference of runtime-config.yaml, made from the tables that the reader itself uses.
//!
//! The schema is for editors: it knows types, words, bounds and names. Rules between values (buckets that increase,
//! exporters that exist) are beyond it; `ig config check` knows all of them.

mod reference;
#[cfg(test)]
mod tests;

pub use reference::key_reference;

use serde_json::{Map, Value, json};

use crate::{
    runtime::tables::{ALL, DOCUMENT},
    table::{Key, Kind, Object, Status, TextRule},
};

/// The JSON schema (draft 2020-12) of `kind: runtime-config` documents, pretty-printed, with a final line break.
pub fn json_schema() -> String {
    let mut schema = object(&DOCUMENT);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("runtime-config.yaml"));
    let definitions = ALL.iter().filter(|other| other.name != DOCUMENT.name);
    let definitions = definitions.map(|other| (other.name.to_owned(), Value::Object(object(other))));
    schema.insert("$defs".to_owned(), Value::Object(definitions.collect()));
    format!("{:#}\n", Value::Object(schema))
}

fn object(object: &Object) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in object.keys {
        match key.status {
            Status::Supported => {
                properties.insert(key.name.to_owned(), property(key));
            }
            Status::NotYet(_) | Status::Renamed(_) => {}
        }
        if key.required {
            required.push(key.name);
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(object.doc));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if object.one_of {
        schema.insert("minProperties".to_owned(), json!(1));
        schema.insert("maxProperties".to_owned(), json!(1));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(key.doc));
        // A default is spelled as in a document, and documents are YAML.
        let default = key.default.and_then(|text| serde_yaml::from_str::<Value>(text).ok());
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
    }
    schema
}

fn kind(kind_: &Kind) -> Value {
    match kind_ {
        Kind::Text(rule) => text(rule),
        Kind::Secret | Kind::Path => json!({"type": "string"}),
        Kind::Literal => json!({"type": ["string", "number", "boolean"]}),
        Kind::Spelled(_) => json!({"type": ["string", "number", "boolean", "null"]}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Number => json!({"type": "number"}),
        Kind::Duration { zero, .. } => {
            let spelled = json!({"type": "string", "pattern": pattern(r"^\s*([0-9]+\s*[a-z]+\s*)+$|^0$")});
            if *zero { json!({"anyOf": [spelled, {"const": 0}]}) } else { spelled }
        }
        Kind::Size { min, max } => json!({"anyOf": [
            {"type": "integer", "minimum": min, "maximum": max},
            {"type": "string", "pattern": pattern(r"^[0-9]+ *([kKMG]?B|[KMGT]iB)?$")},
        ]}),
        Kind::Word(words, _) => {
            json!({"anyOf": [{"enum": words()}, {"type": "string", "pattern": SUBSTITUTED}]})
        }
        Kind::Address => json!({"type": "string", "pattern": pattern(":[0-9]+$")}),
        Kind::Object(object) => json!({"$ref": format!("#/$defs/{}", object.name)}),
        Kind::List(of) => json!({"type": "array", "items": kind(of)}),
        Kind::Map { keys, values } => {
            let mut schema = json!({"type": "object", "additionalProperties": kind(values)});
            if let (Value::Object(schema), Some(names)) = (&mut schema, keys.pattern) {
                schema.insert("propertyNames".to_owned(), json!({"pattern": names}));
            }
            schema
        }
        Kind::Either(object, other) => {
            json!({"anyOf": [kind(other), {"$ref": format!("#/$defs/{}", object.name)}]})
        }
    }
}

fn text(rule: &TextRule) -> Value {
    match rule.pattern {
        Some(rule) => json!({"type": "string", "pattern": pattern(rule)}),
        None => json!({"type": "string"}),
    }
}

/// A pattern that also lets texts pass in which something is still to be put.
fn pattern(rule: &str) -> String {
    format!("{rule}|{SUBSTITUTED}")
}

/// What a text contains in which something is still to be put.
const SUBSTITUTED: &str = r"\$\{";
