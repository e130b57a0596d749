//! From the fields of a data source to its columns.
//!
//! # Source
//! Inspektor Gadget, formatters. The target name is the formatter's target annotation, else the input's name without
//! `_raw`, else no column; `user` and `group` fall back to their own name. Outputs stand where their input stands but
//! for enums, users and groups, which stand last. Inputs are hidden then, unless an annotation says otherwise. An
//! endpoint with an IP version that does not exist has an empty address here, where the reference drops the record.

use std::{ops::Range, sync::Arc};

use ig_datasource::{
    DataSource, Field,
    annotate::BASE,
    template::{HIDDEN, TEMPLATE},
};
use ig_model::FieldKind;

use super::{Column, Columns, FormatContext, NumberForm, Render};
use crate::format::{self, TimeLayout};

/// A formatter that makes text of one number.
struct ValueFormatter {
    /// The type that the field has.
    type_name: &'static str,
    /// Bytes of the number.
    size: usize,
    /// The annotation that names the output.
    annotation: &'static str,
    /// How the output looks; like a plain field without one.
    template: Option<&'static str>,
    render: fn() -> Render,
}

const fn formatter(
    type_name: &'static str,
    size: usize,
    annotation: &'static str,
    template: Option<&'static str>,
    render: fn() -> Render,
) -> ValueFormatter {
    ValueFormatter { type_name, size, annotation, template, render }
}

const VALUES: [ValueFormatter; 7] = [
    formatter("gadget_signal", 4, "formatters.signal.target", None, || Render::Signal),
    formatter("gadget_errno", 4, "formatters.errno.target", Some("errorString"), || Render::Errno),
    formatter("gadget_syscall", 8, "formatters.syscall.target", Some("syscall"), || Render::Syscall),
    formatter("gadget_bytes", 8, "formatters.bytes.target", Some("bytes"), || Render::Bytes),
    formatter("gadget_duration", 8, "formatters.duration.target", Some("duration"), || Render::Duration),
    formatter("gadget_file_mode", 4, "formatters.file_mode.target", None, || Render::FileMode),
    formatter("gadget_file_flags", 4, "formatters.file_flags.target", None, || Render::FileFlags),
];

/// Adds the fields of the record, and what follows its layout.
pub(super) fn raw(source: &DataSource, columns: &mut Columns) {
    let mut parents = vec![false; source.fields.len()];
    for parent in source.fields.iter().filter_map(|field| field.parent) {
        if let Some(is_parent) = parents.get_mut(parent) {
            *is_parent = true;
        }
    }
    for (order, (field, is_parent)) in source.fields.iter().zip(parents).enumerate() {
        let render = match field.kind {
            FieldKind::CString | FieldKind::String => Render::CString,
            FieldKind::Bytes if is_parent => Render::Members,
            FieldKind::Bytes | FieldKind::Invalid => Render::Hex,
            FieldKind::Array(scalar) => Render::Array(scalar),
            _ => Render::Number(form(field)),
        };
        let inputs = if is_parent { Vec::new() } else { vec![range(field)] };
        columns.list.push(Column {
            hidden: field.annotations.get(HIDDEN).is_some_and(|hidden| hidden == "true"),
            annotations: field.annotations.clone(),
            order: i32::try_from(order).unwrap_or(Column::LAST),
            tags: field.tags(),
            ..Column::new(&field.full_name, inputs, render)
        });
    }
    if let Some(rest) = &source.rest {
        add(columns, Column::from(rest.clone()).annotated(&BASE));
    }
}

/// Adds what formatters make, in the order in which the reference runs them.
pub(super) fn formatted(source: &DataSource, context: &FormatContext, columns: &mut Columns) {
    let mut planner = Planner { source, context, columns };
    for pass in [Pass::Enumerations, Pass::Values, Pass::Users, Pass::Endpoints, Pass::Groups] {
        for (index, field) in source.fields.iter().enumerate() {
            match pass {
                Pass::Enumerations => planner.enumeration(field),
                Pass::Values => planner.value(index, field),
                Pass::Users => planner.user(field),
                Pass::Endpoints => planner.endpoint(index, field),
                Pass::Groups => planner.group(field),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Pass {
    Enumerations,
    Values,
    Users,
    Endpoints,
    Groups,
}

struct Planner<'a> {
    source: &'a DataSource,
    context: &'a FormatContext,
    columns: &'a mut Columns,
}

impl Planner<'_> {
    fn enumeration(&mut self, field: &Field) {
        let Some(enumerators) = &field.enumerators else { return };
        let separator = field.annotations.get("ebpf.formatter.bitfield.separator");
        let shared = Arc::clone(enumerators);
        let (render, one_of) = if enumerators.name.ends_with("_set") {
            let separator = separator.map_or_else(|| "|".to_owned(), Clone::clone);
            (Render::BitSet(form(field), shared, separator), None)
        } else {
            let names = enumerators.variants.iter().map(|(name, _)| name.as_str());
            (Render::Enum(form(field), shared), Some(one_of(names)))
        };
        // Hidden before it is known whether anything takes its place, as in the reference.
        self.columns.hide(&field.full_name);
        let Some(name) = target(self.source, field, "ebpf.formatter.enum", None) else { return };
        let mut column = Column::new(&name, vec![range(field)], render).annotated(&BASE);
        if let Some(one_of) = one_of.filter(|text| !text.is_empty()) {
            column.annotations.insert("value.one-of".to_owned(), one_of);
        }
        add(self.columns, column);
    }

    fn value(&mut self, index: usize, field: &Field) {
        for value in VALUES {
            if field.has_type(value.type_name) && is_number(field, &[value.size]) {
                let Some(name) = target(self.source, field, value.annotation, None) else { return };
                let mut column = Column {
                    order: i32::try_from(index).unwrap_or(Column::LAST),
                    ..Column::new(&name, vec![range(field)], (value.render)())
                };
                column = match value.template {
                    Some(template) => column.annotated(&[(TEMPLATE, template)]),
                    None => column.annotated(&BASE),
                };
                if value.type_name == "gadget_signal" {
                    column.annotations.insert("value.one-of".to_owned(), one_of(format::signals()));
                }
                self.replace(field, column);
                return;
            }
        }
        if field.has_type("gadget_timestamp") && is_number(field, &[8]) {
            self.timestamp(index, field);
        } else if field.has_type("gadget_l3endpoint_t") {
            self.address(index, field, "addr");
        }
    }

    fn timestamp(&mut self, index: usize, field: &Field) {
        let Some(name) = target(self.source, field, "formatters.timestamp.target", None) else { return };
        let clock = self.context.clock;
        let layout = field.annotations.get("formatters.timestamp.format").filter(|text| !text.is_empty());
        let render = match layout {
            Some(layout) => Render::FormattedTime(clock, Arc::new(TimeLayout::parse(layout))),
            None => Render::Timestamp(clock),
        };
        let column = Column {
            order: i32::try_from(index).unwrap_or(Column::LAST),
            ..Column::new(&name, vec![range(field)], render)
        };
        self.replace(field, column.annotated(&[(TEMPLATE, "timestamp")]));
        // Whoever formats a time stamp shows the raw one on the wall clock, too.
        if let Some(raw) = self.columns.find_mut(&field.full_name) {
            raw.render = Render::Number(NumberForm::Wall(clock));
        }
    }

    fn user(&mut self, field: &Field) {
        self.account(field, "gadget_uid", "user", Render::User(Arc::clone(&self.context.accounts)));
    }

    fn group(&mut self, field: &Field) {
        self.account(field, "gadget_gid", "group", Render::Group(Arc::clone(&self.context.accounts)));
    }

    fn account(&mut self, field: &Field, type_name: &str, fallback: &str, render: Render) {
        if !field.has_type(type_name) || !is_number(field, &[4]) {
            return;
        }
        let Some(name) = target(self.source, field, "uidgidresolver.target", Some(fallback)) else { return };
        let column = Column::new(&name, vec![range(field)], render);
        self.replace(field, column.annotated(&BASE).annotated(&[(HIDDEN, "true")]));
    }

    fn endpoint(&mut self, index: usize, field: &Field) {
        if !field.has_type("gadget_l4endpoint_t") {
            return;
        }
        let member = |wanted: &str| self.member(index, |child| child.name == wanted);
        let (port, protocol) = (member("port").map(range), member("proto_raw").map(range));
        let Some(mut inputs) = self.address(index, field, if port.is_some() { "endpoint" } else { "addr" })
        else {
            return;
        };
        let prefix = &field.full_name;
        if let Some(port) = port {
            inputs.push(port);
            let mut column = Column::new(&format!("{prefix}.endpoint"), inputs, Render::Endpoint)
                .annotated(&[(HIDDEN, "true"), ("json.skip", "true")]);
            column.tags.push("endpoint".to_owned());
            add(self.columns, column);
        }
        if let Some(protocol) = protocol {
            let column = Column::new(&format!("{prefix}.proto"), vec![protocol], Render::Protocol);
            add(self.columns, column.annotated(&[(HIDDEN, "true")]));
        }
    }

    /// Adds the address of an endpoint and makes the column `shown` stand for the whole; returns what the address
    /// is made of.
    fn address(&mut self, index: usize, field: &Field, shown: &str) -> Option<Vec<Range<usize>>> {
        let address = self.member(index, |child| child.has_type("gadget_ip_addr_t"))?;
        let version = self.member(index, |child| child.name == "version")?;
        let (address_name, address_full) = (address.name.clone(), address.full_name.clone());
        let name = address_name.strip_suffix("_raw").unwrap_or("addr");
        let inputs = vec![address.offset..address.offset + address.size.min(16), range(version)];
        self.columns.unreference(&address_full);
        let prefix = &field.full_name;
        let column = Column::new(&format!("{prefix}.{name}"), inputs.clone(), Render::Address);
        add(self.columns, column.annotated(&BASE));
        let below = format!("{prefix}.");
        for column in &mut self.columns.list {
            if column.name.starts_with(&below) && !column.annotations.contains_key(HIDDEN) {
                column.hidden = true;
            }
        }
        if let Some(parent) = self.columns.find_mut(prefix) {
            let shown = if shown == "addr" { name } else { shown };
            parent.annotations.entry("columns.replace".to_owned()).or_insert(format!("{prefix}.{shown}"));
        }
        Some(inputs)
    }

    fn member(&self, parent: usize, wanted: impl Fn(&Field) -> bool) -> Option<&Field> {
        self.source.fields.iter().find(|child| child.parent == Some(parent) && wanted(child))
    }

    /// Adds the column that is shown instead of `field`.
    fn replace(&mut self, field: &Field, column: Column) {
        add(self.columns, column);
        self.columns.hide(&field.full_name);
    }
}

/// Adds a column; one whose name is taken is left out with a warning.
fn add(columns: &mut Columns, column: Column) {
    if let Err(clash) = columns.push(column) {
        columns.warn(format!("{clash}; what a formatter would show under this name is left out"));
    }
}

/// The full name of a formatter's output, if it has one.
pub(crate) fn target(
    source: &DataSource,
    field: &Field,
    annotation: &str,
    fallback: Option<&str>,
) -> Option<String> {
    let annotated = field.annotations.get(annotation).map(String::as_str).filter(|name| !name.is_empty());
    let name = annotated.or_else(|| field.name.strip_suffix("_raw")).or(fallback)?;
    Some(match field.parent.and_then(|parent| source.fields.get(parent)) {
        Some(parent) => format!("{}.{name}", parent.full_name),
        None => name.to_owned(),
    })
}

/// The names a value can have, for people.
fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    /// Lists of more are of no use in a help text.
    const MOST: usize = 64;
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).take(MOST + 1).collect();
    if names.len() > MOST { String::new() } else { names.join(", ") }
}

fn is_number(field: &Field, sizes: &[usize]) -> bool {
    field.kind.is_integer() && field.bits.is_none() && sizes.contains(&field.size)
}

fn form(field: &Field) -> NumberForm {
    field.bits.map_or(NumberForm::Plain(field.kind), |bits| NumberForm::Bits(field.kind, bits))
}

fn range(field: &Field) -> Range<usize> {
    field.offset..field.offset + field.size
}
