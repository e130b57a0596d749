//! How parameters are spelled that hold a list, or a value for each data source.

use std::collections::BTreeMap;

use thiserror::Error;

/// Splits at commas that no backslash precedes; `\,` and `\\` are literal.
pub fn split_escaped(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let character = match character {
            '\\' if matches!(characters.peek(), Some(',' | '\\')) => characters.next().unwrap_or('\\'),
            ',' => {
                parts.push(String::new());
                continue;
            }
            other => other,
        };
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

/// A parameter that is one value for all data sources, or `name:value` for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerSource {
    all: Option<String>,
    named: BTreeMap<String, String>,
}

/// A parameter with a value for each data source cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PerSourceError {
    /// Some values have a name and some have none.
    #[error("`{text}` mixes a value for all data sources with values for single ones")]
    Mixed {
        /// The parameter's text.
        text: String,
    },
    /// One data source has two values.
    #[error("`{text}` has two values for {}", if .source_name.is_empty() { "all data sources".to_owned() } else { format!("data source `{source_name}`") })]
    Twice {
        /// The parameter's text.
        text: String,
        /// The data source; empty for a value without name.
        source_name: String,
    },
    /// There is no such data source.
    #[error("`{text}` names data source `{source_name}`, which does not exist{hint} (there are: {known})")]
    Unknown {
        /// The parameter's text.
        text: String,
        /// The data source named.
        source_name: String,
        /// The nearest name, as a question.
        hint: String,
        /// The names there are.
        known: String,
    },
}

impl PerSource {
    /// Reads `value`, or `name:value` parts joined by `separator`, for a gadget that has the data sources `known`.
    ///
    /// # Errors
    /// Both forms at once, a data source twice, or one that does not exist.
    pub fn parse(text: &str, separator: char, known: &[&str]) -> Result<Self, PerSourceError> {
        let mut found = Self::default();
        let owned = || text.to_owned();
        for part in text.split(separator).map(str::trim).filter(|part| !part.is_empty()) {
            let twice = match part.split_once(':') {
                None => found.all.replace(part.to_owned()).map(|_first| String::new()),
                Some((name, value)) => {
                    let Some(name) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
                        let hint = ig_model::nearest(name, known.iter().copied());
                        return Err(PerSourceError::Unknown {
                            text: owned(),
                            source_name: name.to_owned(),
                            hint: hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default(),
                            known: known.join(", "),
                        });
                    };
                    let first = found.named.insert((*name).to_owned(), value.to_owned());
                    first.map(|_first| (*name).to_owned())
                }
            };
            if let Some(source_name) = twice {
                return Err(PerSourceError::Twice { text: owned(), source_name });
            }
        }
        if found.all.is_some() && !found.named.is_empty() {
            return Err(PerSourceError::Mixed { text: owned() });
        }
        Ok(found)
    }

    /// The value for a data source, if it has one.
    pub fn of(&self, source: &str) -> Option<&str> {
        self.named.get(source).or(self.all.as_ref()).map(String::as_str)
    }

    /// The data sources that are named, with their values.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: one value for all, values by name, names in another case, empty parts.
    /// Guarantees: each data source gets its own value, else the one for all, else none.
    #[test]
    fn values_per_source() {
        let known = ["open", "exec"];
        let all = PerSource::parse("5", ',', &known).unwrap();
        assert_eq!((all.of("open"), all.of("exec")), (Some("5"), Some("5")));
        let some = PerSource::parse("OPEN:5,", ',', &known).unwrap();
        assert_eq!((some.of("open"), some.of("exec")), (Some("5"), None));
        assert_eq!(some.named().collect::<Vec<_>>(), [("open", "5")]);
        let sorted = PerSource::parse("open:a,-b;exec:c", ';', &known).unwrap();
        assert_eq!((sorted.of("open"), sorted.of("exec")), (Some("a,-b"), Some("c")));
        assert_eq!(PerSource::parse("", ',', &known).unwrap(), PerSource::default());
    }

    /// Scenario: both forms at once, a data source twice, one that does not exist.
    /// Guarantees: each is refused by name, with what would be right.
    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            ("5,open:6", "mixes a value for all"),
            ("5,6", "two values for all data sources"),
            ("open:5,open:6", "two values for data source `open`"),
            (
                "opne:5",
                "data source `opne`, which does not exist; did you mean `open`? (there are: open, exec)",
            ),
        ] {
            let error = PerSource::parse(text, ',', &["open", "exec"]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        /// Scenario: texts with commas and backslashes, escaped and joined.
        /// Guarantees: splitting gives back what was joined.
        #[test]
        fn escapes_survive(parts in prop::collection::vec("[a,\\\\]{0,6}", 1..5)) {
            let escaped: Vec<String> =
                parts.iter().map(|part| part.replace('\\', r"\\").replace(',', r"\,")).collect();
            prop_assert_eq!(split_escaped(&escaped.join(",")), parts);
        }
    }
}
