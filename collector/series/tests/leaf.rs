//! Which crates compile without a transport: read from the lock file, so that a dependency cannot slip in unseen.

use std::collections::{BTreeMap, BTreeSet};

/// What writes or sends series.
const EXPORT: [&str; 5] =
    ["ig-exporters", "opentelemetry-proto", "prometheus-client", "tonic", "opentelemetry"];
/// What speaks HTTP or TLS.
const HTTP: [&str; 4] = ["axum", "hyper", "reqwest", "rustls"];

/// Each package of the lock file with what it depends on, for any target and for tests as well.
fn packages(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let name = block.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default();
        // A dependency is named with its version where several are locked.
        let needs = block.lines().filter_map(|line| line.strip_prefix(" \""));
        let needs = needs.filter_map(|line| line.split(['"', ' ']).next());
        packages.entry(name.trim_matches('"')).or_default().extend(needs);
    }
    packages
}

fn closure<'a>(packages: &BTreeMap<&'a str, Vec<&'a str>>, of: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([of]);
    let mut open = vec![of];
    while let Some(package) = open.pop() {
        for needed in packages.get(package).into_iter().flatten() {
            if reached.insert(needed) {
                open.push(needed);
            }
        }
    }
    reached
}

/// Scenario: the lock file of this workspace, which lists what tests need as well.
/// Guarantees: the series store needs the model alone of ours and no executor; operators, console and what they stand on
/// reach neither exporters nor HTTP; the fuzzers reach no exporter.
#[test]
fn pure_crates_reach_no_exporter() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let lock = std::fs::read_to_string(path).unwrap();
    let packages = packages(&lock);
    let ours: Vec<&str> =
        closure(&packages, "ig-series").into_iter().filter(|name| name.starts_with("ig-")).collect();
    assert_eq!(ours, ["ig-model", "ig-series"]);
    let cases: [(&str, &[&[&str]]); 6] = [
        ("ig-series", &[&EXPORT, &HTTP, &["tokio", "prost"]]),
        ("ig-datasource", &[&EXPORT, &HTTP]),
        ("ig-symbols", &[&EXPORT, &HTTP]),
        ("ig-operators", &[&EXPORT, &HTTP]),
        ("ig-console", &[&EXPORT, &HTTP]),
        ("ig-fuzz", &[&EXPORT]),
    ];
    for (name, forbidden) in cases {
        let reached = closure(&packages, name);
        assert!(reached.len() > 1, "{name} is not in the lock file");
        let found: Vec<&str> =
            forbidden.iter().copied().flatten().copied().filter(|name| reached.contains(name)).collect();
        assert!(found.is_empty(), "{name} reaches {found:?}");
    }
    assert!(closure(&packages, "ig-exporters").contains("tonic"), "the list is read as it is meant");
}
