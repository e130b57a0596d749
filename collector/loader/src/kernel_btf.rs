//! The object's own BTF, made acceptable to the kernel.
//!
//! Clang leaves sizes and offsets of data sections zero, marks what is declared elsewhere as extern, and may use kinds
//! that an older kernel does not know. All of it is corrected in place, record by record: no record changes its length
//! or its number, because instructions and line information refer to both.

use std::io;
use std::os::fd::OwnedFd;

use ig_kernel::btf::{Btf, Datasec, FuncLinkage, Kind, Type, TypeId, VarLinkage};
use ig_kernel::sys::bpf::btf;

use crate::object::{Object, SectionLayout};

/// Length of the part that all records have.
const HEADER: usize = 12;

/// Loads the BTF of an object. `None` when the kernel takes it in no form; programs then go without.
pub(crate) fn load(object: &Object) -> io::Result<Option<OwnedFd>> {
    let mut bytes = corrected(object);
    for step in [Downgrade::None, Downgrade::Enum64AndTags, Downgrade::Float] {
        downgrade(&object.btf, &mut bytes, step);
        match btf::load(&bytes, None) {
            Ok(fd) => return Ok(Some(fd)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            // Without the right to load BTF there is none to load programs either: that error says more.
            Err(error) => return Err(error),
        }
    }
    let mut log = vec![0; 16 << 10];
    if let Err(error) = btf::load(&bytes, Some(&mut log)) {
        let text = String::from_utf8_lossy(&log);
        let text = text.trim_end_matches('\0').trim_end();
        tracing::debug!(
            name: "object.btf.refused", object = object.name(),
            error = &error as &dyn std::error::Error, log = text.lines().last()
        );
    }
    Ok(None)
}

/// The object's BTF with what clang leaves open filled in.
pub(crate) fn corrected(object: &Object) -> Vec<u8> {
    let btf = &object.btf;
    let mut bytes = btf.as_bytes().to_vec();
    let int = btf.types().find(|(_, ty)| matches!(ty, Type::Int(int) if int.size == 4)).map(|(id, _)| id);
    for (id, ty) in btf.types() {
        let Some(at) = btf.record_offset(id) else { continue };
        match ty {
            Type::Datasec(section) => {
                let layout = object.layout.iter().find(|layout| layout.name == section.name);
                let placed = layout.and_then(|layout| Some((layout.size, place(btf, &section, layout)?)));
                match placed {
                    Some((size, records)) => {
                        put(&mut bytes, at + 8, size);
                        for (index, (type_id, offset, size)) in records.into_iter().enumerate() {
                            let record = at + HEADER + index * 12;
                            put(&mut bytes, record, type_id.0);
                            put(&mut bytes, record + 4, offset);
                            put(&mut bytes, record + 8, size);
                        }
                    }
                    None => neutralise(&mut bytes, at, section.variables().count(), int),
                }
            }
            // Variables of the kernel may be of type `void` or one without a size; their sections are gone anyway.
            Type::Var(var) if var.linkage == VarLinkage::GlobalExtern => {
                put(&mut bytes, at + 8, int.unwrap_or(var.type_id).0);
                put(&mut bytes, at + HEADER, 1);
            }
            // The kernel wants names for the parameters of functions, which declarations lack.
            Type::Func(func) if func.linkage == FuncLinkage::Extern => {
                put(&mut bytes, at + 4, (Kind::Typedef as u32) << 24);
            }
            _ => {}
        }
    }
    // The verifier judges global functions alone, with whatever arguments they could get. Hidden ones are not meant so.
    for function in object.functions.iter().filter(|function| function.hidden) {
        if let Some(at) = function.type_id.and_then(|id| btf.record_offset(id)) {
            put(&mut bytes, at + 4, (Kind::Func as u32) << 24);
        }
    }
    bytes
}

/// The variables of a section with their places, in order; `None` when one has no place.
fn place(btf: &Btf, section: &Datasec<'_>, layout: &SectionLayout) -> Option<Vec<(TypeId, u32, u32)>> {
    let mut records = Vec::new();
    for info in section.variables() {
        let Some(Type::Var(var)) = btf.type_by_id(info.type_id) else { return None };
        let offset = *layout.symbols.get(var.name)?;
        let size = if info.size == 0 { btf.resolve_size(var.type_id)? } else { info.size };
        records.push((info.type_id, offset, size));
    }
    records.sort_by_key(|(_, offset, _)| *offset);
    // Flexible arrays in map definitions overlap their followers; the kernel refuses overlaps.
    let mut end = 0;
    for (_, offset, size) in &records {
        if *offset < end {
            return None;
        }
        end = offset.checked_add(*size)?;
    }
    (layout.size >= end && layout.size > 0).then_some(records)
}

/// Turns a data section that the kernel would refuse into an anonymous struct of as many integers at offset 0.
fn neutralise(bytes: &mut [u8], at: usize, members: usize, int: Option<TypeId>) {
    let (Some(int), Ok(count)) = (int, u32::try_from(members)) else { return };
    put(bytes, at, 0);
    put(bytes, at + 4, (Kind::Struct as u32) << 24 | count);
    put(bytes, at + 8, 4);
    for index in 0..members {
        let record = at + HEADER + index * 12;
        put(bytes, record, 0);
        put(bytes, record + 4, int.0);
        put(bytes, record + 8, 0);
    }
}

/// Which kinds to replace, newest first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Downgrade {
    None,
    /// Linux 6.0 and 5.16.
    Enum64AndTags,
    /// Linux 5.13, and visibility of functions (5.6).
    Float,
}

fn downgrade(btf: &Btf, bytes: &mut [u8], step: Downgrade) {
    let int = btf.types().find(|(_, ty)| matches!(ty, Type::Int(int) if int.size == 4)).map(|(id, _)| id);
    for (id, ty) in btf.types() {
        let Some(at) = btf.record_offset(id) else { continue };
        match (step, ty) {
            (Downgrade::Enum64AndTags, Type::Enum(enumeration)) if enumeration.wide => {
                let (size, count) = (enumeration.size, enumeration.variants().count());
                // A union of as many integers has the same length of record and the size of the values.
                neutralise(bytes, at, count, int);
                put(bytes, at + 4, (Kind::Union as u32) << 24 | u32::try_from(count).unwrap_or_default());
                put(bytes, at + 8, size);
            }
            (Downgrade::Enum64AndTags, Type::Enum(enumeration)) if enumeration.signed => {
                // The flag that says so came with the wide kind.
                let count = u32::try_from(enumeration.variants().count()).unwrap_or_default();
                put(bytes, at + 4, (Kind::Enum as u32) << 24 | count);
            }
            (Downgrade::Enum64AndTags, Type::DeclTag(_)) => {
                // A tag has as many bytes as an integer.
                put(bytes, at + 4, (Kind::Int as u32) << 24);
                put(bytes, at + 8, 1);
                put(bytes, at + HEADER, 8);
            }
            (Downgrade::Enum64AndTags, Type::TypeTag(_)) => {
                put(bytes, at, 0);
                put(bytes, at + 4, (Kind::Const as u32) << 24);
            }
            (Downgrade::Float, Type::Float(_)) => {
                put(bytes, at, 0);
                put(bytes, at + 4, (Kind::Struct as u32) << 24);
            }
            (Downgrade::Float, Type::Func(func)) if func.linkage == FuncLinkage::Global => {
                put(bytes, at + 4, (Kind::Func as u32) << 24);
            }
            _ => {}
        }
    }
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One enum `e` with the variant `v` of value -1, and a flag that says whether values are signed.
    fn block(signed: bool) -> Vec<u8> {
        let info = (Kind::Enum as u32) << 24 | 1 | u32::from(signed) << 31;
        let types: Vec<u8> = [1, info, 4, 3, u32::MAX].into_iter().flat_map(u32::to_ne_bytes).collect();
        let strings = b"\0e\0v\0";
        let mut block = 0xeb9f_u16.to_ne_bytes().to_vec();
        block.extend([1, 0]);
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            block.extend(u32::try_from(word).unwrap().to_ne_bytes());
        }
        block.extend(types);
        block.extend(strings);
        block
    }

    /// Scenario: an enum with a negative value, for a kernel from before enums had a sign (6.0).
    /// Guarantees: it becomes the same enum without the flag, in the step that replaces what 6.0 brought.
    #[test]
    fn enums_lose_their_sign() {
        let signed = block(true);
        let btf = Btf::parse(signed.clone(), None).unwrap();
        let mut bytes = signed.clone();
        downgrade(&btf, &mut bytes, Downgrade::None);
        assert_eq!(bytes, signed);
        downgrade(&btf, &mut bytes, Downgrade::Enum64AndTags);
        assert_eq!(bytes, block(false));
    }
}
