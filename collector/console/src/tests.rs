//! Data sources for the tests of all modes: a layout like that of `trace_open`, and helpers to print with it.

use std::{path::Path, time::Duration};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, kind::Scalar};
use ig_operators::{Batch, Columns, FormatContext, format::Accounts};

use crate::{
    ConsoleError, ConsoleOptions, Mode, Output, Terminal,
    output::tests::{block_on, memory},
    sink,
};

/// A field with types and annotations.
pub(crate) fn field(
    name: &str,
    kind: FieldKind,
    offset: usize,
    size: usize,
    types: &[&str],
    annotations: &[(&str, &str)],
) -> Field {
    let mut field = Field::new(name.rsplit('.').next().unwrap(), kind, offset, size);
    field.full_name = name.to_owned();
    field.types = types.iter().map(|name| (*name).to_owned()).collect();
    field.annotations =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    field
}

/// A data source called `events`.
pub(crate) fn source(fields: &[Field], annotations: &[(&str, &str)]) -> DataSource {
    let size = fields.iter().map(|field| field.offset + field.size).max().unwrap_or(0);
    let origin = Origin::Tracer { map: "events".to_owned() };
    let mut source = DataSource::new("events", SourceKind::Single, origin, size);
    source.fields = fields.to_vec();
    source.annotations =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    source
}

pub(crate) fn columns(source: &DataSource) -> Columns {
    let accounts = Accounts::in_root(Path::new("/nonexistent"));
    Columns::plan(source, &FormatContext { clock: BootClock::with_offset(0), accounts: accounts.into() })
}

/// `proc` { `comm`, `pid` }, `fd`, `flags_raw`, `fname`, `error_raw`.
pub(crate) fn open_source() -> DataSource {
    let mut proc = field("proc", FieldKind::Bytes, 0, 20, &["gadget_process"], &[("columns.hidden", "true")]);
    proc.size = 20;
    let mut fields = vec![
        proc,
        field(
            "proc.comm",
            FieldKind::CString,
            0,
            16,
            &["gadget_comm"],
            &[("columns.alias", "comm"), ("columns.maxwidth", "16")],
        ),
        field(
            "proc.pid",
            FieldKind::Uint32,
            16,
            4,
            &["gadget_pid"],
            &[("columns.alias", "pid"), ("columns.minwidth", "7"), ("columns.alignment", "right")],
        ),
        field(
            "fd",
            FieldKind::Uint32,
            20,
            4,
            &["__u32"],
            &[("columns.minwidth", "2"), ("columns.maxwidth", "3"), ("columns.alignment", "right")],
        ),
        field("flags_raw", FieldKind::Int32, 24, 4, &["gadget_file_flags"], &[]),
        field(
            "fname",
            FieldKind::CString,
            28,
            64,
            &["char"],
            &[("columns.width", "32"), ("columns.minwidth", "24")],
        ),
        field("error_raw", FieldKind::Uint32, 92, 4, &["gadget_errno"], &[]),
    ];
    for field in &mut fields[1..3] {
        field.parent = Some(0);
    }
    fields[4].annotations.insert("formatters.file_flags.target".to_owned(), "flags".to_owned());
    let mut source = source(&fields, &[]);
    source.name = "open".to_owned();
    source
}

pub(crate) fn open_columns() -> Columns {
    let mut columns = columns(&open_source());
    columns.find_mut("flags").unwrap().hidden = true;
    columns
}

/// A record of [`open_source`].
pub(crate) fn open_record(comm: &[u8], pid: u32, fname: &[u8], error: u32) -> Vec<u8> {
    let mut record = vec![0; 96];
    record[..comm.len()].copy_from_slice(comm);
    record[16..20].copy_from_slice(&pid.to_ne_bytes());
    record[20..24].copy_from_slice(&3_u32.to_ne_bytes());
    record[24..28].copy_from_slice(&0o2_000_000_u32.to_ne_bytes());
    record[28..28 + fname.len()].copy_from_slice(fname);
    record[92..].copy_from_slice(&error.to_ne_bytes());
    record
}

/// A field of each kind, at the root and in an array.
pub(crate) fn all_kinds() -> DataSource {
    let plain = |name, kind, offset, size| field(name, kind, offset, size, &[], &[]);
    source(
        &[
            plain("u64", FieldKind::Uint64, 0, 8),
            plain("i64", FieldKind::Int64, 8, 8),
            plain("f64", FieldKind::Float64, 16, 8),
            plain("f32", FieldKind::Float32, 24, 4),
            plain("flag", FieldKind::Bool, 28, 1),
            plain("i8", FieldKind::Int8, 29, 1),
            plain("text", FieldKind::CString, 30, 10),
            plain("bytes", FieldKind::Bytes, 40, 4),
            plain("list", FieldKind::Array(Scalar::Uint(4)), 44, 8),
            plain("flags", FieldKind::Array(Scalar::Bool), 52, 4),
            plain("singles", FieldKind::Array(Scalar::Float(4)), 56, 8),
        ],
        &[],
    )
}

/// The records of one fetch.
pub(crate) fn fetch<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Batch {
    let mut batch: Batch = records.into_iter().collect();
    batch.set_begins();
    batch.set_ends();
    batch
}

/// Everything printed for these records, in one batch.
pub(crate) fn print(
    mode: &Mode,
    source: &DataSource,
    columns: &Columns,
    options: &ConsoleOptions,
    terminal: Terminal,
    records: &[Vec<u8>],
) -> Result<Vec<u8>, ConsoleError> {
    let (output, memory) = memory(terminal);
    if let Some(mut sink) = sink(mode, source, columns, options, &output)? {
        sink.take(&fetch(records.iter().map(Vec::as_slice)));
        sink.flush();
        sink.finish();
    }
    finish(&output);
    Ok(memory.taken())
}

/// The same as text.
pub(crate) fn text(
    mode: &Mode,
    source: &DataSource,
    columns: &Columns,
    options: &ConsoleOptions,
    terminal: Terminal,
    records: &[Vec<u8>],
) -> String {
    String::from_utf8(print(mode, source, columns, options, terminal, records).unwrap()).unwrap()
}

pub(crate) fn finish(output: &Output) {
    block_on(output.finish(Duration::from_secs(60))).unwrap();
}
