//! What an object takes from the kernel by name: configuration (`.kconfig`), variables and functions (`.ksyms`).

use std::cmp::Reverse;
use std::collections::HashMap;

use ig_kernel::btf::{Btf, Kind, Type, TypeId};

use crate::elf::Elf;
use crate::error::ParseError;

/// A name that the kernel has to supply.
#[derive(Clone, Debug)]
pub(crate) struct Extern {
    pub(crate) name: String,
    /// Whether the object can do without it.
    pub(crate) weak: bool,
    pub(crate) kind: ExternKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExternKind {
    /// A configuration value, at an offset of the map that holds all of them.
    Kconfig { offset: u32, size: u32, type_id: TypeId },
    /// A kernel variable of a known type.
    TypedVariable { type_id: TypeId },
    /// An address.
    Address,
    /// A kernel function.
    Function { type_id: TypeId },
    /// In the symbol table only, without a type.
    Untyped,
}

/// Collects the externs; the second value is the size of the configuration.
pub(crate) fn parse(elf: &Elf<'_>, btf: &Btf) -> Result<(Vec<Extern>, u32), ParseError> {
    let mut externs = Vec::new();
    let mut kconfig_size: u32 = 0;
    let (kconfig, ksyms) = (members(btf, ".kconfig"), members(btf, ".ksyms"));
    let undefined = elf.symbols.iter().filter(|symbol| symbol.section.is_none() && symbol.global);
    for symbol in undefined.filter(|symbol| !symbol.name.is_empty()) {
        let fault = |problem: &str| ParseError::Section {
            section: ".kconfig".to_owned(),
            problem: format!("`{}` {problem}", symbol.name),
        };
        let kind = if let Some(type_id) = kconfig.get(symbol.name) {
            let Some(Type::Var(var)) = btf.type_by_id(*type_id) else { continue };
            let size = btf.resolve_size(var.type_id).ok_or_else(|| fault("has no size"))?;
            if size > 4096 {
                return Err(fault("is larger than any configuration value"));
            }
            ExternKind::Kconfig { offset: 0, size, type_id: var.type_id }
        } else if let Some(type_id) = ksyms.get(symbol.name) {
            match btf.type_by_id(*type_id) {
                Some(Type::Func(function)) => ExternKind::Function { type_id: function.type_id },
                Some(Type::Var(var)) => match btf.skip_modifiers_and_typedefs(var.type_id) {
                    Some((_, Type::Void)) | None => ExternKind::Address,
                    Some(_) => ExternKind::TypedVariable { type_id: var.type_id },
                },
                _ => ExternKind::Untyped,
            }
        } else {
            ExternKind::Untyped
        };
        externs.push(Extern { name: symbol.name.to_owned(), weak: symbol.weak, kind });
    }
    externs.sort_by(|a: &Extern, b| order(btf, a).cmp(&order(btf, b)).then_with(|| a.name.cmp(&b.name)));
    for found in &mut externs {
        let alignment = alignment(btf, found);
        if let ExternKind::Kconfig { offset, size, .. } = &mut found.kind {
            *offset = kconfig_size.next_multiple_of(alignment);
            kconfig_size = offset.checked_add(*size).ok_or_else(|| ParseError::Section {
                section: ".kconfig".to_owned(),
                problem: format!("`{}` does not fit", found.name),
            })?;
        }
    }
    Ok((externs, kconfig_size))
}

/// libbpf's order, so that equal objects give equal programs: configuration first, by alignment and size.
fn order(btf: &Btf, found: &Extern) -> (bool, Reverse<u32>, u32) {
    match found.kind {
        ExternKind::Kconfig { size, .. } => (false, Reverse(alignment(btf, found)), size),
        _ => (true, Reverse(0), 0),
    }
}

/// Alignment of a configuration value: that of its elements where it is text.
fn alignment(btf: &Btf, found: &Extern) -> u32 {
    let ExternKind::Kconfig { type_id, .. } = found.kind else { return 1 };
    let element = match btf.skip_modifiers_and_typedefs(type_id) {
        Some((_, Type::Array(array))) => array.element,
        _ => type_id,
    };
    btf.resolve_size(element).unwrap_or(1).clamp(1, 8).next_power_of_two()
}

/// The variables and functions of a data section of the BTF, by name.
fn members<'a>(btf: &'a Btf, section: &str) -> HashMap<&'a str, TypeId> {
    let section = btf.type_by_name(section, Kind::Datasec).and_then(|id| btf.type_by_id(id));
    let Some(Type::Datasec(section)) = section else { return HashMap::new() };
    let infos = section.variables();
    infos.filter_map(|info| Some((btf.type_by_id(info.type_id)?.name()?, info.type_id))).collect()
}
