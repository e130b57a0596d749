//! What people are told about each kind of mistake, word for word.
//!
//! Each `golden/NAME.yaml` is a document with mistakes; `golden/NAME.txt` is the long form of its faults. Run with
//! `UPDATE=1` to write the texts after a change, and read the difference.

use std::{fs, path::Path};

use ig_config::runtime::check_str;

#[test]
fn mistakes_are_told_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    documents.sort();
    assert!(documents.len() >= 8);
    let mut stale = Vec::new();
    for path in documents {
        let name = path.file_name().unwrap().to_str().unwrap();
        let told = match check_str(name, &fs::read_to_string(&path).unwrap()) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.faults,
        };
        let told: Vec<_> = told.iter().map(|fault| fault.long() + "\n").collect();
        let told = told.join("\n");
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &told).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != told {
            stale.push(format!("{}:\n{told}", golden.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}
