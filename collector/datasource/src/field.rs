//! One field of a record: where its bytes are and how to read them.

use std::{collections::BTreeMap, sync::Arc};

use ig_model::FieldKind;

/// A field of a data source.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name of the member alone, `comm`.
    pub name: String,
    /// Dotted name from the record's root, `proc.comm`; unique in a data source.
    pub full_name: String,
    /// What the bytes mean.
    pub kind: FieldKind,
    /// First byte in the record.
    pub offset: usize,
    /// Length in bytes.
    pub size: usize,
    /// Index of the aggregate this field is a member of.
    pub parent: Option<usize>,
    /// Every type name met while resolving the member's type, outermost first (`gadget_errno`, `__u32`, …).
    pub types: Vec<String>,
    /// Whether the field is part of a map's key.
    pub role_key: bool,
    /// Which bits of its bytes a bit-field is; `None` for whole values.
    pub bits: Option<Bits>,
    /// The enumerators, when the member is directly an enum.
    pub enumerators: Option<Arc<Enumerators>>,
    /// Annotations: templates, then the gadget's metadata, then the user's.
    pub annotations: BTreeMap<String, String>,
    /// Tags that the gadget's metadata adds to those of [`Field::tags`].
    pub extra_tags: Vec<String>,
}

/// The place of a bit-field within the bytes that hold it, read as one little-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Bits below it, 0 to 7.
    pub shift: u8,
    /// Its own bits, 1 to 64.
    pub len: u8,
}

/// The named values of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumerators {
    /// Name of the enum; one that ends in `_set` is a bit set.
    pub name: String,
    /// Name and value of each enumerator, in order of declaration.
    pub variants: Vec<(String, u64)>,
}

/// A scalar read from a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// From an unsigned integer or bool.
    Unsigned(u64),
    /// From a signed integer.
    Signed(i64),
    /// From a float.
    Float(f64),
}

impl Field {
    /// A field at the root of a record, without types and annotations.
    pub fn new(name: &str, kind: FieldKind, offset: usize, size: usize) -> Self {
        Self {
            name: name.to_owned(),
            full_name: name.to_owned(),
            kind,
            offset,
            size,
            parent: None,
            types: Vec::new(),
            role_key: false,
            bits: None,
            enumerators: None,
            annotations: BTreeMap::new(),
            extra_tags: Vec::new(),
        }
    }

    /// Every tag of the field: its types, its name, where it comes from, its role, and those of the metadata.
    pub fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.types.iter().map(|name| format!("type:{name}")).collect();
        tags.push(format!("name:{}", self.name));
        tags.push("src:ebpf".to_owned());
        if self.role_key {
            tags.push("role:key".to_owned());
        }
        tags.extend(self.extra_tags.iter().cloned());
        tags
    }

    /// Whether the field's type, or a typedef on the way to it, is called `name`.
    pub fn has_type(&self, name: &str) -> bool {
        self.types.iter().any(|known| known == name)
    }

    /// The field's bytes, or `None` if the record ends before them.
    pub fn bytes<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        record.get(self.offset..self.offset.checked_add(self.size)?)
    }

    /// The field as a number, or `None` if it is none or the record is too short.
    pub fn number(&self, record: &[u8]) -> Option<Number> {
        let bytes = self.bytes(record)?;
        match self.bits {
            Some(bits) => Number::read_bits(self.kind, bits, bytes),
            None => Number::read(self.kind, bytes),
        }
    }

    /// The text before the first NUL.
    pub fn c_string<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        self.bytes(record).map(until_nul)
    }
}

impl Number {
    /// Reads a scalar of `kind` in host byte order from all of `bytes`.
    pub fn read(kind: FieldKind, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            FieldKind::Bool => Self::Unsigned(u64::from(*bytes.first()? == 1)),
            FieldKind::Uint8 => Self::Unsigned(u64::from(*bytes.first()?)),
            FieldKind::Uint16 => Self::Unsigned(u64::from(u16::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Uint32 => Self::Unsigned(u64::from(u32::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Uint64 => Self::Unsigned(u64::from_ne_bytes(bytes.try_into().ok()?)),
            FieldKind::Int8 => Self::Signed(i64::from(i8::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Int16 => Self::Signed(i64::from(i16::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Int32 => Self::Signed(i64::from(i32::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Int64 => Self::Signed(i64::from_ne_bytes(bytes.try_into().ok()?)),
            FieldKind::Float32 => Self::Float(f64::from(f32::from_ne_bytes(bytes.try_into().ok()?))),
            FieldKind::Float64 => Self::Float(f64::from_ne_bytes(bytes.try_into().ok()?)),
            FieldKind::Invalid
            | FieldKind::String
            | FieldKind::CString
            | FieldKind::Bytes
            | FieldKind::Array(_) => return None,
        })
    }

    /// Reads a bit-field of an integer or bool `kind` from the bytes that hold it.
    pub fn read_bits(kind: FieldKind, bits: Bits, bytes: &[u8]) -> Option<Self> {
        // Nine bytes at most: seven bits below it and 64 of its own.
        let (mut low, mut high) = ([0; 8], [0; 8]);
        let (first, second) = bytes.split_at(bytes.len().min(8));
        low.get_mut(..first.len())?.copy_from_slice(first);
        high.get_mut(..second.len())?.copy_from_slice(second);
        let end = usize::from(bits.shift) + usize::from(bits.len);
        if end > bytes.len() * 8 || bits.shift > 7 || !(1..=64).contains(&bits.len) {
            return None;
        }
        let unused = 64 - u32::from(bits.len);
        // Moved to the top first, so that the sign follows on the way down.
        let (low, high) = (u64::from_le_bytes(low), u64::from_le_bytes(high));
        let carried = high.checked_shl(64 - u32::from(bits.shift)).unwrap_or(0);
        let top = (low.checked_shr(bits.shift.into()).unwrap_or(0) | carried) << unused;
        match kind {
            FieldKind::Bool => Some(Self::Unsigned(u64::from(top != 0))),
            kind if kind.is_signed() => Some(Self::Signed((top as i64) >> unused)),
            kind if kind.is_integer() => Some(Self::Unsigned(top >> unused)),
            _ => None,
        }
    }

    /// The number as a float, rounded where 53 bits do not hold it.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// The part of `bytes` before the first NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(kind: FieldKind, offset: usize, size: usize) -> Field {
        Field::new("f", kind, offset, size)
    }

    /// Scenario: records of any length, fields at any offset, including ones that overflow `usize`.
    /// Guarantees: reading never panics, and a field beyond the record reads as nothing.
    #[test]
    fn reading_outside_the_record_is_none() {
        proptest!(|(record in proptest::collection::vec(any::<u8>(), 0..64), offset in any::<usize>(), size in 0_usize..16)| {
            for kind in [FieldKind::Uint8, FieldKind::Int32, FieldKind::Uint64, FieldKind::Float64, FieldKind::CString] {
                let field = field(kind, offset, size);
                let inside = offset.checked_add(size).is_some_and(|end| end <= record.len());
                prop_assert_eq!(field.bytes(&record).is_some(), inside);
                let _ = field.number(&record);
            }
        });
    }

    /// Scenario: the same eight bytes read as different kinds.
    /// Guarantees: sign and width follow the kind.
    #[test]
    fn numbers_follow_their_kind() {
        let record = (-2_i64).to_ne_bytes();
        assert_eq!(field(FieldKind::Int64, 0, 8).number(&record), Some(Number::Signed(-2)));
        assert_eq!(field(FieldKind::Uint64, 0, 8).number(&record), Some(Number::Unsigned(u64::MAX - 1)));
        assert_eq!(field(FieldKind::Uint64, 0, 4).number(&record), None);
        assert_eq!(field(FieldKind::Bool, 0, 1).number(&[1]), Some(Number::Unsigned(1)));
        assert_eq!(field(FieldKind::Bool, 0, 1).number(&[2]), Some(Number::Unsigned(0)));
    }
}
