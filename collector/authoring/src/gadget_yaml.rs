//! A gadget.yaml held against the object that it describes, and one made or completed from it.
//!
//! Why it exists: the runtime is as forgiving with gadget.yaml as the reference is, so a mistyped name is silently a
//! description of nothing. The one moment when somebody can mend it is when the image is built.
//!
//! [`validate`] parts what keeps a gadget from working (errors) from what has no effect (warnings): folders written for
//! the reference build here unmodified, so whatever the reference's builder lets pass is at most a warning, unless it
//! cannot run. [`update`] adds what is missing and leaves all that is written as it is, comments and order included.

use ig_config::{
    Fault, Position,
    metadata::Metadata,
    yaml::{self, Document},
};
use ig_datasource::discover;
use ig_loader::Object;

mod complete;
mod edit;
mod lint;
mod metrics;
mod params;
mod path;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use complete::{UpdateError, update};

/// What is to be said about a gadget.yaml; all faults have a place in the file.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// What keeps the gadget, or the part named, from working.
    pub errors: Vec<Fault>,
    /// What has no effect, or hardly the one that was meant.
    pub warnings: Vec<Fault>,
}

/// What the gadget is made of besides its eBPF object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Companion {
    /// Nothing.
    #[default]
    None,
    /// A WASM module, which may add data sources, fields and parameters that no object shows.
    Wasm,
}

/// More faults than this of one file are left out.
const MAX_FAULTS: usize = 200;

/// Compares the text of a gadget.yaml with the object that it describes; `file` is what faults call it.
///
/// Without an object only what needs none is checked.
pub fn validate(object: Option<&Object>, companion: Companion, file: &str, text: &str) -> Review {
    let mut review = Review::default();
    match document(file, text) {
        Err(faults) => review.errors = faults,
        Ok(None) => {}
        Ok(Some(document)) => {
            let metadata = Metadata::from_node(&document.root);
            let found = object.map(|object| discover(object, &metadata)).transpose();
            let found = found.unwrap_or_else(|error| {
                review.errors.push(Fault::new(Position::whole(file), "", format!("{error} (in the object)")));
                None
            });
            let context = lint::Context { document: &document, object, found: found.as_ref(), companion };
            params::check(&context, &mut review);
            lint::check(&context, &mut review);
        }
    }
    review.errors.truncate(MAX_FAULTS);
    review.warnings.truncate(MAX_FAULTS);
    review
}

/// The one document of a gadget.yaml; `None` if it says nothing.
fn document(file: &str, text: &str) -> Result<Option<Document>, Vec<Fault>> {
    let mut documents = yaml::read(file, text)?.into_iter();
    let first = documents.next();
    if let Some(second) = documents.next() {
        let fault = second.source.fault(second.root.span, "", "a second document in the file");
        return Err(vec![fault.expected("one document")]);
    }
    if let Some(document) = &first
        && document.root.as_mapping().is_none()
    {
        let problem = format!("gadget.yaml holds {}", document.root.describe());
        return Err(vec![document.source.fault(document.root.span, "", problem).expected("a mapping")]);
    }
    Ok(first)
}
