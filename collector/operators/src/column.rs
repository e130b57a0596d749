//! Columns: everything a user can name in a filter, a label, a sort key or a list of fields.
//!
//! A column is either a field of the record itself, text that a formatter makes from one or two fields (`error` from
//! `error_raw`, `src.addr` from the address and its version), or what another operator adds. Columns are planned once
//! per data source; nothing is rendered until a sink asks for it.
//!
//! # Source
//! Names, annotations and what is hidden follow the reference: see [`derive`].

pub mod derive;
pub mod render;
#[cfg(test)]
mod tests;
pub mod value;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use ig_datasource::{DataSource, FieldWords, Number, Rest, field::until_nul, template::HIDDEN};
use ig_model::{BootClock, nearest};
use thiserror::Error;

pub use render::{NumberForm, Render, Resolver};
pub use value::{ArrayValue, Value, ValueKind, ValueScratch};

use crate::format::Accounts;

/// A named value of a record.
#[derive(Clone, Debug)]
pub struct Column {
    /// Full dotted name.
    pub name: String,
    /// Byte ranges of the record the value depends on; joined in this order they are what `render` gets. Empty for
    /// groups, constants and trailing data.
    pub inputs: Vec<Range<usize>>,
    /// How the joined bytes become a value.
    pub render: Render,
    /// Annotations: what the operator or the type implies, then templates, then gadget.yaml's, then the user's. A
    /// column without `columns.width` is 16 wide, one without `columns.alignment` on the left.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is left out where only the most important columns are shown; JSON shows it.
    pub hidden: bool,
    /// Whether it is shown at all. A formatter that replaces a field (the bytes of an address) takes this away; the
    /// column can still be named.
    pub referenced: bool,
    /// Phase in the display: smaller ones first, equal ones in order of being added.
    pub order: i32,
    /// What kind of thing it is: `type:…`, `name:…`, `role:key`, and the tags of gadget.yaml.
    pub tags: Vec<String>,
}

/// What formatters need beyond the record.
#[derive(Clone, Debug)]
pub struct FormatContext {
    /// Translates boot time stamps.
    pub clock: BootClock,
    /// Names of users and groups.
    pub accounts: Arc<Accounts>,
}

/// The columns of one data source.
#[derive(Clone, Debug)]
pub struct Columns {
    source: String,
    words: FieldWords,
    list: Vec<Column>,
    warnings: Vec<String>,
}

/// An operator adds a column under a name that is taken.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("data source `{source_name}`: field `{column}` already exists")]
pub struct ColumnClash {
    /// Name of the data source.
    pub source_name: String,
    /// Name of both columns.
    pub column: String,
}

impl Columns {
    /// Plans every column of `source`: its fields and what formatters add.
    pub fn plan(source: &DataSource, context: &FormatContext) -> Self {
        let mut columns = Self {
            source: source.name.clone(),
            words: source.words.clone(),
            list: Vec::new(),
            warnings: Vec::new(),
        };
        derive::raw(source, &mut columns);
        derive::formatted(source, context, &mut columns);
        columns
    }

    /// Adds a column and lays what gadget.yaml says of it over its annotations and tags.
    ///
    /// # Errors
    /// There is a column of this name.
    pub fn push(&mut self, mut column: Column) -> Result<(), ColumnClash> {
        if self.list.iter().any(|known| known.name == column.name) {
            return Err(ColumnClash { source_name: self.source.clone(), column: column.name });
        }
        let unknown = self.words.complete(&column.name, &mut column.annotations);
        if let Some(template) = unknown {
            self.warnings.push(format!("field `{}` names the unknown template `{template}`", column.name));
        }
        if let Some(hidden) = column.annotations.get(HIDDEN) {
            column.hidden = hidden == "true";
        }
        column.tags.extend(self.words.tags(&column.name));
        self.list.push(column);
        Ok(())
    }

    /// Hides a column and all below it, as the inputs of a formatter are; an explicit annotation wins.
    pub fn hide(&mut self, name: &str) {
        let below = format!("{name}.");
        for column in &mut self.list {
            if (column.name == name || column.name.starts_with(&below))
                && !column.annotations.contains_key(HIDDEN)
            {
                column.hidden = true;
            }
        }
    }

    /// Takes a column and all below it out of every display; they can still be named.
    pub fn unreference(&mut self, name: &str) {
        let below = format!("{name}.");
        for column in &mut self.list {
            if column.name == name || column.name.starts_with(&below) {
                column.referenced = false;
            }
        }
    }

    /// Finds a column by its full name, exactly or else ignoring case.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.list
            .iter()
            .find(|column| column.name == name)
            .or_else(|| self.list.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// Finds a column by its exact full name, to change it.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Column> {
        self.list.iter_mut().find(|column| column.name == name)
    }

    /// All columns, record fields first; groups before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.list.iter()
    }

    /// The columns that are shown when nobody says which, in order of display.
    ///
    /// A group is among them only when `columns.replace` names the column that stands for it.
    pub fn visible(&self) -> impl Iterator<Item = &Column> {
        let mut shown: Vec<&Column> = self.list.iter().filter(|column| column.is_shown()).collect();
        shown.sort_by_key(|column| column.order);
        shown.into_iter()
    }

    /// Name of the data source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Oddities met while planning that do not stop the gadget.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What to tell somebody who named a column that does not exist.
    pub fn unknown(&self, name: &str) -> String {
        let hint = nearest(name, self.list.iter().map(|column| column.name.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let mut known: Vec<&str> =
            self.list.iter().filter(|column| column.referenced).map(|column| column.name.as_str()).collect();
        known.sort_unstable();
        format!("data source `{}` has no field `{name}`{hint} (it has: {})", self.source, known.join(", "))
    }

    /// Follows trailing data that begins `by` bytes later than it did.
    pub(crate) fn move_rest(&mut self, by: usize) {
        for column in &mut self.list {
            if let Render::Rest(rest) = &mut column.render {
                rest.start += by;
            }
        }
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

impl Column {
    /// The place behind every column that has a place.
    pub const LAST: i32 = i32::MAX;

    /// A column without annotations that is shown behind all others.
    pub fn new(name: &str, inputs: Vec<Range<usize>>, render: Render) -> Self {
        Self {
            name: name.to_owned(),
            inputs,
            render,
            annotations: BTreeMap::new(),
            hidden: false,
            referenced: true,
            order: Self::LAST,
            tags: Vec::new(),
        }
    }

    /// The same with annotations.
    #[must_use]
    pub fn annotated(mut self, annotations: &[(&str, &str)]) -> Self {
        let owned = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.annotations.extend(owned);
        self
    }

    /// The text of an annotation, if it is there and not empty.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The part of the name behind the last dot.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// Whether the value is text taken from the record itself.
    pub fn is_text(&self) -> bool {
        matches!(self.render, Render::CString)
    }

    /// Whether the value depends on nothing but `inputs`, which have a fixed length: what a label needs.
    pub fn has_fixed_input(&self) -> bool {
        !matches!(self.render, Render::Members | Render::Rest(_))
    }

    /// Bytes of the joined inputs.
    pub fn input_len(&self) -> usize {
        self.inputs.iter().map(Range::len).sum()
    }

    /// Copies the joined inputs of `record` to `out`; bytes past the record's end are zeros, and text is cut at
    /// its first NUL so that equal text gives equal bytes.
    pub fn copy_input(&self, record: &[u8], out: &mut Vec<u8>) {
        for range in &self.inputs {
            let start = out.len();
            let end = start + range.len();
            if let Some(bytes) = record.get(range.clone()) {
                out.extend_from_slice(if self.is_text() { until_nul(bytes) } else { bytes });
            } else if let Some(bytes) = record.get(range.start..) {
                out.extend_from_slice(bytes);
            }
            out.resize(end, 0);
        }
    }

    /// The number this column is, if it is one; `input` as from [`Column::copy_input`].
    pub fn number(&self, input: &[u8]) -> Option<Number> {
        match &self.render {
            Render::Number(form) => form.read(input),
            _ => None,
        }
    }

    /// Appends the text of the value; `input` as from [`Column::copy_input`].
    ///
    /// Trailing data has no fixed input and no text here: [`Column::value`] reads it from the record.
    pub fn text(&self, input: &[u8], out: &mut String) {
        self.render.text(input, out);
    }

    fn is_shown(&self) -> bool {
        let stands_for_another = self.annotation("columns.replace").is_some();
        !self.hidden && self.referenced && (!matches!(self.render, Render::Members) || stands_for_another)
    }
}

impl From<Rest> for Column {
    fn from(rest: Rest) -> Self {
        Self::new(&rest.name.clone(), Vec::new(), Render::Rest(rest))
    }
}
