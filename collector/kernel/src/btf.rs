//! BTF (BPF Type Format) read in place.
//!
//! Why it exists: three parts need the kernel's and the gadgets' types (relocation, data-source layouts, feature
//! probes), and the kernel's own BTF has more than a hundred thousand of them. So a [`Btf`] is one shared block of
//! bytes plus four bytes per type; every [`Type`] is a small view that borrows from it.
//!
//! Invariants: after [`Btf::parse`] each type record lies inside the block, has a known kind and a readable name. Ids
//! that one type gives for another are *not* checked at parse time: [`Btf::type_by_id`] answers `None` for a stray one,
//! and every walk has a depth limit, so cycles in hostile BTF end.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

mod data;
mod header;
mod index;
mod modules;
mod resolve;
mod types;
mod vmlinux;

#[cfg(test)]
mod tests;

pub use header::Kind;
pub use index::essential_name;
pub use modules::{FOLDER, module, module_names};
pub use resolve::MAX_DEPTH;
pub use types::{
    Array, Composite, Datasec, DeclTag, Enum, Float, Func, FuncLinkage, FuncProto, Fwd, Int, Member, Members,
    Param, Params, Ptr, Type, TypeTag, Typedef, Var, VarLinkage, VarSecinfo, VarSecinfos, Variant, Variants,
};
pub use vmlinux::{VMLINUX_PATH, vmlinux};

use data::{Data, u16_at, u32_at};
use header::RawHeader;
use index::NameIndex;

const MAGIC: u16 = 0xeb9f;
/// Length of the fixed part of the BTF header, the least that version 1 allows.
const HEADER_LEN: usize = 24;
/// More type records than this in one block are refused; the largest kernels have a tenth of it.
const MAX_TYPES: u32 = 2_000_000;

/// The number of a type within a [`Btf`] and its base. Zero is `void`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The id of `void`.
    pub const VOID: Self = Self(0);
}

impl std::fmt::Display for TypeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// Why a block of bytes is not usable BTF.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The block ends before the part named.
    #[error("BTF is truncated: {0} lies outside its {1} bytes")]
    Truncated(&'static str, usize),
    /// The first two bytes are not the BTF magic number.
    #[error("BTF starts with {0:#06x} instead of 0xeb9f")]
    Magic(u16),
    /// The block was made for a machine of the other byte order.
    #[error("BTF has the other byte order than this machine")]
    ByteOrder,
    /// A version this reader does not know.
    #[error("BTF version {0} is not known (1 is)")]
    Version(u8),
    /// A type record of a kind this reader does not know, so its length is unknown too.
    #[error("BTF type {id} has the unknown kind {kind}")]
    UnknownKind {
        /// The offending type.
        id: TypeId,
        /// Its kind number.
        kind: u8,
    },
    /// A name offset outside the string section, or a name that is not UTF-8.
    #[error("BTF type {id} has no readable name at string offset {offset}")]
    Name {
        /// The offending type.
        id: TypeId,
        /// Its name offset.
        offset: u32,
    },
    /// More types than any real BTF has.
    #[error("BTF has more than {MAX_TYPES} types")]
    TooMany,
    /// The file that holds the BTF could not be read.
    #[error("failed to read BTF from `{path}`")]
    Read {
        /// Its path.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A parsed block of BTF, alone or on top of a base (the BTF of a kernel module rests on that of vmlinux).
///
/// # Shape
/// Host byte order, version 1. Ids and string offsets below those of the base are answered by the base.
pub struct Btf {
    data: Data,
    strings: Range<usize>,
    /// Where each own type record starts, counted from the start of the block.
    offsets: Vec<u32>,
    /// Id of the first own type: 1 without a base.
    first_id: u32,
    /// Offset of the first own string: 0 without a base.
    first_string: u32,
    base: Option<Arc<Btf>>,
    index: OnceLock<NameIndex>,
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf")
            .field("bytes", &self.data.bytes().len())
            .field("types", &self.offsets.len())
            .field("first_id", &self.first_id)
            .finish_non_exhaustive()
    }
}

impl Btf {
    /// Parses a block of BTF; `base` is what its low ids and strings refer to.
    ///
    /// # Errors
    /// Any [`BtfError`] but [`BtfError::Read`]. Takes time and memory linear in the block.
    pub fn parse(bytes: impl Into<Arc<[u8]>>, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        Self::parse_data(Data::Heap(bytes.into()), base)
    }

    /// Parses the BTF in a file (raw BTF, as under `/sys/kernel/btf`), mapped where the file allows it.
    ///
    /// # Errors
    /// [`BtfError::Read`] when the file cannot be read, else as [`Btf::parse`].
    pub fn from_file(path: &str, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        let data =
            Data::from_file(path).map_err(|source| BtfError::Read { path: path.to_owned(), source })?;
        Self::parse_data(data, base)
    }

    fn parse_data(data: Data, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        let bytes = data.bytes();
        let truncated = |part| BtfError::Truncated(part, bytes.len());
        let magic = u16_at(bytes, 0).ok_or(truncated("the header"))?;
        if magic == MAGIC.swap_bytes() {
            return Err(BtfError::ByteOrder);
        }
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let version = *bytes.get(2).ok_or(truncated("the header"))?;
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let word = |at| u32_at(bytes, at).map(|value| value as usize).ok_or(truncated("the header"));
        let header_len = word(4)?;
        if header_len < HEADER_LEN {
            return Err(truncated("the header"));
        }
        let section = |offset: usize, len: usize| {
            let start = header_len.checked_add(offset)?;
            let end = start.checked_add(len)?;
            (end <= bytes.len() && u32::try_from(end).is_ok()).then_some(start..end)
        };
        let types = section(word(8)?, word(12)?).ok_or(truncated("the type section"))?;
        let strings = section(word(16)?, word(20)?).ok_or(truncated("the string section"))?;
        // The empty name is the string at offset 0.
        if base.is_none() && bytes.get(strings.start).is_some_and(|first| *first != 0) && !strings.is_empty()
        {
            return Err(BtfError::Name { id: TypeId::VOID, offset: 0 });
        }
        let (first_id, first_string) =
            base.as_ref().map_or((1, 0), |base| (base.next_id(), base.next_string()));

        let mut btf =
            Self { strings, offsets: Vec::new(), first_id, first_string, base, index: OnceLock::new(), data };
        btf.offsets = btf.walk(types)?;
        Ok(btf)
    }

    /// Finds the start of every type record and checks what [`Type`] views rely on.
    fn walk(&self, types: Range<usize>) -> Result<Vec<u32>, BtfError> {
        let bytes = self.data.bytes();
        let truncated = || BtfError::Truncated("a type record", bytes.len());
        let own_strings =
            bytes.get(self.strings.clone()).ok_or(BtfError::Truncated("strings", bytes.len()))?;
        // Checking all names at once is far cheaper than one by one; line texts from odd source files are the
        // reason why the slow way exists.
        let clean =
            std::str::from_utf8(own_strings).is_ok() && own_strings.last().is_none_or(|last| *last == 0);
        // Types average 43 bytes in vmlinux; an allocation that fits spares copies of a large vector.
        let mut offsets = Vec::with_capacity(types.len() / 40);
        let mut at = types.start;
        while at < types.end {
            let own =
                u32::try_from(offsets.len()).ok().filter(|own| *own < MAX_TYPES).ok_or(BtfError::TooMany)?;
            let id = TypeId(self.first_id.saturating_add(own));
            let header = RawHeader::read(bytes, at).ok_or_else(truncated)?;
            let kind = header.kind().ok_or(BtfError::UnknownKind { id, kind: header.kind_number() })?;
            let readable = if clean {
                header.name_offset < self.next_string()
            } else {
                self.string(header.name_offset).is_some()
            };
            if !readable {
                return Err(BtfError::Name { id, offset: header.name_offset });
            }
            offsets.push(u32::try_from(at).ok().ok_or_else(truncated)?);
            at += RawHeader::LEN + kind.tail_len(header.vlen());
            if at > types.end {
                return Err(truncated());
            }
        }
        offsets.shrink_to_fit();
        Ok(offsets)
    }

    /// One past the highest id: the number of types, `void` and the base's included.
    pub fn next_id(&self) -> u32 {
        // `walk` limits the count far below the range of u32.
        self.first_id.saturating_add(u32::try_from(self.offsets.len()).unwrap_or(u32::MAX))
    }

    /// Whether a type is of this block and not of its base.
    pub fn owns(&self, id: TypeId) -> bool {
        (self.first_id..self.next_id()).contains(&id.0)
    }

    /// The BTF that low ids refer to.
    pub fn base(&self) -> Option<&Arc<Self>> {
        self.base.as_ref()
    }

    /// The whole block, header included, as it was parsed.
    pub fn as_bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// Where the record of an own type starts within [`Btf::as_bytes`].
    pub fn record_offset(&self, id: TypeId) -> Option<usize> {
        let own = id.0.checked_sub(self.first_id)?;
        self.offsets.get(own as usize).map(|offset| *offset as usize)
    }

    /// The string at an offset of the string section.
    pub fn string(&self, offset: u32) -> Option<&str> {
        std::str::from_utf8(self.string_bytes(offset)?).ok()
    }

    fn string_bytes(&self, offset: u32) -> Option<&[u8]> {
        let tail = self.string_from(offset)?;
        let end = tail.iter().position(|byte| *byte == 0)?;
        tail.get(..end)
    }

    /// The strings from this offset on.
    #[inline]
    fn string_from(&self, offset: u32) -> Option<&[u8]> {
        let Some(own) = offset.checked_sub(self.first_string) else {
            return self.base.as_ref()?.string_from(offset);
        };
        self.data.bytes().get(self.strings.clone())?.get(own as usize..)
    }

    /// The view of a type; `None` when no such id exists.
    pub fn type_by_id(&self, id: TypeId) -> Option<Type<'_>> {
        if id == TypeId::VOID {
            return Some(Type::Void);
        }
        if id.0 < self.first_id {
            return self.base.as_ref()?.type_by_id(id);
        }
        let at = self.record_offset(id)?;
        Type::read(self, self.data.bytes(), at)
    }

    /// Own types in id order, without `void` and without the base's.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'_>)> {
        (self.first_id..self.next_id()).map(TypeId).filter_map(|id| Some((id, self.type_by_id(id)?)))
    }

    /// The types with exactly this name, the base's first, in id order.
    pub fn types_by_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (TypeId, Type<'a>)> {
        self.types_by_essential_name(essential_name(name)).filter(move |(_, ty)| ty.name() == Some(name))
    }

    /// The first type with this name and kind.
    pub fn type_by_name(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.types_by_name(name).find(|(_, ty)| ty.kind() == kind).map(|(id, _)| id)
    }

    /// The types whose name without its `___flavour` is `name`, the base's first.
    pub fn types_by_essential_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (TypeId, Type<'a>)> {
        let base = self.base.as_deref().map(|base| base.own_by_essential_name(name));
        base.into_iter().flatten().chain(self.own_by_essential_name(name))
    }

    fn own_by_essential_name<'a>(
        &'a self,
        name: &'a str,
    ) -> Box<dyn Iterator<Item = (TypeId, Type<'a>)> + 'a> {
        let index = self.index.get_or_init(|| NameIndex::build(self));
        let candidates = index.candidates(name).iter().map(|id| TypeId(*id));
        Box::new(candidates.filter_map(move |id| {
            let ty = self.type_by_id(id)?;
            (essential_name(ty.name()?) == name).then_some((id, ty))
        }))
    }

    fn next_string(&self) -> u32 {
        self.first_string.saturating_add(u32::try_from(self.strings.len()).unwrap_or(u32::MAX))
    }
}
