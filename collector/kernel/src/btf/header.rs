//! What every type record starts with.

use super::data::u32_at;

/// The kind of a type record, numbered as in the format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the format: BTF_KIND_INT and so on")]
pub enum Kind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    Datasec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Bytes that follow the common part of the record.
    pub(super) fn tail_len(self, vlen: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => vlen * 12,
            Self::Enum | Self::FuncProto => vlen * 8,
            _ => 0,
        }
    }
}

/// The twelve bytes that every record starts with.
pub(super) struct RawHeader {
    pub(super) name_offset: u32,
    pub(super) info: u32,
    /// Size in bytes or id of another type, by kind.
    pub(super) size_or_type: u32,
}

impl RawHeader {
    pub(super) const LEN: usize = 12;

    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let record = bytes.get(at..)?.first_chunk::<{ Self::LEN }>()?;
        Some(Self {
            name_offset: u32_at(record, 0)?,
            info: u32_at(record, 4)?,
            size_or_type: u32_at(record, 8)?,
        })
    }

    pub(super) fn kind_number(&self) -> u8 {
        (self.info >> 24) as u8 & 0x1f
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind_number())
    }

    pub(super) fn vlen(&self) -> usize {
        (self.info & 0xffff) as usize
    }

    pub(super) fn kind_flag(&self) -> bool {
        self.info >> 31 == 1
    }
}
