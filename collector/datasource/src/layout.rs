//! From a BTF struct to fields.
//!
//! # Source
//! Inspektor Gadget's field walk, with three of its traps left out: bit-fields read as the bits they are instead of
//! as whole integers, members of anonymous aggregates belong to the aggregate around them, and all that hostile types
//! could make large is limited.

use std::{collections::HashMap, sync::Arc};

use ig_kernel::btf::{Btf, Composite, Enum, Member, Type, TypeId};
use ig_model::{FieldKind, kind::Scalar};

use crate::field::{Bits, Enumerators, Field};

/// Structs nested deeper than this are kept as bytes.
const MAX_NESTING: usize = 16;
/// Typedef chains longer than this end the walk of the member.
const MAX_CHAIN: usize = 32;
/// A record with more fields than this is cut off; no real gadget comes near.
const MAX_FIELDS: usize = 4096;
/// Members looked at for one record: anonymous structs within each other could make more of them than of fields.
const MAX_MEMBERS: usize = 1 << 16;
/// Longer names are not names of a program.
const MAX_NAME: usize = 256;

/// The fields of a struct.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// In order of declaration, parents before their children.
    pub(crate) fields: Vec<Field>,
    /// Whether there are more members than anything real has, and the rest was left out.
    pub(crate) cut: bool,
}

/// The fields of `composite`, whose first byte is at `base` in the record.
pub(crate) fn fields(btf: &Btf, composite: Composite<'_>, base: usize) -> Layout {
    let end = base.saturating_add(composite.size as usize);
    let mut walk = Walk { btf, end, layout: Layout::default(), members: 0, enums: HashMap::new() };
    walk.composite(composite, base, None, 0);
    walk.layout
}

struct Walk<'a> {
    btf: &'a Btf,
    /// Where the struct ends in the record; nothing may lie behind it.
    end: usize,
    layout: Layout,
    members: usize,
    /// Fields of one enum share its names.
    enums: HashMap<TypeId, Arc<Enumerators>>,
}

/// What a member's type turned out to be.
struct Resolved<'a> {
    kind: FieldKind,
    size: usize,
    types: Vec<String>,
    composite: Option<Composite<'a>>,
    enumerators: Option<Arc<Enumerators>>,
}

impl<'a> Walk<'a> {
    fn composite(&mut self, composite: Composite<'a>, base: usize, parent: Option<usize>, depth: usize) {
        for member in composite.members() {
            self.members += 1;
            if self.layout.fields.len() >= MAX_FIELDS || self.members > MAX_MEMBERS {
                self.layout.cut = true;
                return;
            }
            if !member.name.starts_with("__") && member.name.len() <= MAX_NAME {
                self.member(&member, base, parent, depth);
            }
        }
    }

    fn member(&mut self, member: &Member<'a>, base: usize, parent: Option<usize>, depth: usize) {
        let Some(resolved) = self.resolve(member.type_id) else { return };
        let Some(extent) = extent(member, base, &resolved).filter(|extent| extent.end <= self.end) else {
            return;
        };
        if member.name.is_empty() {
            if let Some(composite) = resolved.composite
                && depth < MAX_NESTING
            {
                self.composite(composite, extent.start, parent, depth + 1);
            }
            return;
        }
        let full_name = match parent.and_then(|parent| self.layout.fields.get(parent)) {
            Some(parent) => format!("{}.{}", parent.full_name, member.name),
            None => member.name.to_owned(),
        };
        let index = self.layout.fields.len();
        self.layout.fields.push(Field {
            full_name,
            parent,
            types: resolved.types,
            bits: extent.bits,
            enumerators: resolved.enumerators,
            ..Field::new(member.name, resolved.kind, extent.start, extent.end - extent.start)
        });
        if let Some(composite) = resolved.composite
            && depth < MAX_NESTING
        {
            self.composite(composite, extent.start, Some(index), depth + 1);
        }
    }

    /// Follows typedefs and modifiers to the member's type; `None` for types that make no field.
    fn resolve(&mut self, id: TypeId) -> Option<Resolved<'a>> {
        let mut types = Vec::new();
        let mut id = id;
        let mut direct = true;
        for _ in 0..MAX_CHAIN {
            let ty = self.btf.type_by_id(id)?;
            note(&ty, &mut types);
            id = match ty {
                Type::Typedef(typedef) => typedef.type_id,
                Type::Const(next) | Type::Volatile(next) | Type::Restrict(next) => next,
                Type::TypeTag(tag) => tag.type_id,
                Type::Array(array) => return self.array(array.element, array.len, types),
                Type::Enum(enumeration) if direct => {
                    let known = self.enums.entry(id).or_insert_with(|| Arc::new(named_values(&enumeration)));
                    let enumerators = Some(Arc::clone(known));
                    return plain(ty, direct, types).map(|resolved| Resolved { enumerators, ..resolved });
                }
                _ => return plain(ty, direct, types),
            };
            direct = false;
        }
        None
    }

    fn array(&self, element: TypeId, len: u32, mut types: Vec<String>) -> Option<Resolved<'a>> {
        let len = len as usize;
        if len == 0 {
            return None;
        }
        let inner = self.resolve_element(element, &mut types)?;
        let is_char = types.iter().any(|name| name == "char");
        let (kind, element_size) = match inner {
            Type::Int(int) if is_char && int.size == 1 => (FieldKind::CString, 1),
            Type::Array(_) => (FieldKind::Invalid, self.btf.resolve_size(element)? as usize),
            other => {
                let scalar = scalar_kind(&other)?;
                (FieldKind::Array(Scalar::of(scalar)?), Scalar::of(scalar)?.size())
            }
        };
        Some(Resolved {
            kind,
            size: len.checked_mul(element_size)?,
            types,
            composite: None,
            enumerators: None,
        })
    }

    fn resolve_element(&self, id: TypeId, types: &mut Vec<String>) -> Option<Type<'a>> {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            let ty = self.btf.type_by_id(id)?;
            note(&ty, types);
            id = match ty {
                Type::Typedef(typedef) => typedef.type_id,
                Type::Const(next) | Type::Volatile(next) | Type::Restrict(next) => next,
                Type::TypeTag(tag) => tag.type_id,
                _ => return Some(ty),
            };
        }
        None
    }
}

/// Adds the name of a type met on the way, if it has one.
fn note(ty: &Type<'_>, types: &mut Vec<String>) {
    if let Some(name) = ty.name().filter(|name| !name.is_empty() && name.len() <= MAX_NAME) {
        types.push(name.to_owned());
    }
}

/// Where a member lies in the record.
struct Extent {
    start: usize,
    end: usize,
    bits: Option<Bits>,
}

/// `None` for bit-fields that no compiler makes: wider than their type.
fn extent(member: &Member<'_>, base: usize, resolved: &Resolved<'_>) -> Option<Extent> {
    let start = base + member.bit_offset as usize / 8;
    if member.bitfield_size == 0 {
        return Some(Extent { start, end: start.checked_add(resolved.size)?, bits: None });
    }
    let (shift, len) = (member.bit_offset % 8, member.bitfield_size);
    if len as usize > resolved.size * 8 || len > 64 || Scalar::of(resolved.kind).is_none() {
        return None;
    }
    let bits = Bits { shift: u8::try_from(shift).ok()?, len: u8::try_from(len).ok()? };
    Some(Extent { start, end: start + (shift + len).div_ceil(8) as usize, bits: Some(bits) })
}

/// The field a type makes when it is not an array; `direct` says that no typedef or modifier stood before it.
fn plain(ty: Type<'_>, direct: bool, types: Vec<String>) -> Option<Resolved<'_>> {
    match ty {
        Type::Struct(composite) | Type::Union(composite) if direct => Some(Resolved {
            kind: FieldKind::Bytes,
            size: composite.size as usize,
            types,
            composite: Some(composite),
            enumerators: None,
        }),
        other => {
            let kind = scalar_kind(&other)?;
            let size = Scalar::of(kind)?.size();
            Some(Resolved { kind, size, types, composite: None, enumerators: None })
        }
    }
}

/// The kind of an int, bool, float or enum.
pub(crate) fn scalar_kind(ty: &Type<'_>) -> Option<FieldKind> {
    match ty {
        Type::Int(int) if int.is_bool => Some(FieldKind::Bool),
        Type::Int(int) if int.is_char => Some(FieldKind::Uint8),
        Type::Int(int) => FieldKind::integer(int.size as usize, int.signed),
        Type::Enum(enumeration) => FieldKind::integer(enumeration.size as usize, enumeration.signed),
        Type::Float(float) if float.size == 4 => Some(FieldKind::Float32),
        Type::Float(float) if float.size == 8 => Some(FieldKind::Float64),
        _ => None,
    }
}

/// The enumerators of the enum called `name`, if `btf` has one.
pub fn enumerators(btf: &Btf, name: &str) -> Option<Enumerators> {
    if name.is_empty() {
        return None;
    }
    btf.types_by_name(name).find_map(|(_, ty)| match ty {
        Type::Enum(enumeration) => Some(named_values(&enumeration)),
        _ => None,
    })
}

fn named_values(enumeration: &Enum<'_>) -> Enumerators {
    let width = u64::MAX >> (64 - 8 * u64::from(enumeration.size.clamp(1, 8)));
    let variants = enumeration
        .variants()
        .filter(|variant| variant.name.len() <= MAX_NAME)
        // Cut to the enum's own size, as the value in a record is.
        .map(|variant| {
            let bits = variant.value & i128::from(width);
            (variant.name.to_owned(), u64::try_from(bits).unwrap_or(width))
        })
        .collect();
    Enumerators { name: enumeration.name.to_owned(), variants }
}
