//! The committed inputs of the fuzzer, replayed.
#![cfg(test)]

use std::fs;
use std::path::Path;

use ig_fuzz::TARGETS;

/// Scenario: each target gets every input of its folder: seeds, and inputs that once broke it.
/// Guarantees: none of them panics, and no target is without inputs.
#[test]
fn every_input_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for input in inputs {
            println!("{name}: {}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

/// Guarantees: each folder belongs to a target, so that no input is forgotten by a change of names.
#[test]
fn every_folder_has_a_target() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(known, _)| *known == name), "corpus/{name} belongs to no target");
    }
}
