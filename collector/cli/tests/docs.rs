//! The documents about the code say what is there: crates, and words.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Words that were given up as names of types, traits and modules, and what to say instead.
const GIVEN_UP: &[(&str, &str)] = &[
    ("Judge", "verifier, check, or what it enforces"),
    ("Wish", "request, schedule"),
    ("Handler", "what it does with what it handles"),
    ("Manager", "what it keeps or does"),
    ("Lane", "buffer"),
    ("Misc", "a name for each part"),
    ("Route", "access"),
    ("Stock", "availability"),
    ("Wishes", "what is asked for"),
    ("Util", "a name for each part"),
    ("Utils", "a name for each part"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The cells of the rows of the first table below `heading`, without the table's own heading.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, after) = text.split_once(heading).unwrap_or_else(|| panic!("expected {heading:?}"));
    let lines =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.skip(2).map(cells).collect()
}

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The crates that are shipped, by the folder that is their name: `model` is in `collector/model`.
fn crates() -> BTreeMap<String, PathBuf> {
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let members = members.split('"').skip(1).step_by(2).filter(|member| !member.starts_with("tests"));
    members.map(|member| (member.rsplit('/').next().unwrap().to_owned(), root().join(member))).collect()
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that the sources of a crate give to types, traits and modules, each with a file it is in.
fn names(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    sources(&folder.join("src"), &mut files);
    let mut names = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).peekable();
            let visible = ["", "pub", "crate", "super", "in", "self", "unsafe"];
            let Some(keyword) = words.by_ref().find(|word| !visible.contains(word)) else { continue };
            if let ("struct" | "enum" | "union" | "trait" | "type" | "mod", Some(name)) =
                (keyword, words.next())
            {
                names.insert(name.to_owned(), file.clone());
            }
        }
    }
    names
}

/// Guarantees: the table of crates in architecture.md has a row for each crate of the workspace and no other.
#[test]
fn every_crate_has_its_row() {
    let rows = table(&read("collector/docs/architecture.md"), "## Crates");
    let described: BTreeSet<_> = rows.iter().filter_map(|row| code(row.first()?).next()).collect();
    let crates = crates();
    assert_eq!(described, crates.keys().map(String::as_str).collect());
    for row in &rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

/// Guarantees: each word of the glossary is explained, once, and what it is called in code exists in that crate.
#[test]
fn every_word_is_explained_and_exists() {
    let mut seen = BTreeSet::new();
    let crates = crates();
    for row in table(&read("collector/docs/glossary.md"), "# Glossary") {
        let [word, meaning, in_code] = row.as_slice() else { panic!("expected three cells, got {row:?}") };
        assert!(meaning.split_whitespace().count() >= 4, "`{word}` needs a sentence");
        for word in word.split(", ") {
            assert!(seen.insert(word.to_owned()), "`{word}` is explained twice");
        }
        for path in code(in_code) {
            let (krate, name) =
                path.split_once("::").unwrap_or_else(|| panic!("expected crate::Name, got `{path}`"));
            let folder =
                crates.get(krate).unwrap_or_else(|| panic!("`{path}`: expected a crate, got `{krate}`"));
            assert!(names(folder).contains_key(name), "`{path}` does not exist");
        }
    }
    assert!(seen.len() > 30);
}

/// Guarantees: words that were given up name nothing again.
#[test]
fn words_that_were_given_up_name_nothing() {
    for folder in crates().values() {
        let names = names(folder);
        for (word, instead) in GIVEN_UP {
            for spelling in [(*word).to_owned(), word.to_lowercase()] {
                let found = names.get(&spelling);
                assert!(found.is_none(), "`{spelling}` in {}: say {instead}", found.unwrap().display());
            }
        }
    }
}

/// Guarantees: every test that `tests/faults.md` names is in the file it names.
#[test]
fn every_fault_is_kept_away_by_a_test_that_exists() {
    let text = read("tests/faults.md");
    for line in text.lines().filter(|line| line.starts_with("- ")) {
        let named: Vec<_> =
            code(line).skip_while(|word| !word.contains('/') || word.starts_with('/')).collect();
        assert!(
            !named.is_empty() && named.len() % 2 == 0,
            "expected `file` `test` pairs at the end of {line:?}"
        );
        for pair in named.chunks_exact(2) {
            let declared = if Path::new(pair[0]).extension().is_some_and(|extension| extension == "rs") {
                format!("fn {}(", pair[1])
            } else {
                pair[1].to_owned()
            };
            assert!(read(pair[0]).contains(&declared), "no `{}` in {}", pair[1], pair[0]);
        }
    }
}
