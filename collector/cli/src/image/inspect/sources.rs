//! Data sources as the Go project's interface writes them in JSON: its names, nothing that is zero or empty.

use std::collections::BTreeMap;

use ig_datasource::{DataSource, Discovered, Field, SourceKind};
use ig_model::{FieldKind, kind::Scalar};
use serde::Serialize;
use serde_json::{Value, json};

/// Kinds from here on are arrays of what is left without it.
const ARRAY: u32 = 0x1000_0000;
/// A field that holds others.
const CONTAINER: u32 = 2;
/// A field that is left out where only the most important ones are shown.
const HIDDEN: u32 = 4;
/// A field that is part of another.
const HAS_PARENT: u32 = 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    id: usize,
    name: &'a str,
    #[serde(rename = "type")]
    kind: u32,
    fields: Vec<Column<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Column<'a> {
    name: &'a str,
    full_name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    index: usize,
    #[serde(skip_serializing_if = "is_zero")]
    offs: usize,
    #[serde(skip_serializing_if = "is_zero")]
    size: usize,
    #[serde(skip_serializing_if = "is_zero_u32")]
    flags: u32,
    kind: Value,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_zero")]
    parent: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

/// The data sources of a gadget, sorted by name as ids are given.
pub(super) fn list(found: &Discovered) -> Vec<Value> {
    let mut sources: Vec<&DataSource> = found.sources.iter().collect();
    sources.sort_by(|one, two| one.name.cmp(&two.name));
    sources.into_iter().enumerate().map(|(id, source)| json!(describe(id, source))).collect()
}

fn describe(id: usize, source: &DataSource) -> Source<'_> {
    let kind = match source.kind {
        SourceKind::Single => 1,
        SourceKind::Array => 2,
    };
    let is_parent = |at: usize| source.fields.iter().any(|field| field.parent == Some(at));
    let fields =
        source.fields.iter().enumerate().map(|(index, field)| column(index, field, is_parent(index)));
    Source {
        id,
        name: &source.name,
        kind,
        fields: fields.collect(),
        tags: &source.tags,
        annotations: &source.annotations,
    }
}

fn column(index: usize, field: &Field, is_parent: bool) -> Column<'_> {
    let hidden = field.annotations.get("columns.hidden").is_some_and(|value| value == "true");
    let flags = [(is_parent, CONTAINER), (hidden, HIDDEN), (field.parent.is_some(), HAS_PARENT)];
    Column {
        name: &field.name,
        full_name: &field.full_name,
        index,
        offs: field.offset,
        size: field.size,
        flags: flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
        kind: kind(field.kind),
        tags: field.tags(),
        annotations: &field.annotations,
        parent: field.parent.unwrap_or_default(),
    }
}

/// The name of a kind; arrays have numbers only.
fn kind(kind: FieldKind) -> Value {
    Value::from(match kind {
        FieldKind::Invalid => "Invalid",
        FieldKind::Bool => "Bool",
        FieldKind::Int8 => "Int8",
        FieldKind::Int16 => "Int16",
        FieldKind::Int32 => "Int32",
        FieldKind::Int64 => "Int64",
        FieldKind::Uint8 => "Uint8",
        FieldKind::Uint16 => "Uint16",
        FieldKind::Uint32 => "Uint32",
        FieldKind::Uint64 => "Uint64",
        FieldKind::Float32 => "Float32",
        FieldKind::Float64 => "Float64",
        FieldKind::String => "String",
        FieldKind::CString => "CString",
        FieldKind::Bytes => "Bytes",
        FieldKind::Array(scalar) => return Value::from(ARRAY + number(scalar)),
    })
}

fn number(scalar: Scalar) -> u32 {
    let width = |size: u8| size.trailing_zeros();
    match scalar {
        Scalar::Bool => 1,
        Scalar::Int(size) => 2 + width(size),
        Scalar::Uint(size) => 6 + width(size),
        Scalar::Float(size) => 9 + width(size),
    }
}
