//! The annotations that fields start with, and what gadget.yaml says over them.
//!
//! # Source
//! Inspektor Gadget: base annotations of columns, templates implied by types, the structs of its headers that are
//! hidden as a whole, and gadget.yaml on top.

use std::collections::BTreeMap;

use crate::{
    field::Field,
    template::{self, HIDDEN},
    words::FieldWords,
};

/// What every field of a record starts with.
pub const BASE: [(&str, &str); 3] =
    [("columns.width", "16"), ("columns.ellipsis", "end"), ("columns.alignment", "left")];

/// Structs of the shared headers that are not a column of their own; their members are shown under their short names.
const GROUPS: [&str; 3] = ["gadget_process", "gadget_creds", "gadget_parent"];

/// Gives every field its annotations and extra tags; returns what is worth a warning.
pub(crate) fn annotate(fields: &mut [Field], words: &FieldWords) -> Vec<String> {
    let groups: Vec<bool> = fields.iter().map(is_group).collect();
    let mut warnings = Vec::new();
    for field in fields {
        let in_group = field.parent.and_then(|parent| groups.get(parent)).is_some_and(|group| *group);
        let mut annotations = implied(field, in_group);
        if let Some(unknown) = words.complete(&field.full_name, &mut annotations) {
            warnings.push(unknown_template(&field.full_name, &unknown));
        }
        field.annotations = annotations;
        field.extra_tags = words.tags(&field.full_name);
    }
    warnings
}

/// What to say of a field that names a template which does not exist.
pub(crate) fn unknown_template(field: &str, template: &str) -> String {
    let hint = ig_model::nearest(template, template::names())
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    format!("field `{field}` names the unknown template `{template}`{hint}")
}

fn is_group(field: &Field) -> bool {
    GROUPS.iter().any(|group| field.has_type(group))
}

/// What the type of a field implies.
fn implied(field: &Field, in_group: bool) -> BTreeMap<String, String> {
    let mut annotations: BTreeMap<String, String> =
        BASE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for name in field.types.iter().filter_map(|name| template::implied(name)) {
        template::apply(name, &mut annotations);
    }
    if is_group(field) {
        annotations.insert(HIDDEN.to_owned(), "true".to_owned());
    }
    if in_group {
        annotations.insert("columns.alias".to_owned(), field.name.clone());
    }
    annotations
}
