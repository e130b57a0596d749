//! Columns: everything a user can name in a filter, a label or a value.
//!
//! A column is either a field of the record itself or text that a formatter makes from one or two fields
//! (`error` from `error_raw`, `src.addr` from the address and its version). Columns are planned once per data
//! source; nothing is rendered until a sink asks for it.
//!
//! # Source
//! Target names follow the reference's rule: the formatter's target annotation, else the input's name without
//! `_raw`, else no column. `user` and `group` fall back to their own name.

use std::{ops::Range, sync::Arc};

use ig_datasource::{DataSource, Enumerators, Field, Number, field::until_nul};
use ig_model::{BootClock, FieldKind, KtimeNs, nearest};

use crate::format::{self, Accounts};

/// A named value of a record.
#[derive(Clone, Debug)]
pub struct Column {
    /// Full dotted name.
    pub name: String,
    /// Byte ranges of the record the value depends on; joined in this order they are what `render` gets.
    pub inputs: Vec<Range<usize>>,
    /// How the joined bytes become a value.
    pub render: Render,
}

/// How bytes become text.
#[derive(Clone, Debug)]
pub enum Render {
    /// A scalar in host byte order.
    Number(FieldKind),
    /// Text up to the first NUL.
    CString,
    /// Lower-case hexadecimal.
    Hex,
    /// Symbolic errno, empty for zero.
    Errno,
    /// `SIGKILL`.
    Signal,
    /// `SYS_openat`.
    Syscall,
    /// RFC 3339 with nanoseconds.
    Timestamp(BootClock),
    /// `82 MB`.
    Bytes,
    /// `1.5ms`.
    Duration,
    /// `-rw-r--r--`.
    FileMode,
    /// `O_RDONLY|O_CLOEXEC`.
    FileFlags,
    /// 16 address bytes and the version byte.
    Address,
    /// 16 address bytes, the version byte and the port.
    Endpoint,
    /// Keyword of an IP protocol number.
    Protocol,
    /// Name of an enum value.
    Enum(FieldKind, Arc<Enumerators>),
    /// Names of all bits set, joined by a separator.
    BitSet(FieldKind, Arc<Enumerators>, String),
    /// Login name of a user id.
    User(Arc<Accounts>),
    /// Name of a group id.
    Group(Arc<Accounts>),
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
    list: Vec<Column>,
}

impl Columns {
    /// Plans every column of `source`: its scalar fields and what formatters add.
    pub fn plan(source: &DataSource, context: &FormatContext) -> Self {
        let mut list: Vec<Column> = source.fields.iter().filter_map(raw_column).collect();
        for (index, field) in source.fields.iter().enumerate() {
            for column in derived_columns(source, index, field, context) {
                if !list.iter().any(|known| known.name == column.name) {
                    list.push(column);
                }
            }
        }
        Self { source: source.name.clone(), list }
    }

    /// Finds a column by its full name, exactly or else ignoring case.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.list
            .iter()
            .find(|column| column.name == name)
            .or_else(|| self.list.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// All columns, record fields first.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.list.iter()
    }

    /// What to tell somebody who named a column that does not exist.
    pub fn unknown(&self, name: &str) -> String {
        let hint = nearest(name, self.list.iter().map(|column| column.name.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let mut known: Vec<&str> = self.list.iter().map(|column| column.name.as_str()).collect();
        known.sort_unstable();
        format!("data source `{}` has no field `{name}`{hint} (it has: {})", self.source, known.join(", "))
    }
}

impl Column {
    /// Whether the value is text taken from the record itself.
    pub fn is_text(&self) -> bool {
        matches!(self.render, Render::CString)
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
            Render::Number(kind) => Number::read(*kind, input),
            _ => None,
        }
    }

    /// Appends the text of the value; `input` as from [`Column::copy_input`].
    pub fn text(&self, input: &[u8], out: &mut String) {
        match &self.render {
            Render::Number(kind) => number_text(*kind, input, out),
            Render::CString => out.push_str(&String::from_utf8_lossy(until_nul(input))),
            Render::Hex => format::hex(input, out),
            Render::Errno => format::errno(u32_of(input), out),
            Render::Signal => format::signal(u32_of(input), out),
            Render::Syscall => format::syscall(u64_of(input), out),
            Render::Timestamp(clock) => format::timestamp(clock.wall(KtimeNs(u64_of(input))).0, 0, out),
            Render::Bytes => format::bytes(u64_of(input), out),
            Render::Duration => format::duration(u64_of(input), out),
            Render::FileMode => format::file_mode(u32_of(input), out),
            Render::FileFlags => format::file_flags(u32_of(input), out),
            Render::Address => address_text(input, out),
            Render::Endpoint => {
                let (address, port) = input.split_at(input.len().saturating_sub(2));
                address_text(address, out);
                out.push(':');
                out.push_str(&u16_of(port).to_string());
            }
            Render::Protocol => format::protocol(u16_of(input), out),
            Render::Enum(kind, enumerators) => {
                format::enum_name(bits(*kind, input), &enumerators.variants, out);
            }
            Render::BitSet(kind, enumerators, separator) => {
                format::bit_set(bits(*kind, input), &enumerators.variants, separator, out);
            }
            Render::User(accounts) => accounts.user(u32_of(input), out),
            Render::Group(accounts) => accounts.group(u32_of(input), out),
        }
    }
}

fn raw_column(field: &Field) -> Option<Column> {
    let render = match field.kind {
        FieldKind::CString | FieldKind::String => Render::CString,
        FieldKind::Bytes => Render::Hex,
        FieldKind::Invalid | FieldKind::Array(_) => return None,
        kind => Render::Number(kind),
    };
    Some(Column { name: field.full_name.clone(), inputs: vec![range(field)], render })
}

fn derived_columns(source: &DataSource, index: usize, field: &Field, context: &FormatContext) -> Vec<Column> {
    if field.has_type("gadget_l3endpoint_t") || field.has_type("gadget_l4endpoint_t") {
        return endpoint_columns(source, index, field);
    }
    if let Some(enumerators) = &field.enumerators {
        let render = if enumerators.name.ends_with("_set") {
            let separator = field.annotations.get("ebpf.formatter.bitfield.separator");
            Render::BitSet(
                field.kind,
                Arc::clone(enumerators),
                separator.map_or_else(|| "|".to_owned(), Clone::clone),
            )
        } else {
            Render::Enum(field.kind, Arc::clone(enumerators))
        };
        return formatted(source, field, "ebpf.formatter.enum", None, render);
    }
    let accounts = || Arc::clone(&context.accounts);
    let of = |annotation, render| formatted(source, field, annotation, None, render);
    let known = [
        ("gadget_signal", "formatters.signal.target", Render::Signal),
        ("gadget_errno", "formatters.errno.target", Render::Errno),
        ("gadget_syscall", "formatters.syscall.target", Render::Syscall),
        ("gadget_bytes", "formatters.bytes.target", Render::Bytes),
        ("gadget_duration", "formatters.duration.target", Render::Duration),
        ("gadget_file_mode", "formatters.file_mode.target", Render::FileMode),
        ("gadget_file_flags", "formatters.file_flags.target", Render::FileFlags),
    ];
    for (type_name, annotation, render) in known {
        if field.has_type(type_name) {
            return of(annotation, render);
        }
    }
    if field.has_type("gadget_timestamp") {
        return of("formatters.timestamp.target", Render::Timestamp(context.clock));
    }
    if field.has_type("gadget_uid") {
        return formatted(source, field, "uidgidresolver.target", Some("user"), Render::User(accounts()));
    }
    if field.has_type("gadget_gid") {
        return formatted(source, field, "uidgidresolver.target", Some("group"), Render::Group(accounts()));
    }
    Vec::new()
}

/// One column under the target name, if there is one.
fn formatted(
    source: &DataSource,
    field: &Field,
    annotation: &str,
    fallback: Option<&str>,
    render: Render,
) -> Vec<Column> {
    let name = field
        .annotations
        .get(annotation)
        .map(String::as_str)
        .or_else(|| field.name.strip_suffix("_raw"))
        .or(fallback);
    name.map(|name| Column { name: sibling(source, field, name), inputs: vec![range(field)], render })
        .into_iter()
        .collect()
}

/// `addr`, and for layer 4 also `endpoint` and `proto`, as members of the endpoint struct.
fn endpoint_columns(source: &DataSource, index: usize, field: &Field) -> Vec<Column> {
    let member = |wanted: &dyn Fn(&Field) -> bool| {
        source.fields.iter().find(|child| child.parent == Some(index) && wanted(child))
    };
    let Some(address) = member(&|child| child.has_type("gadget_ip_addr_t")) else { return Vec::new() };
    let Some(version) = member(&|child| child.name == "version") else { return Vec::new() };
    let prefix = &field.full_name;
    let address_range = address.offset..address.offset + address.size.min(16);
    let address_name = address.name.strip_suffix("_raw").unwrap_or("addr");
    let mut columns = vec![Column {
        name: format!("{prefix}.{address_name}"),
        inputs: vec![address_range.clone(), range(version)],
        render: Render::Address,
    }];
    if let Some(port) = member(&|child| child.name == "port") {
        columns.push(Column {
            name: format!("{prefix}.endpoint"),
            inputs: vec![address_range, range(version), range(port)],
            render: Render::Endpoint,
        });
    }
    if let Some(protocol) = member(&|child| child.name == "proto_raw") {
        columns.push(Column {
            name: format!("{prefix}.proto"),
            inputs: vec![range(protocol)],
            render: Render::Protocol,
        });
    }
    columns
}

fn sibling(source: &DataSource, field: &Field, name: &str) -> String {
    match field.parent.and_then(|parent| source.fields.get(parent)) {
        Some(parent) => format!("{}.{name}", parent.full_name),
        None => name.to_owned(),
    }
}

fn range(field: &Field) -> Range<usize> {
    field.offset..field.offset + field.size
}

fn number_text(kind: FieldKind, input: &[u8], out: &mut String) {
    use std::fmt::Write as _;

    let written = match Number::read(kind, input) {
        Some(Number::Unsigned(value)) if kind == FieldKind::Bool => write!(out, "{}", value == 1),
        Some(Number::Unsigned(value)) => write!(out, "{value}"),
        Some(Number::Signed(value)) => write!(out, "{value}"),
        Some(Number::Float(value)) => write!(out, "{value}"),
        None => Ok(()),
    };
    // Writing to a string cannot fail.
    written.unwrap_or_default();
}

/// The last byte is the IP version; any other than 4 and 6 is no address.
fn address_text(input: &[u8], out: &mut String) {
    let Some((version, address)) = input.split_last() else { return };
    // An unknown version is no address and has no text.
    let _known = format::address(address, *version, out);
}

/// The value's bits without sign, as enumerators are kept.
fn bits(kind: FieldKind, input: &[u8]) -> u64 {
    let width = u64::MAX >> (64 - 8 * input.len().clamp(1, 8));
    match Number::read(kind, input) {
        Some(Number::Unsigned(value)) => value,
        Some(Number::Signed(value)) => value as u64 & width,
        Some(Number::Float(_)) | None => 0,
    }
}

fn u16_of(input: &[u8]) -> u16 {
    input.try_into().map_or(0, u16::from_ne_bytes)
}

fn u32_of(input: &[u8]) -> u32 {
    input.try_into().map_or(0, u32::from_ne_bytes)
}

fn u64_of(input: &[u8]) -> u64 {
    input.try_into().map_or(0, u64::from_ne_bytes)
}
