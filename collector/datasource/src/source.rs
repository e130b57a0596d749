//! A data source: a name, a layout, and where its records come from.

use std::collections::BTreeMap;

use ig_model::nearest;

use crate::field::Field;

/// Whether records arrive one by one or as a set that is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Events: each record stands alone.
    Single,
    /// Snapshots and map reads: the records of one fetch belong together.
    Array,
}

/// Where the records of a data source come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A ring buffer or perf event array.
    Tracer {
        /// Name of the map that carries the records.
        map: String,
    },
    /// One or more iterator programs whose outputs are joined.
    Iterator {
        /// Names of the program functions.
        programs: Vec<String>,
    },
    /// A hash map that is drained at each fetch; a record is the key followed by the value.
    MapIterator {
        /// Name of the map.
        map: String,
        /// Bytes of a key.
        key_size: usize,
        /// Bytes of a value.
        value_size: usize,
    },
}

/// A stream of records with one layout.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// Name, unique in a gadget.
    pub name: String,
    /// One by one, or in sets.
    pub kind: SourceKind,
    /// Where records come from.
    pub origin: Origin,
    /// Bytes of a whole record; shorter records are extended with zeros before anything reads them.
    pub record_size: usize,
    /// Fields in order of declaration; parents stand before their children.
    pub fields: Vec<Field>,
    /// Annotations of the data source itself.
    pub annotations: BTreeMap<String, String>,
}

impl DataSource {
    /// Finds a field by full name, exactly or else ignoring case.
    pub fn field(&self, full_name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.full_name == full_name)
            .or_else(|| self.fields.iter().find(|field| field.full_name.eq_ignore_ascii_case(full_name)))
    }

    /// The field name closest to a mistyped one.
    pub fn nearest_field(&self, name: &str) -> Option<&str> {
        nearest(name, self.fields.iter().map(|field| field.full_name.as_str()))
    }

    /// Whether an annotation is set to `true`.
    pub fn is_annotated(&self, key: &str) -> bool {
        self.annotations.get(key).is_some_and(|value| value == "true")
    }
}
