//! What gadget.yaml says of the fields of a data source, those that operators add included.

use std::collections::BTreeMap;

use ig_config::metadata::Metadata;

use crate::template::{self, TEMPLATE};

/// Annotations and tags of fields by full name, the user's own over those of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldWords {
    fields: Metadata,
}

impl FieldWords {
    /// What `metadata` says of the data source `source`; case and dots count for nothing in either name.
    pub fn of(metadata: &Metadata, source: &str) -> Self {
        Self { fields: metadata.subtree(&format!("datasources.{source}.fields")).unwrap_or_default() }
    }

    /// The annotations written for a field, without what its template implies.
    pub fn annotations(&self, full_name: &str) -> BTreeMap<String, String> {
        self.fields.map(&format!("{full_name}.annotations")).unwrap_or_default()
    }

    /// The tags written for a field.
    pub fn tags(&self, full_name: &str) -> Vec<String> {
        self.fields.list(&format!("{full_name}.tags"))
    }

    /// Lays what is written for a field over the annotations it has: first the template that these name, then the
    /// template that gadget.yaml names, then its single annotations.
    ///
    /// Returns the name of a template that does not exist.
    pub fn complete(&self, full_name: &str, annotations: &mut BTreeMap<String, String>) -> Option<String> {
        let written = self.annotations(full_name);
        if let Some(own) = annotations.get(TEMPLATE).cloned() {
            template::apply(&own, annotations);
        }
        let named = written.get(TEMPLATE);
        if let Some(name) = named {
            template::apply(name, annotations);
        }
        let unknown = named.filter(|name| template::template(name).is_none()).cloned();
        annotations.extend(written);
        unknown
    }
}
