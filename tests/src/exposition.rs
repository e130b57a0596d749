//! Samples of a Prometheus text page.

use std::collections::BTreeMap;

/// One line of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Sample {
    /// A label's value; one that is not there is empty.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Reads every sample of a page; panics on a line that is none.
pub fn parse(page: &str) -> Vec<Sample> {
    page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect()
}

/// The sum of all samples called `name` whose labels include `labels`; `None` if there is none. A label that is not there
/// is empty.
pub fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let values: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.name == name && labels.iter().all(|(key, value)| sample.label(key) == *value))
        .map(|sample| sample.value)
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn sample(line: &str) -> Sample {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}")));
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        let mut characters = inside.char_indices().peekable();
        let (mut key, mut value, mut in_value, mut end) = (String::new(), String::new(), false, None);
        while let Some((at, character)) = characters.next() {
            match (in_value, character) {
                (false, '}') => {
                    end = Some(at + 1);
                    break;
                }
                (false, '=') => {
                    assert_eq!(characters.next().map(|(_, quote)| quote), Some('"'), "{line}");
                    in_value = true;
                }
                (false, ',') => {}
                (false, other) => key.push(other),
                (true, '"') => {
                    labels.insert(std::mem::take(&mut key), std::mem::take(&mut value));
                    in_value = false;
                }
                (true, '\\') => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => value.push('\n'),
                    Some(escaped) => value.push(escaped),
                    None => panic!("cut off: {line}"),
                },
                (true, other) => value.push(other),
            }
        }
        rest = &inside[end.unwrap_or_else(|| panic!("labels do not end: {line}"))..];
    }
    let value = rest.split_ascii_whitespace().next().unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("bad value: {line}"));
    Sample { name: name.to_owned(), labels, value }
}
