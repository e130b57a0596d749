//! Values of an option that may differ between data sources: `value`, or `one:value,two:value`.

use std::collections::BTreeMap;

use crate::error::{ConsoleError, did_you_mean};

/// The values of one option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerSource {
    option: &'static str,
    bare: Option<String>,
    named: BTreeMap<String, String>,
}

impl PerSource {
    /// Reads `--output`: `mode`, or `source:mode` joined by commas.
    ///
    /// # Errors
    /// [`ConsoleError::MixedSources`] if some parts name a data source and others do not.
    pub fn modes(text: &str) -> Result<Self, ConsoleError> {
        Self::parse("--output", text, ',')
    }

    /// Reads `--fields`: `f1,f2`, or `source:f1,f2` joined by semicolons.
    ///
    /// # Errors
    /// [`ConsoleError::MixedSources`] if some parts name a data source and others do not.
    pub fn fields(text: &str) -> Result<Self, ConsoleError> {
        Self::parse("--fields", text, ';')
    }

    fn parse(option: &'static str, text: &str, separator: char) -> Result<Self, ConsoleError> {
        let mut values = Self { option, ..Self::default() };
        for part in text.split(separator).map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once(':') {
                Some((source, value)) => {
                    values.named.insert(source.trim().to_owned(), value.trim().to_owned());
                }
                None => values.bare = Some(part.to_owned()),
            }
        }
        match (&values.bare, values.named.iter().next()) {
            (Some(bare), Some((source, value))) => Err(ConsoleError::MixedSources {
                option,
                bare: bare.clone(),
                named: format!("{source}:{value}"),
            }),
            _ => Ok(values),
        }
    }

    /// The value for a data source, if one was given for it or for all.
    pub fn of(&self, source: &str) -> Option<&str> {
        self.named.get(source).or(self.bare.as_ref()).map(String::as_str)
    }

    /// Checks that each data source named exists.
    ///
    /// # Errors
    /// [`ConsoleError::UnknownSource`], with the nearest one.
    pub fn check<'a>(&self, sources: impl Iterator<Item = &'a str> + Clone) -> Result<(), ConsoleError> {
        let Some(name) = self.named.keys().find(|name| !sources.clone().any(|known| known == *name)) else {
            return Ok(());
        };
        Err(ConsoleError::UnknownSource {
            option: self.option,
            name: name.clone(),
            hint: did_you_mean(name, sources.clone()),
            known: sources.collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one value for all, one for each, a data source that does not exist, both kinds at once.
    /// Guarantees: each data source gets its value; mistakes name what is wrong and what is near.
    #[test]
    fn values_find_their_source() {
        let all = PerSource::modes("json").unwrap();
        assert_eq!(all.of("anything"), Some("json"));
        let each = PerSource::fields("open:proc.comm,fd; close: fd").unwrap();
        assert_eq!(each.of("open"), Some("proc.comm,fd"));
        assert_eq!(each.of("close"), Some("fd"));
        assert_eq!(each.of("other"), None);
        assert!(each.check(["open", "close"].into_iter()).is_ok());
        let error = each.check(["opem", "close"].into_iter()).unwrap_err().to_string();
        assert_eq!(
            error,
            "--fields: there is no data source `open`; did you mean `opem`? (there is: opem, close)"
        );
        assert!(
            PerSource::modes("json,open:yaml").unwrap_err().to_string().contains("name them all or none")
        );
        assert_eq!(PerSource::modes("").unwrap().of("open"), None);
    }
}
