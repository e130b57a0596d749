//! The naming rules of a page, for the registry of what is exposed.

pub(crate) use ig_model::names::label;
use ig_model::{InstrumentKind, names};
use ig_series::{FamilyName, Naming};

/// These rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names;

impl Naming for Names {
    fn label(&self, name: &str, has_histograms: bool) -> String {
        label(name, has_histograms)
    }

    fn family(&self, name: &str, unit: &str, kind: InstrumentKind) -> FamilyName {
        names::family(name, unit, kind)
    }

    fn samples(&self, family: &str, kind: InstrumentKind) -> Vec<String> {
        names::samples(family, kind)
    }

    fn reserved(&self, name: &str) -> Option<String> {
        names::reserved(name)
    }
}
