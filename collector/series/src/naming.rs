//! What exposed names look like: decided by whoever exposes series, asked for by the store.

use ig_model::InstrumentKind;
pub use ig_model::names::FamilyName;

/// The naming rules of an exposition; given to [`Registry::new`](crate::Registry::new).
///
/// The store keeps label text ready under exposed names, and it refuses a table whose exposed names another one
/// holds. What those names are is no business of its own.
pub trait Naming: Send + Sync {
    /// The exposed name of a label. `has_histograms` tells that the table needs `le` for itself.
    ///
    /// # Shape
    /// Without `"` and line feed.
    fn label(&self, name: &str, has_histograms: bool) -> String;

    /// The exposed name of an instrument.
    fn family(&self, name: &str, unit: &str, kind: InstrumentKind) -> FamilyName;

    /// Every name that a family puts on a page; no two families may share one.
    fn samples(&self, family: &str, kind: InstrumentKind) -> Vec<String>;

    /// Why nobody may expose a family or sample of this name.
    fn reserved(&self, name: &str) -> Option<String>;
}

/// Names as gadgets write them, for registries that nothing is exposed from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbatim;

impl Naming for Verbatim {
    fn label(&self, name: &str, _: bool) -> String {
        name.replace(['"', '\n'], "_")
    }

    fn family(&self, name: &str, _: &str, _: InstrumentKind) -> FamilyName {
        FamilyName { full: name.to_owned(), unit: None }
    }

    fn samples(&self, family: &str, _: InstrumentKind) -> Vec<String> {
        vec![family.to_owned()]
    }

    fn reserved(&self, _: &str) -> Option<String> {
        None
    }
}
