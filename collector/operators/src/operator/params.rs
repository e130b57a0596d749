//! The parameters of a run, by the operator that takes them.

use std::collections::BTreeMap;

use crate::spec::PerSource;

/// The parameters of one operator that somebody set, by full name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

/// The parameters of all operators.
#[derive(Clone, Debug, Default)]
pub struct ParamValues(BTreeMap<&'static str, Params>);

impl Params {
    /// The value of a parameter, if it is set.
    pub fn get(&self, full_key: &str) -> Option<&str> {
        self.0.get(full_key).map(String::as_str)
    }

    /// A parameter that has a value for all data sources, or one for each; none is set if it is not.
    ///
    /// # Errors
    /// It mixes both or names what does not exist, in words.
    pub fn per_source(&self, full_key: &str, separator: char, sources: &[&str]) -> Result<PerSource, String> {
        let text = self.get(full_key).unwrap_or_default();
        PerSource::parse(text, separator, sources).map_err(|error| error.to_string())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Params {
    fn from(values: [(&str, &str); N]) -> Self {
        Self(values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

impl ParamValues {
    /// Sets a parameter; the last value counts.
    pub fn set(&mut self, operator: &'static str, full_key: &str, value: &str) {
        self.0.entry(operator).or_default().0.insert(full_key.to_owned(), value.to_owned());
    }

    /// Unsets a parameter.
    pub fn unset(&mut self, operator: &str, full_key: &str) {
        if let Some(params) = self.0.get_mut(operator) {
            params.0.remove(full_key);
        }
    }

    /// Unsets all parameters of an operator.
    pub fn clear(&mut self, operator: &str) {
        self.0.remove(operator);
    }

    /// The parameters of an operator.
    pub fn of(&self, operator: &str) -> &Params {
        static NONE: Params = Params(BTreeMap::new());
        self.0.get(operator).unwrap_or(&NONE)
    }
}
