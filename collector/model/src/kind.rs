//! Kinds of field values, numbered as on the gRPC wire of the reference project.

/// What the bytes of one field mean.
///
/// # Shape
/// Scalars are in host byte order. [`FieldKind::CString`] ends at the first NUL or at the end of the field.
/// Arrays are consecutive elements.
/// # Source
/// Inspektor Gadget API, `Kind`; array kinds are the element kind with bit 28 set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Bytes without a known meaning.
    Invalid,
    /// One byte, 1 is true.
    Bool,
    /// Signed integer of 1 byte.
    Int8,
    /// Signed integer of 2 bytes.
    Int16,
    /// Signed integer of 4 bytes.
    Int32,
    /// Signed integer of 8 bytes.
    Int64,
    /// Unsigned integer of 1 byte.
    Uint8,
    /// Unsigned integer of 2 bytes.
    Uint16,
    /// Unsigned integer of 4 bytes.
    Uint32,
    /// Unsigned integer of 8 bytes.
    Uint64,
    /// IEEE 754 single.
    Float32,
    /// IEEE 754 double.
    Float64,
    /// UTF-8 text of variable length, made by an operator.
    String,
    /// Text up to the first NUL, as kernels write it.
    CString,
    /// Raw bytes.
    Bytes,
    /// Consecutive scalars of the given kind.
    Array(Scalar),
}

/// The element kinds an array field can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// See [`FieldKind::Bool`].
    Bool,
    /// Signed integer of 1, 2, 4 or 8 bytes.
    Int(u8),
    /// Unsigned integer of 1, 2, 4 or 8 bytes.
    Uint(u8),
    /// IEEE 754 number of 4 or 8 bytes.
    Float(u8),
}

impl FieldKind {
    /// The integer kind of `size` bytes, or `None` if there is none of that size.
    pub fn integer(size: usize, signed: bool) -> Option<Self> {
        Some(match (size, signed) {
            (1, true) => Self::Int8,
            (2, true) => Self::Int16,
            (4, true) => Self::Int32,
            (8, true) => Self::Int64,
            (1, false) => Self::Uint8,
            (2, false) => Self::Uint16,
            (4, false) => Self::Uint32,
            (8, false) => Self::Uint64,
            _ => return None,
        })
    }

    /// Whether the kind is a signed or unsigned integer.
    pub fn is_integer(self) -> bool {
        self.is_signed() || matches!(self, Self::Uint8 | Self::Uint16 | Self::Uint32 | Self::Uint64)
    }

    /// Whether the kind is a signed integer.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64)
    }

    /// Whether the kind is a floating point number.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// The word people read in messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::String | Self::CString => "string",
            Self::Bytes => "bytes",
            Self::Array(_) => "array",
        }
    }
}

impl Scalar {
    /// The element kind for a scalar field kind, if arrays of it exist.
    pub fn of(kind: FieldKind) -> Option<Self> {
        Some(match kind {
            FieldKind::Bool => Self::Bool,
            FieldKind::Int8 => Self::Int(1),
            FieldKind::Int16 => Self::Int(2),
            FieldKind::Int32 => Self::Int(4),
            FieldKind::Int64 => Self::Int(8),
            FieldKind::Uint8 => Self::Uint(1),
            FieldKind::Uint16 => Self::Uint(2),
            FieldKind::Uint32 => Self::Uint(4),
            FieldKind::Uint64 => Self::Uint(8),
            FieldKind::Float32 => Self::Float(4),
            FieldKind::Float64 => Self::Float(8),
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(size) | Self::Uint(size) | Self::Float(size) => usize::from(size),
        }
    }
}
