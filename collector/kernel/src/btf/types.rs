//! Views of single type records.

mod read;

use super::data::u32_at;
use super::header::Kind;
use super::{Btf, TypeId};

/// A type, as a view into its [`Btf`]. `ENUM64` reads as [`Type::Enum`] of size 8.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of the format; the payloads are documented")]
pub enum Type<'a> {
    Void,
    Int(Int<'a>),
    Ptr(Ptr),
    Array(Array),
    Struct(Composite<'a>),
    Union(Composite<'a>),
    Enum(Enum<'a>),
    Fwd(Fwd<'a>),
    Typedef(Typedef<'a>),
    Volatile(TypeId),
    Const(TypeId),
    Restrict(TypeId),
    Func(Func<'a>),
    FuncProto(FuncProto<'a>),
    Var(Var<'a>),
    Datasec(Datasec<'a>),
    Float(Float<'a>),
    DeclTag(DeclTag<'a>),
    TypeTag(TypeTag<'a>),
}

/// An integer, a `bool` or a `char`.
#[derive(Clone, Copy, Debug)]
pub struct Int<'a> {
    /// Name, such as `unsigned int`.
    pub name: &'a str,
    /// Size in bytes.
    pub size: u32,
    /// Bits used; less than eight times `size` for old-style bit-fields.
    pub bits: u8,
    /// First bit used, counted from the start.
    pub offset: u8,
    /// Whether the highest bit is the sign.
    pub signed: bool,
    /// Whether it is `_Bool`.
    pub is_bool: bool,
    /// Whether it is marked as text. Compilers rarely set it: look at the name too.
    pub is_char: bool,
}

/// A pointer.
#[derive(Clone, Copy, Debug)]
pub struct Ptr {
    /// What it points to.
    pub type_id: TypeId,
}

/// An array.
#[derive(Clone, Copy, Debug)]
pub struct Array {
    /// Type of the elements.
    pub element: TypeId,
    /// Type of the index.
    pub index: TypeId,
    /// Number of elements; 0 for flexible arrays.
    pub len: u32,
}

/// A struct or a union.
#[derive(Clone, Copy, Debug)]
pub struct Composite<'a> {
    /// Name; empty when anonymous.
    pub name: &'a str,
    /// Size in bytes.
    pub size: u32,
    btf: &'a Btf,
    tail: &'a [u8],
    kind_flag: bool,
}

impl<'a> Composite<'a> {
    /// Its members in order of declaration.
    pub fn members(&self) -> Members<'a> {
        Members { btf: self.btf, tail: self.tail, kind_flag: self.kind_flag }
    }

    /// How many members it has.
    pub fn member_count(&self) -> usize {
        self.tail.len() / 12
    }

    /// One member by its position.
    pub fn member(&self, index: usize) -> Option<Member<'a>> {
        let tail = self.tail.get(index.checked_mul(12)?..)?;
        Members { btf: self.btf, tail, kind_flag: self.kind_flag }.next()
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Name; empty for anonymous structs and unions.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// First bit, counted from the start of the struct.
    pub bit_offset: u32,
    /// Bits of a bit-field; 0 for ordinary members.
    pub bitfield_size: u32,
}

/// Iterator over [`Member`]s.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    btf: &'a Btf,
    tail: &'a [u8],
    kind_flag: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let (record, rest) = self.tail.split_at_checked(12)?;
        self.tail = rest;
        let offset = u32_at(record, 8)?;
        let (bit_offset, bitfield_size) =
            if self.kind_flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
        Some(Member {
            name: self.btf.name(u32_at(record, 0)?),
            type_id: TypeId(u32_at(record, 4)?),
            bit_offset,
            bitfield_size,
        })
    }
}

/// An enumeration of 1, 2, 4 or 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Enum<'a> {
    /// Name; empty when anonymous.
    pub name: &'a str,
    /// Size in bytes.
    pub size: u32,
    /// Whether values are signed.
    pub signed: bool,
    /// Whether the record is of the 64-bit kind, whatever its size says.
    pub wide: bool,
    btf: &'a Btf,
    tail: &'a [u8],
}

impl<'a> Enum<'a> {
    /// Its values in order of declaration.
    pub fn variants(&self) -> Variants<'a> {
        Variants { btf: self.btf, tail: self.tail, signed: self.signed, wide: self.wide }
    }
}

/// One value of an enumeration.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; the range covers signed and unsigned 64-bit values.
    pub value: i128,
}

/// Iterator over [`Variant`]s.
#[derive(Clone, Debug)]
pub struct Variants<'a> {
    btf: &'a Btf,
    tail: &'a [u8],
    signed: bool,
    wide: bool,
}

impl<'a> Iterator for Variants<'a> {
    type Item = Variant<'a>;

    fn next(&mut self) -> Option<Variant<'a>> {
        let (record, rest) = self.tail.split_at_checked(if self.wide { 12 } else { 8 })?;
        self.tail = rest;
        let low = u32_at(record, 4)?;
        let value = match (self.wide, self.signed) {
            (false, false) => i128::from(low),
            (false, true) => i128::from(low as i32),
            (true, signed) => {
                let whole = u64::from(u32_at(record, 8)?) << 32 | u64::from(low);
                if signed { i128::from(whole as i64) } else { i128::from(whole) }
            }
        };
        Some(Variant { name: self.btf.name(u32_at(record, 0)?), value })
    }
}

/// A struct or union that is declared but not defined.
#[derive(Clone, Copy, Debug)]
pub struct Fwd<'a> {
    /// Name.
    pub name: &'a str,
    /// Whether it is a union.
    pub is_union: bool,
}

/// A typedef.
#[derive(Clone, Copy, Debug)]
pub struct Typedef<'a> {
    /// Name.
    pub name: &'a str,
    /// What it stands for.
    pub type_id: TypeId,
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Func<'a> {
    /// Name.
    pub name: &'a str,
    /// Its prototype.
    pub type_id: TypeId,
    /// Its visibility.
    pub linkage: FuncLinkage,
}

/// Visibility of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "C words")]
pub enum FuncLinkage {
    Static,
    Global,
    Extern,
    Unknown(u16),
}

/// A function prototype.
#[derive(Clone, Copy, Debug)]
pub struct FuncProto<'a> {
    /// Type of the return value.
    pub returns: TypeId,
    btf: &'a Btf,
    tail: &'a [u8],
}

impl<'a> FuncProto<'a> {
    /// Its parameters; variadic functions end with one of no name and type `void`.
    pub fn params(&self) -> Params<'a> {
        Params { btf: self.btf, tail: self.tail }
    }
}

/// A parameter of a prototype.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    /// Name; may be empty.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
}

/// Iterator over [`Param`]s.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    btf: &'a Btf,
    tail: &'a [u8],
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let (record, rest) = self.tail.split_at_checked(8)?;
        self.tail = rest;
        Some(Param { name: self.btf.name(u32_at(record, 0)?), type_id: TypeId(u32_at(record, 4)?) })
    }
}

/// A variable.
#[derive(Clone, Copy, Debug)]
pub struct Var<'a> {
    /// Name.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// Its visibility.
    pub linkage: VarLinkage,
}

/// Visibility of a variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "C words")]
pub enum VarLinkage {
    Static,
    GlobalAllocated,
    GlobalExtern,
    Unknown(u32),
}

/// A data section.
#[derive(Clone, Copy, Debug)]
pub struct Datasec<'a> {
    /// Section name, such as `.maps`.
    pub name: &'a str,
    /// Size in bytes; compilers leave it 0 in unlinked objects.
    pub size: u32,
    tail: &'a [u8],
}

impl<'a> Datasec<'a> {
    /// Its variables.
    pub fn variables(&self) -> VarSecinfos<'a> {
        VarSecinfos { tail: self.tail }
    }
}

/// Where a variable lies in its section.
#[derive(Clone, Copy, Debug)]
pub struct VarSecinfo {
    /// The [`Type::Var`], or a [`Type::Func`] in `.ksyms`.
    pub type_id: TypeId,
    /// Offset in bytes; compilers leave it 0 in unlinked objects.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// Iterator over [`VarSecinfo`]s.
#[derive(Clone, Debug)]
pub struct VarSecinfos<'a> {
    tail: &'a [u8],
}

impl Iterator for VarSecinfos<'_> {
    type Item = VarSecinfo;

    fn next(&mut self) -> Option<VarSecinfo> {
        let (record, rest) = self.tail.split_at_checked(12)?;
        self.tail = rest;
        Some(VarSecinfo {
            type_id: TypeId(u32_at(record, 0)?),
            offset: u32_at(record, 4)?,
            size: u32_at(record, 8)?,
        })
    }
}

/// A floating-point number.
#[derive(Clone, Copy, Debug)]
pub struct Float<'a> {
    /// Name.
    pub name: &'a str,
    /// Size in bytes.
    pub size: u32,
}

/// An attribute of a declaration.
#[derive(Clone, Copy, Debug)]
pub struct DeclTag<'a> {
    /// Text of the attribute.
    pub name: &'a str,
    /// What it is attached to.
    pub type_id: TypeId,
    /// Member or parameter it is attached to; -1 for the whole.
    pub component: i32,
}

/// An attribute of a type.
#[derive(Clone, Copy, Debug)]
pub struct TypeTag<'a> {
    /// Text of the attribute.
    pub name: &'a str,
    /// The type it is attached to.
    pub type_id: TypeId,
}

impl<'a> Type<'a> {
    /// The kind of the record.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Void => Kind::Void,
            Self::Int(_) => Kind::Int,
            Self::Ptr(_) => Kind::Ptr,
            Self::Array(_) => Kind::Array,
            Self::Struct(_) => Kind::Struct,
            Self::Union(_) => Kind::Union,
            Self::Enum(Enum { wide: false, .. }) => Kind::Enum,
            Self::Enum(Enum { wide: true, .. }) => Kind::Enum64,
            Self::Fwd(_) => Kind::Fwd,
            Self::Typedef(_) => Kind::Typedef,
            Self::Volatile(_) => Kind::Volatile,
            Self::Const(_) => Kind::Const,
            Self::Restrict(_) => Kind::Restrict,
            Self::Func(_) => Kind::Func,
            Self::FuncProto(_) => Kind::FuncProto,
            Self::Var(_) => Kind::Var,
            Self::Datasec(_) => Kind::Datasec,
            Self::Float(_) => Kind::Float,
            Self::DeclTag(_) => Kind::DeclTag,
            Self::TypeTag(_) => Kind::TypeTag,
        }
    }

    /// The name, empty for anonymous types; `None` for kinds that cannot have one.
    pub fn name(&self) -> Option<&'a str> {
        match self {
            Self::Int(Int { name, .. })
            | Self::Struct(Composite { name, .. })
            | Self::Union(Composite { name, .. })
            | Self::Enum(Enum { name, .. })
            | Self::Fwd(Fwd { name, .. })
            | Self::Typedef(Typedef { name, .. })
            | Self::Func(Func { name, .. })
            | Self::Var(Var { name, .. })
            | Self::Datasec(Datasec { name, .. })
            | Self::Float(Float { name, .. })
            | Self::DeclTag(DeclTag { name, .. })
            | Self::TypeTag(TypeTag { name, .. }) => Some(name),
            Self::Void
            | Self::Ptr(_)
            | Self::Array(_)
            | Self::Volatile(_)
            | Self::Const(_)
            | Self::Restrict(_)
            | Self::FuncProto(_) => None,
        }
    }

    /// The struct or union behind this view.
    pub fn as_composite(&self) -> Option<Composite<'a>> {
        match self {
            Self::Struct(composite) | Self::Union(composite) => Some(*composite),
            _ => None,
        }
    }
}

impl Btf {
    /// The string at an offset, empty when there is none: names of types were checked by `parse`, those of members
    /// and values are hostile and read as anonymous when they are stray.
    fn name(&self, offset: u32) -> &str {
        self.string(offset).unwrap_or_default()
    }
}
