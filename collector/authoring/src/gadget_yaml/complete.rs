//! A gadget.yaml made or completed from an object: every data source, field and parameter gets its place to be described.

use ig_config::{Fault, metadata::Metadata};
use ig_datasource::{DataSource, DiscoverError, Discovered, discover};
use ig_loader::Object;

use super::{
    document,
    edit::{self, Want},
};

/// A gadget.yaml that cannot be made or completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The text is not a gadget.yaml.
    #[error("gadget.yaml has {} fault(s), the first is {}", .0.len(), first(.0))]
    Document(Vec<Fault>),
    /// The object's markers contradict its content.
    #[error("the object cannot be described")]
    Object(#[source] DiscoverError),
    /// The text is written in a way that additions cannot be fitted into.
    #[error(
        "the additions do not fit into gadget.yaml as it is written (aliases and merge keys are in the way)"
    )]
    Unfit {
        /// What was to be added, as YAML.
        additions: String,
    },
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(ToString::to_string).unwrap_or_default()
}

/// Keys of the document with what a placeholder calls them.
const ABOUT: [(&str, &str); 5] = [
    ("name", "name"),
    ("description", "description"),
    ("homepageURL", "homepage URL"),
    ("documentationURL", "documentation URL"),
    ("sourceURL", "source code URL"),
];

/// Gives the text of a gadget.yaml that has an entry for all that `object` declares; without `text` a new one.
///
/// Whatever is written stays as it is, byte for byte; what is missing is added with a placeholder that begins with
/// `TODO`. A text that lacks nothing comes back unchanged.
///
/// # Errors
/// [`UpdateError`].
pub fn update(object: &Object, text: Option<&str>) -> Result<String, UpdateError> {
    let text = text.unwrap_or_default();
    let known = document("gadget.yaml", text).map_err(UpdateError::Document)?;
    let metadata = known.as_ref().map_or_else(Metadata::default, |known| Metadata::from_node(&known.root));
    let found = discover(object, &metadata).map_err(UpdateError::Object)?;
    let want = want(&found);
    let root = known.as_ref().map(|document| &document.root);
    let edited = edit::merge(text, root, &want);
    // Whether the edits did what they should is judged by reading the result.
    let again = edited.as_deref().and_then(|edited| document("gadget.yaml", edited).ok().flatten());
    let is_complete = again.is_some_and(|again| {
        let kept = root.is_none_or(|root| edit::keeps(&again.root, root));
        kept && edit::fulfils(&again.root, &want)
    });
    edited.filter(|_| is_complete).ok_or_else(|| UpdateError::Unfit { additions: edit::render(&want, 0) })
}

/// Everything a complete gadget.yaml has.
fn want(found: &Discovered) -> Want {
    let mut entries: Vec<(String, Want)> = ABOUT
        .iter()
        .map(|(key, name)| ((*key).to_owned(), placeholder(&format!("Fill the gadget {name}"))))
        .collect();
    if !found.sources.is_empty() {
        let sources = found.sources.iter().map(|source| (source.name.clone(), described(source)));
        entries.push(("datasources".to_owned(), Want::Map(sources.collect())));
    }
    if !found.params.is_empty() {
        let params = found.params.iter().map(|param| {
            let description = placeholder("Fill parameter description");
            let entries = vec![
                ("key".to_owned(), Want::Text(param.key.clone())),
                ("description".to_owned(), description),
            ];
            (param.variable.clone(), Want::Map(entries))
        });
        let section = vec![("ebpf".to_owned(), Want::Map(params.collect()))];
        entries.push(("params".to_owned(), Want::Map(section)));
    }
    Want::Map(entries)
}

/// A data source with a description for each field that is not part of another.
fn described(source: &DataSource) -> Want {
    let fields = source.fields.iter().filter(|field| field.parent.is_none()).map(|field| {
        let annotations = vec![("description".to_owned(), placeholder("Fill field description"))];
        let field_entries = vec![("annotations".to_owned(), Want::Map(annotations))];
        // A field that is described in any way is left as it is.
        (field.full_name.clone(), Want::Whole(field_entries))
    });
    Want::Map(vec![("fields".to_owned(), Want::Map(fields.collect()))])
}

fn placeholder(what: &str) -> Want {
    Want::Text(format!("TODO: {what}"))
}
