//! A small strict reader of both exposition formats, for tests: what it accepts, Prometheus accepts.

use std::collections::{BTreeMap, HashSet};

use super::Format;

/// One metric family as read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Sample name, labels in order of name, value.
    pub(crate) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Parsed {
    /// The sum of all samples, which must be whole.
    pub(crate) fn sum(&self) -> u64 {
        let sum: f64 = self.samples.iter().map(|sample| sample.2).sum();
        format!("{sum}").parse().unwrap()
    }
}

/// Reads a page; panics on anything a strict reader would refuse.
pub(crate) fn parse(page: &str, format: Format) -> BTreeMap<String, Parsed> {
    assert!(page.ends_with('\n'));
    let mut families: BTreeMap<String, Parsed> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut series = HashSet::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" {
            assert_eq!(format, Format::OpenMetrics);
            assert!(lines.peek().is_none(), "nothing follows the end mark");
            check(&families, format);
            return families;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = Parsed { help: help.to_owned(), ..Parsed::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "family {name} stands twice");
            current = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(current.as_deref(), Some(name));
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(format == Format::OpenMetrics && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let (name, labels, value) = sample(line);
            assert!(series.insert((name.clone(), labels.clone())), "series stands twice: {line}");
            let family = current.as_ref().unwrap();
            let parsed = families.get_mut(family).unwrap();
            if name == format!("{family}_created") && matches!(parsed.kind.as_str(), "counter" | "histogram")
            {
                assert_eq!(format, Format::OpenMetrics);
                let (before, of, _) = parsed.samples.last().unwrap();
                assert!(before.ends_with("_total") || before.ends_with("_count"), "{line} after {before}");
                assert_eq!(*of, labels, "{line} is not behind its own series");
                assert!(value > 0.0, "{line}");
                continue;
            }
            let suffixes: &[&str] = match (parsed.kind.as_str(), format) {
                ("counter", Format::OpenMetrics) => &["_total"],
                ("info", _) => &["_info"],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let belongs = suffixes.iter().any(|suffix| name == format!("{family}{suffix}"));
            assert!(belongs, "{name} does not belong to {family} of type {}", parsed.kind);
            parsed.samples.push((name, labels, value));
        }
    }
    assert_eq!(format, Format::Text, "the end mark is missing");
    check(&families, format);
    families
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let close = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("unknown escape {c} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "label {label} stands twice: {line}");
            rest = &after[close + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap();
    (name.to_owned(), labels, value.parse().unwrap())
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

fn check(families: &BTreeMap<String, Parsed>, format: Format) {
    for (name, family) in families {
        assert!(!family.kind.is_empty(), "{name} has no type");
        assert!(!family.samples.is_empty(), "{name} has no samples");
        if family.kind == "counter" && format == Format::Text {
            assert!(name.ends_with("_total"));
        }
        if family.kind == "histogram" {
            check_buckets(name, family);
        }
    }
}

/// Buckets grow to `+Inf`, which equals the count.
fn check_buckets(name: &str, family: &Parsed) {
    let mut sets: BTreeMap<BTreeMap<String, String>, (f64, f64)> = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        let mut labels = labels.clone();
        if *sample == format!("{name}_bucket") {
            let le: f64 = labels.remove("le").unwrap().parse().unwrap();
            let last = sets.entry(labels).or_insert((f64::NEG_INFINITY, 0.0));
            assert!(le > last.0 && *value >= last.1, "{name}");
            *last = (le, *value);
        } else if *sample == format!("{name}_count") {
            assert_eq!(sets[&labels], (f64::INFINITY, *value), "{name}");
        }
    }
}
