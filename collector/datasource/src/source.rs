//! A data source: a name, a layout, and where its records come from.

use std::{collections::BTreeMap, ops::Range};

use ig_config::metadata::Metadata;
use ig_model::nearest;

use crate::{
    annotate::{BASE, unknown_template},
    field::Field,
    words::FieldWords,
};

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
    /// An operator that asks the system itself; no eBPF object has a part in it.
    Operator {
        /// Name of the operator, as in gadget.yaml.
        operator: String,
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
    /// Tags of the data source itself.
    pub tags: Vec<String>,
    /// What is written about its fields, for those that operators add.
    pub words: FieldWords,
    /// The field that what follows the layout is shown as, when the gadget wants it.
    pub rest: Option<Rest>,
}

/// The bytes of a record behind its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Name of the field they make.
    pub name: String,
    /// Where they start: the size of the layout.
    pub start: usize,
    /// The unsigned number in the record that says how many there are; all of them without one. A perf event array
    /// pads its samples to eight bytes, so a gadget that cares has one.
    pub len: Option<Range<usize>>,
}

impl Rest {
    /// The bytes, or `None` if the record says that there are more than it has.
    pub fn of<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        let rest = record.get(self.start..).unwrap_or_default();
        match &self.len {
            None => Some(rest),
            Some(range) => rest.get(..usize::try_from(unsigned(record.get(range.clone())?)).ok()?),
        }
    }
}

/// An unsigned number of one to eight bytes in host byte order.
fn unsigned(bytes: &[u8]) -> u64 {
    let byte = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if cfg!(target_endian = "big") { bytes.iter().fold(0, byte) } else { bytes.iter().rev().fold(0, byte) }
}

impl DataSource {
    /// A data source without fields and annotations.
    pub fn new(name: &str, kind: SourceKind, origin: Origin, record_size: usize) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            origin,
            record_size,
            fields: Vec::new(),
            annotations: BTreeMap::new(),
            tags: Vec::new(),
            words: FieldWords::default(),
            rest: None,
        }
    }

    /// Lays what gadget.yaml says over a data source that an operator made: words, annotations and tags of itself and of
    /// its fields, which start with their own annotations. Returns what is worth a warning.
    pub fn complete(&mut self, metadata: &Metadata) -> Vec<String> {
        self.words = FieldWords::of(metadata, &self.name);
        self.annotations.extend(metadata.datasource_annotations(&self.name));
        self.tags = metadata.datasource_tags(&self.name);
        let mut warnings = Vec::new();
        for field in &mut self.fields {
            let base = BASE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let own = std::mem::replace(&mut field.annotations, base.collect());
            field.annotations.extend(own);
            if let Some(unknown) = self.words.complete(&field.full_name, &mut field.annotations) {
                warnings.push(unknown_template(&field.full_name, &unknown));
            }
            field.extra_tags = self.words.tags(&field.full_name);
        }
        warnings
    }

    /// Whether a record agrees with itself: what it says of its trailing bytes is there.
    ///
    /// A record that does not is dropped and counted before anything reads it. Records shorter than the layout are
    /// no fault; they are extended with zeros.
    pub fn is_decodable(&self, record: &[u8]) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.of(record).is_some())
    }

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
