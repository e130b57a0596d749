//! gadget.yaml: what an image says about its data, read the way the reference's runtime reads it.
//!
//! Gadget authors rely on how forgiving that reader is, so it is reproduced here instead of a schema: keys make no
//! difference of case, `a.b.c` finds nested keys and keys that contain dots alike (the longest key wins), any single
//! value reads as text, and unknown keys mean nothing. The text comes out of an image and is hostile; the limits of
//! [`crate::yaml`] hold.

mod custom;
mod template;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;

use crate::{
    Fault,
    fault::quoted,
    yaml::{self, Node},
};
pub use custom::{CUSTOM_PREFIX, CustomParamError, DescribedParam};
pub use template::TemplateError;
use tree::Tree;

/// The tree of a gadget.yaml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    root: Tree,
}

/// The text is not a gadget.yaml.
#[derive(Debug, thiserror::Error)]
#[error("failed to read gadget metadata: {}", first(.faults))]
#[non_exhaustive]
pub struct MetadataError {
    /// Never empty.
    pub faults: Vec<Fault>,
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(Fault::to_string).unwrap_or_default()
}

/// What gadget.yaml says of an eBPF parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EbpfParam {
    /// The name users set it by.
    pub key: Option<String>,
    /// Its value when nobody sets it.
    pub default_value: Option<String>,
    /// One sentence.
    pub description: Option<String>,
}

/// An annotation override is not of the form `data-source:key=value` or `data-source.field:key=value`.
#[derive(Debug, thiserror::Error)]
#[error("bad annotation {}, expected `data-source:key=value` or `data-source.field:key=value`", quoted(.entry))]
pub struct AnnotationError {
    /// What was given.
    pub entry: String,
}

impl Metadata {
    /// Reads the text of a gadget.yaml; an empty text is metadata that says nothing.
    ///
    /// # Errors
    /// Broken YAML, or a document that is not a mapping.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let documents = yaml::read("gadget.yaml", text).map_err(|faults| MetadataError { faults })?;
        let Some(document) = documents.first() else { return Ok(Self::default()) };
        let root = &document.root;
        if root.as_mapping().is_none() {
            let problem = format!("wrong type: {}", root.describe());
            let fault = document.source.fault(root.span, "", problem).expected("a mapping");
            return Err(MetadataError { faults: vec![fault] });
        }
        Ok(Self::from_node(root))
    }

    /// The tree of a document that was read already.
    pub fn from_node(root: &Node) -> Self {
        Self { root: Tree::from_node(root) }
    }

    /// The text of the single value at `path`.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.root.find(path)?.text()
    }

    /// Every single value below `path`, by the rest of its path: nested keys are joined by dots, so that
    /// `{columns: {width: 5}}` and `{columns.width: 5}` read alike. `None` if there is no mapping.
    pub fn map(&self, path: &str) -> Option<BTreeMap<String, String>> {
        self.root.find(path)?.flatten()
    }

    /// The keys of the mapping at `path`, in lower case and sorted; empty if there is none.
    pub fn children(&self, path: &str) -> Vec<&str> {
        self.root.find(path).map(Tree::keys).unwrap_or_default()
    }

    /// The single values of the list at `path`. A text reads as a list of its words, as in the reference.
    pub fn list(&self, path: &str) -> Vec<String> {
        self.root.find(path).map(Tree::texts).unwrap_or_default()
    }

    /// Whether anything is written at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.root.find(path).is_some_and(|tree| *tree != Tree::Null)
    }

    /// Everything below `path` as metadata of its own.
    pub fn subtree(&self, path: &str) -> Option<Self> {
        self.root.find(path).filter(|tree| tree.is_map()).map(|tree| Self { root: tree.clone() })
    }

    /// Sets the value at the path that `keys` make; each may contain dots.
    pub fn insert(&mut self, keys: &[&str], value: &str) {
        self.root.insert(keys, value);
    }

    /// Lays `patch` over this: its values win, mappings are merged.
    pub fn merge(&mut self, patch: Self) {
        self.root.merge(patch.root);
    }

    /// Replaces each single value by what `change` makes of it.
    ///
    /// # Errors
    /// The first error of `change`; values before it are replaced already.
    pub fn try_map_text<E>(&mut self, mut change: impl FnMut(&str) -> Result<String, E>) -> Result<(), E> {
        self.root.try_map_text(&mut change)
    }

    /// Sets one annotation from the form that `annotate` lists use: `data-source:key=value` or
    /// `data-source.field:key=value`.
    ///
    /// # Errors
    /// The entry has another form.
    pub fn annotate(&mut self, entry: &str) -> Result<(), AnnotationError> {
        let parts = entry.split_once(':').and_then(|(target, rest)| Some((target, rest.split_once('=')?)));
        let Some((target, (key, value))) =
            parts.filter(|(target, (key, _))| !target.is_empty() && !key.is_empty())
        else {
            return Err(AnnotationError { entry: entry.to_owned() });
        };
        match target.split_once('.') {
            None => self.insert(&["datasources", target, "annotations", key], value),
            Some((source, field)) => {
                self.insert(&["datasources", source, "fields", field, "annotations", key], value);
            }
        }
        Ok(())
    }

    /// The gadget's name.
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// What the gadget does.
    pub fn description(&self) -> Option<&str> {
        self.get("description")
    }

    /// The project's home page.
    pub fn homepage_url(&self) -> Option<&str> {
        self.get("homepageURL")
    }

    /// Where the documentation is.
    pub fn documentation_url(&self) -> Option<&str> {
        self.get("documentationURL")
    }

    /// Where the source is.
    pub fn source_url(&self) -> Option<&str> {
        self.get("sourceURL")
    }

    /// Annotations of the image.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.map("annotations").unwrap_or_default()
    }

    /// The data sources that are described, in lower case and sorted. The gadget may have others, and these need not
    /// exist.
    pub fn datasource_names(&self) -> Vec<&str> {
        self.children("datasources")
    }

    /// The annotations of a data source.
    pub fn datasource_annotations(&self, source: &str) -> BTreeMap<String, String> {
        self.map(&format!("datasources.{source}.annotations")).unwrap_or_default()
    }

    /// The tags of a data source.
    pub fn datasource_tags(&self, source: &str) -> Vec<String> {
        self.list(&format!("datasources.{source}.tags"))
    }

    /// The annotations of a field by its full name, such as `proc.comm`.
    pub fn field_annotations(&self, source: &str, field: &str) -> BTreeMap<String, String> {
        self.map(&format!("datasources.{source}.fields.{field}.annotations")).unwrap_or_default()
    }

    /// The tags of a field by its full name.
    pub fn field_tags(&self, source: &str, field: &str) -> Vec<String> {
        self.list(&format!("datasources.{source}.fields.{field}.tags"))
    }

    /// What is said of the eBPF parameter held by the variable `variable`.
    pub fn ebpf_param(&self, variable: &str) -> Option<EbpfParam> {
        let path = |section: &str| format!("{section}.{variable}");
        let paths = [path("params.ebpf"), path("ebpfParams")];
        let path = paths.iter().find(|path| self.contains(path))?;
        let text = |key: &str| self.get(&format!("{path}.{key}")).map(str::to_owned);
        Some(EbpfParam {
            key: text("key"),
            default_value: text("defaultValue"),
            description: text("description"),
        })
    }

    /// Defaults for parameters of operators, by fully qualified name.
    pub fn param_defaults(&self) -> BTreeMap<String, String> {
        self.map("paramDefaults").unwrap_or_default()
    }
}
