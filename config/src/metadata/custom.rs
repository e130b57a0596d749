//! Parameters that gadget.yaml itself defines: `params.custom`, whose values change gadget.yaml, and `params.wasm`,
//! which a WASM module reads.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{
    Metadata,
    template::{self, TemplateError},
};

/// Prefix of the fully qualified name of a custom parameter.
pub const CUSTOM_PREFIX: &str = "custom.";

/// What gadget.yaml says of a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedParam {
    /// Name without prefix; of custom parameters always in lower case.
    pub key: String,
    /// Its value when nobody sets it.
    pub default_value: String,
    /// One sentence.
    pub description: String,
    /// A heading.
    pub title: String,
    /// One letter that stands for it on a command line.
    pub alias: String,
    /// Another name that is accepted.
    pub alternative_key: String,
    /// Name of its type, such as `bool` or `uint32`; empty for any text.
    pub type_hint: String,
    /// What kind of thing it names, for completion.
    pub value_hint: String,
    /// Whether it must be given.
    pub mandatory: bool,
    /// Tags for filtering lists of parameters.
    pub tags: Vec<String>,
    /// The only values it takes; any value if there are none.
    pub possible_values: Vec<String>,
}

/// A custom parameter has a value that it cannot have.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CustomParamError {
    /// The value is not one of those listed.
    #[error("invalid value `{value}` for parameter `{CUSTOM_PREFIX}{key}`: expected one of {expected}{hint}")]
    Value {
        /// Name of the parameter.
        key: String,
        /// What was given.
        value: String,
        /// What can be given.
        expected: String,
        /// The nearest value, as a question.
        hint: String,
    },
    /// A text of the patch is not a template that can be expanded.
    #[error("patch of parameter `{CUSTOM_PREFIX}{key}`")]
    Template {
        /// Name of the parameter.
        key: String,
        /// What is wrong with it.
        #[source]
        cause: TemplateError,
    },
}

impl Metadata {
    /// The custom parameters, by name; those without patch do nothing and are left out.
    pub fn custom_params(&self) -> Vec<DescribedParam> {
        let names = self.children("params.custom").into_iter();
        names
            .filter_map(|name| {
                let path = format!("params.custom.{name}");
                let values = self.children(&format!("{path}.values"));
                if values.is_empty() && !self.contains(&format!("{path}.patch")) {
                    return None;
                }
                let mut described = self.described(&path, name);
                name.clone_into(&mut described.key);
                if !values.is_empty() {
                    described.possible_values = values.into_iter().map(str::to_owned).collect();
                }
                Some(described)
            })
            .collect()
    }

    /// The parameters of the image's WASM module.
    pub fn wasm_params(&self) -> Vec<DescribedParam> {
        let names = self.children("params.wasm").into_iter();
        names.map(|name| self.described(&format!("params.wasm.{name}"), name)).collect()
    }

    /// Changes the tree as the values of custom parameters say, in order of their names.
    ///
    /// `params` holds all parameters by fully qualified name; a custom one that is missing has its default, and one
    /// that is empty changes nothing.
    ///
    /// # Errors
    /// A value that is not among those listed, or a patch with a template that cannot be expanded.
    pub fn apply_custom_params(&mut self, params: &BTreeMap<String, String>) -> Result<(), CustomParamError> {
        let mut patches = Vec::new();
        for param in self.custom_params() {
            let full_key = format!("{CUSTOM_PREFIX}{}", param.key);
            let value = template::param(params, &full_key).unwrap_or(&param.default_value).to_owned();
            if !value.is_empty() {
                patches.push((param, full_key, value));
            }
        }
        let mut complete = params.clone();
        complete.extend(patches.iter().map(|(_, full_key, value)| (full_key.clone(), value.clone())));
        for (param, _, value) in patches {
            let path = format!("params.custom.{}", param.key);
            // The name of a value may hold dots, like any key.
            let named = format!("{path}.values.{value}.patch");
            let listed = param.possible_values.iter().any(|known| known.eq_ignore_ascii_case(&value));
            if !listed && !param.possible_values.is_empty() {
                let hint = ig_model::nearest(&value, param.possible_values.iter().map(String::as_str));
                return Err(CustomParamError::Value {
                    hint: hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default(),
                    expected: param.possible_values.join(", "),
                    key: param.key,
                    value,
                });
            }
            let patch = self.subtree(&named).or_else(|| self.subtree(&format!("{path}.patch")));
            let Some(mut patch) = patch else { continue };
            patch
                .try_map_text(|text| template::expand(text, &complete, self))
                .map_err(|cause| CustomParamError::Template { key: param.key.clone(), cause })?;
            self.merge(patch);
        }
        Ok(())
    }

    fn described(&self, path: &str, name: &str) -> DescribedParam {
        let text = |key: &str| self.get(&format!("{path}.{key}")).unwrap_or_default().to_owned();
        let list = |key: &str| self.list(&format!("{path}.{key}"));
        let key = text("key");
        DescribedParam {
            key: if key.is_empty() { name.to_owned() } else { key },
            default_value: text("defaultValue"),
            description: text("description"),
            title: text("title"),
            alias: text("alias"),
            alternative_key: text("alternativeKey"),
            type_hint: text("type"),
            value_hint: text("valueHint"),
            mandatory: text("isMandatory") == "true",
            tags: list("tags"),
            possible_values: list("possibleValues"),
        }
    }
}

#[cfg(test)]
mod tests;
