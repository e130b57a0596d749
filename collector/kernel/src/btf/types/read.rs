//! From the bytes of a record to its view.

use super::{
    Array, Composite, Datasec, DeclTag, Enum, Float, Func, FuncLinkage, FuncProto, Fwd, Int, Ptr, Type,
    TypeTag, Typedef, Var, VarLinkage,
};
use crate::btf::data::u32_at;
use crate::btf::header::{Kind, RawHeader};
use crate::btf::{Btf, TypeId};

impl<'a> Type<'a> {
    /// Reads the record at `at`.
    pub(in crate::btf) fn read(btf: &'a Btf, bytes: &'a [u8], at: usize) -> Option<Self> {
        let header = RawHeader::read(bytes, at)?;
        let kind = header.kind()?;
        let start = at + RawHeader::LEN;
        let tail = bytes.get(start..start + kind.tail_len(header.vlen()))?;
        let name = btf.name(header.name_offset);
        let size = header.size_or_type;
        let type_id = TypeId(header.size_or_type);
        let word = |at| u32_at(tail, at);
        let composite = || Composite { name, size, btf, tail, kind_flag: header.kind_flag() };
        Some(match kind {
            Kind::Void => return None,
            Kind::Int => {
                let [bits, _, offset, encoding] = word(0)?.to_le_bytes();
                Self::Int(Int {
                    name,
                    size,
                    bits,
                    offset,
                    signed: encoding & 1 != 0,
                    is_char: encoding & 2 != 0,
                    is_bool: encoding & 4 != 0,
                })
            }
            Kind::Ptr => Self::Ptr(Ptr { type_id }),
            Kind::Array => {
                Self::Array(Array { element: TypeId(word(0)?), index: TypeId(word(4)?), len: word(8)? })
            }
            Kind::Struct => Self::Struct(composite()),
            Kind::Union => Self::Union(composite()),
            Kind::Enum | Kind::Enum64 => {
                let wide = kind == Kind::Enum64;
                Self::Enum(Enum { name, size, signed: header.kind_flag(), wide, btf, tail })
            }
            Kind::Fwd => Self::Fwd(Fwd { name, is_union: header.kind_flag() }),
            Kind::Typedef => Self::Typedef(Typedef { name, type_id }),
            Kind::Volatile => Self::Volatile(type_id),
            Kind::Const => Self::Const(type_id),
            Kind::Restrict => Self::Restrict(type_id),
            Kind::Func => {
                let linkage = match header.info & 0xffff {
                    0 => FuncLinkage::Static,
                    1 => FuncLinkage::Global,
                    2 => FuncLinkage::Extern,
                    _ => FuncLinkage::Unknown(u16::try_from(header.vlen()).unwrap_or(u16::MAX)),
                };
                Self::Func(Func { name, type_id, linkage })
            }
            Kind::FuncProto => Self::FuncProto(FuncProto { returns: type_id, btf, tail }),
            Kind::Var => {
                let linkage = match word(0)? {
                    0 => VarLinkage::Static,
                    1 => VarLinkage::GlobalAllocated,
                    2 => VarLinkage::GlobalExtern,
                    other => VarLinkage::Unknown(other),
                };
                Self::Var(Var { name, type_id, linkage })
            }
            Kind::Datasec => Self::Datasec(Datasec { name, size, tail }),
            Kind::Float => Self::Float(Float { name, size }),
            Kind::DeclTag => Self::DeclTag(DeclTag { name, type_id, component: word(0)? as i32 }),
            Kind::TypeTag => Self::TypeTag(TypeTag { name, type_id }),
        })
    }
}
