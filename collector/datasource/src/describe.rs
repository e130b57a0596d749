//! Parameters as clients see them: enough to make a flag, a line of help, and to check a value before it is sent.
//!
//! # Source
//! Inspektor Gadget API, message `Param`.

use ig_config::metadata::{CUSTOM_PREFIX, DescribedParam};
use ig_model::nearest;

use crate::param::{EBPF_PREFIX, Param, ParamError};

/// Prefix of the fully qualified name of every parameter of a WASM module.
pub const WASM_PREFIX: &str = "operator.oci.wasm.";

/// A parameter of a gadget or of an operator that works on its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamDesc {
    /// What stands before `key` in the fully qualified name, dot included.
    pub prefix: String,
    /// Short name.
    pub key: String,
    /// Another short name that is accepted.
    pub alternative_key: String,
    /// One letter that stands for it on a command line.
    pub alias: String,
    /// A heading.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// What holds when nobody sets it.
    pub default_value: String,
    /// Name of its type: `bool`, `uint32`, `duration`, `[]string`, …; empty for any text.
    pub type_hint: String,
    /// What kind of thing it names, for completion.
    pub value_hint: String,
    /// The only values it takes; any value of its type if there are none.
    pub possible_values: Vec<String>,
    /// Whether it must be given.
    pub mandatory: bool,
    /// Tags for filtering lists of parameters.
    pub tags: Vec<String>,
}

impl ParamDesc {
    /// A parameter without default, of any text.
    pub fn new(prefix: &str, key: &str, description: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            key: key.to_owned(),
            description: description.to_owned(),
            ..Self::default()
        }
    }

    /// The same with a type and a default.
    #[must_use]
    pub fn of_type(self, type_hint: &str, default_value: &str) -> Self {
        Self { type_hint: type_hint.to_owned(), default_value: default_value.to_owned(), ..self }
    }

    /// The same with one letter for the command line.
    #[must_use]
    pub fn with_alias(self, alias: &str) -> Self {
        Self { alias: alias.to_owned(), ..self }
    }

    /// The same with a list of values.
    #[must_use]
    pub fn one_of(self, values: &[&str]) -> Self {
        Self { possible_values: values.iter().map(|value| (*value).to_owned()).collect(), ..self }
    }

    /// The fully qualified name.
    pub fn full_key(&self) -> String {
        format!("{}{}", self.prefix, self.key)
    }

    /// Whether people may call it so: by its short, other or fully qualified name, in any case.
    pub fn is_called(&self, name: &str) -> bool {
        let short = |name: &str| {
            self.key.eq_ignore_ascii_case(name)
                || (!self.alternative_key.is_empty() && self.alternative_key.eq_ignore_ascii_case(name))
        };
        let begins =
            name.get(..self.prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&self.prefix));
        short(name) || (begins && name.get(self.prefix.len()..).is_some_and(short))
    }

    /// Checks a value; an empty one leaves the parameter alone and is never wrong.
    ///
    /// # Errors
    /// The value is not of the type or not one of those listed.
    pub fn check(&self, value: &str) -> Result<(), ParamError> {
        let error =
            |expected: String| Err(ParamError { key: self.key.clone(), value: value.to_owned(), expected });
        if value.is_empty() || value == self.default_value {
            return Ok(());
        }
        if !self.possible_values.is_empty() && !self.possible_values.iter().any(|known| known == value) {
            let near = nearest(value, self.possible_values.iter().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return error(format!("one of {}{hint}", self.possible_values.join(", ")));
        }
        let fits = match self.type_hint.as_str() {
            "bool" => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            "int" | "int64" => value.parse::<i64>().is_ok(),
            "int8" => value.parse::<i8>().is_ok(),
            "int16" => value.parse::<i16>().is_ok(),
            "int32" => value.parse::<i32>().is_ok(),
            "uint" | "uint64" => value.parse::<u64>().is_ok(),
            "uint8" => value.parse::<u8>().is_ok(),
            "uint16" => value.parse::<u16>().is_ok(),
            "uint32" => value.parse::<u32>().is_ok(),
            "float32" | "float64" => value.parse::<f64>().is_ok(),
            "ip" => value.parse::<std::net::IpAddr>().is_ok(),
            "duration" => ig_config::value::duration(value).is_ok(),
            _ => true,
        };
        if fits {
            return Ok(());
        }
        error(match self.type_hint.as_str() {
            "bool" => "true or false".to_owned(),
            "ip" => "an IPv4 or IPv6 address".to_owned(),
            "duration" => "a duration such as 1s or 500ms".to_owned(),
            other => other.to_owned(),
        })
    }
}

impl From<&Param> for ParamDesc {
    fn from(param: &Param) -> Self {
        Self::new(EBPF_PREFIX, &param.key, &param.description).of_type(param.kind.type_hint(), &param.default)
    }
}

impl ParamDesc {
    /// A parameter of the image's WASM module.
    pub fn wasm(described: DescribedParam) -> Self {
        Self::described(WASM_PREFIX, described)
    }

    /// A custom parameter.
    pub fn custom(described: DescribedParam) -> Self {
        Self::described(CUSTOM_PREFIX, described)
    }

    fn described(prefix: &str, described: DescribedParam) -> Self {
        let DescribedParam {
            key,
            default_value,
            description,
            title,
            alias,
            alternative_key,
            type_hint,
            value_hint,
            mandatory,
            tags,
            possible_values,
        } = described;
        Self {
            prefix: prefix.to_owned(),
            key,
            alternative_key,
            alias,
            title,
            description,
            default_value,
            type_hint,
            value_hint,
            possible_values,
            mandatory,
            tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: short, other and fully qualified names in any case, and names that only end alike.
    /// Guarantees: the parameter answers to its own names alone.
    #[test]
    fn names_are_recognised() {
        let param = ParamDesc {
            alternative_key: "k8s-podname".into(),
            ..ParamDesc::new("operator.KubeManager.", "podname", "")
        };
        for name in [
            "podname",
            "PodName",
            "k8s-podname",
            "operator.kubemanager.podname",
            "operator.KubeManager.k8s-podname",
        ] {
            assert!(param.is_called(name), "{name}");
        }
        for name in
            ["pod", "KubeManager.podname", "operator.LocalManager.podname", "", "é", "operator.KubeManager."]
        {
            assert!(!param.is_called(name), "{name}");
        }
        assert_eq!(param.full_key(), "operator.KubeManager.podname");
    }

    /// Scenario: values of each type at their limits and past them, and values that are listed or not.
    /// Guarantees: what fits passes; the error of what does not says what would.
    #[test]
    fn values_are_checked() {
        let check = |hint: &str, value: &str| {
            let checked = ParamDesc::new("", "p", "").of_type(hint, "-").check(value);
            checked.map_err(|error| error.to_string())
        };
        for (hint, value) in [
            ("uint8", "255"),
            ("int8", "-128"),
            ("bool", "True"),
            ("duration", "1m30s"),
            ("ip", "::1"),
            ("float32", "1e3"),
            ("", "any"),
            ("uint8", ""),
            ("uint8", "-"),
        ] {
            assert_eq!(check(hint, value), Ok(()), "{hint} {value}");
        }
        for (hint, value, expected) in [
            ("uint8", "256", "expected uint8"),
            ("bool", "yes", "expected true or false"),
            ("duration", "5", "expected a duration such as 1s"),
            ("ip", "localhost", "expected an IPv4 or IPv6 address"),
        ] {
            assert!(check(hint, value).unwrap_err().contains(expected), "{hint} {value}");
        }
        let listed = ParamDesc::new("", "pull", "").one_of(&["always", "missing", "never"]);
        assert_eq!(listed.check("never"), Ok(()));
        let error = listed.check("alway").unwrap_err().to_string();
        assert!(error.ends_with("expected one of always, missing, never; did you mean `always`?"), "{error}");
    }
}
