use std::{fs, path::Path};

use super::{json_schema, key_reference};
use crate::runtime::tables::ALL;

const BEGIN: &str = "<!-- keys: begin -->\n";
const END: &str = "<!-- keys: end -->\n";

/// Compares a committed file with what it should hold; `UPDATE=1` writes it instead.
fn committed(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} is out of date; run `UPDATE=1 cargo test -p ig-config`");
}

#[test]
fn committed_schema_is_the_generated_one() {
    committed("runtime-config.schema.json", &json_schema());
}

#[test]
fn committed_key_reference_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    committed("README.md", &format!("{before}{BEGIN}\n{}\n{END}{after}", key_reference()));
}

#[test]
fn tables_name_every_object_once() {
    let mut names: Vec<_> = ALL.iter().map(|object| object.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    for object in ALL {
        for key in object.keys {
            assert_eq!(object.keys.iter().filter(|other| other.name == key.name).count(), 1, "{}", key.name);
        }
    }
}

#[test]
fn every_reference_of_the_schema_is_defined() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let text = schema.to_string();
    for part in text.split("\"#/$defs/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schema["$defs"][name].is_object(), "{name}");
    }
}
