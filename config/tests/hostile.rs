//! Whatever the text, reading it ends with values or with faults that point into it.

use std::{io, path::Path};

use ig_config::{Fault, metadata::Metadata, runtime::check_str_with, substitute::Environment, yaml};
use proptest::prelude::*;

const SEEDS: [&str; 4] = [
    include_str!("../examples/metrics.yaml"),
    include_str!("../examples/otlp.yaml"),
    include_str!("../examples/secrets.yaml"),
    include_str!("../examples/instance-spec.yaml"),
];

/// What mutations put in: what YAML gives a meaning, and what the documents do.
const PIECES: [&str; 40] = [
    ":",
    " ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<: *a",
    "!x ",
    "!!int ",
    "'",
    "\"",
    "|\n",
    ">\n",
    "#",
    "---\n",
    "...\n",
    "%",
    "\t",
    "\r",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{0}",
    "é",
    "~",
    "1e999",
    "-0",
    ".nan",
    "${A}",
    "${",
    "${file:x}",
    "gadgets:",
    "metrics: [{}]",
    "? ",
];

struct Nothing;

impl Environment for Nothing {
    fn var(&self, name: &str) -> Option<String> {
        name.len().is_multiple_of(2).then(|| name.repeat(2))
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The place a fault names is in the text, or the fault is about the text as a whole.
fn points_into(text: &str, fault: &Fault) -> Result<(), TestCaseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = normal.split('\n').collect();
    if fault.at.line == 0 {
        return Ok(());
    }
    let line = lines.get(fault.at.line as usize - 1);
    let length = line.map(|line| line.chars().count());
    prop_assert!(length.is_some(), "{fault} in {} lines", lines.len());
    let column = fault.at.column as usize;
    prop_assert!(column >= 1 && length.is_some_and(|length| column <= length + 1), "{fault} in {length:?}");
    prop_assert!(!fault.to_string().contains('\n'), "{fault}");
    prop_assert!(!fault.long().is_empty());
    prop_assert!(serde_json::to_string(fault).is_ok());
    Ok(())
}

fn hold(text: &str) -> Result<(), TestCaseError> {
    let faults = match check_str_with("t.yaml", text, &Nothing) {
        Ok(loaded) => loaded.warnings,
        Err(error) => {
            prop_assert!(!error.faults.is_empty());
            error.faults
        }
    };
    for fault in &faults {
        points_into(text, fault)?;
    }
    if let Err(faults) = yaml::read("t.yaml", text) {
        prop_assert!(!faults.is_empty());
    }
    if let Ok(metadata) = Metadata::parse(text) {
        for name in metadata.datasource_names() {
            metadata.datasource_annotations(name);
        }
        let mut other = metadata.clone();
        other.merge(metadata);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text(text in any::<String>()) {
        hold(&text)?;
    }

    #[test]
    fn text_of_meaningful_pieces(pieces in prop::collection::vec(0..PIECES.len(), 0..40)) {
        hold(&pieces.into_iter().map(|piece| PIECES[piece]).collect::<String>())?;
    }

    #[test]
    fn mutated_examples(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20_usize, 0..PIECES.len(), any::<bool>()), 1..6),
    ) {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, cut, piece, insert) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            let piece = if insert { PIECES[piece] } else { "" };
            text.splice(at..end, piece.chars());
        }
        hold(&text.into_iter().collect::<String>())?;
    }
}
