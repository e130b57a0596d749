//! ELF files: segments, symbols, build id, and where the rest of them is.
//!
//! A file is read piece by piece, each piece at most once, all pieces together up to a limit. Offsets and sizes are the
//! file's own claims: what lies beyond its end or the limit is an error, not an allocation.

use std::{
    borrow::Cow,
    cell::Cell,
    io::{Read, Seek},
    ops::Range,
};

use gimli::DwarfSections;
use object::{
    Endianness, ReadCache, ReadRef,
    elf::{
        ELFCLASS32, ELFCOMPRESS_ZLIB, ET_EXEC, FileHeader32, FileHeader64, PT_LOAD, SHT_DYNSYM, SHT_NOBITS,
        SHT_NOTE, SHT_SYMTAB, STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_GNU_IFUNC,
    },
    read::elf::{
        CompressionHeader as _, FileHeader, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _,
    },
};
use thiserror::Error;

use crate::{
    dwarf::{self, Functions},
    table::{Builder, SymbolTable},
};

/// Bytes read of one file.
const MAX_READ: u64 = 128 << 20;
/// Bytes of debug information of one file once they are unpacked.
const MAX_DWARF: u64 = 96 << 20;
/// Bytes of the longest record of abbreviations; each entry of the debug information is decoded by one.
const MAX_ABBREVIATIONS: u64 = 8 << 20;
/// Sections and segments looked at.
const MAX_HEADERS: usize = 4096;

/// What is wanted of a file beyond its symbols.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    /// The functions of its debug information.
    pub(crate) functions: bool,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Elf {
    /// What of the file goes where in memory.
    pub(crate) segments: Vec<Segment>,
    /// Whether its addresses are those of memory, without a base that differs from process to process.
    pub(crate) is_fixed: bool,
    /// Names of functions.
    pub(crate) symbols: SymbolTable,
    /// Whether it has more symbols than those for linking at run time.
    pub(crate) has_all_symbols: bool,
    /// Build id, empty if it has none.
    pub(crate) build_id: Vec<u8>,
    /// Name and checksum of the file with its debug information.
    pub(crate) debug_link: Option<(Vec<u8>, u32)>,
    /// Functions of the debug information.
    pub(crate) functions: Option<Functions>,
}

/// A part of the file that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Where it is in the file.
    pub(crate) file: Range<u64>,
    /// Its address, before a base is added.
    pub(crate) address: u64,
}

/// Why a file says nothing.
#[derive(Debug, Error)]
pub(crate) enum ElfError {
    /// No such format, or cut short.
    #[error("expected an ELF file, got another kind or a damaged one")]
    Malformed(#[source] object::Error),
    /// The first bytes cannot be read.
    #[error("the file cannot be read")]
    Unreadable,
}

impl From<object::Error> for ElfError {
    fn from(error: object::Error) -> Self {
        Self::Malformed(error)
    }
}

/// Reads of one file, up to a limit.
struct Capped<'a, S: Read + Seek> {
    cache: &'a ReadCache<S>,
    left: &'a Cell<u64>,
}

impl<S: Read + Seek> Copy for Capped<'_, S> {}

impl<S: Read + Seek> Clone for Capped<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Read + Seek> Capped<'_, S> {
    fn charge(self, size: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(size).ok_or(())?);
        Ok(())
    }
}

impl<S: Read + Seek> std::fmt::Debug for Capped<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capped").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a, S: Read + Seek> ReadRef<'a> for Capped<'a, S> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.charge(size)?;
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.charge(256)?;
        self.cache.read_bytes_at_until(range, delimiter)
    }
}

/// Reads a file.
///
/// # Errors
/// [`ElfError`]; a file that is damaged behind its headers gives what is whole.
pub(crate) fn read(source: impl Read + Seek, want: Want) -> Result<Elf, ElfError> {
    let cache = ReadCache::new(source);
    let left = Cell::new(MAX_READ);
    let data = Capped { cache: &cache, left: &left };
    let ident = data.read_bytes_at(0, 16).map_err(|()| ElfError::Unreadable)?;
    if ident.get(4) == Some(&ELFCLASS32) {
        parse::<FileHeader32<Endianness>, _>(data, want)
    } else {
        parse::<FileHeader64<Endianness>, _>(data, want)
    }
}

fn parse<'a, E, S>(data: Capped<'a, S>, want: Want) -> Result<Elf, ElfError>
where
    E: FileHeader<Endian = Endianness>,
    S: Read + Seek + 'a,
{
    let header = E::parse(data)?;
    let endian = header.endian()?;
    let loads = header.program_headers(endian, data)?.iter().take(MAX_HEADERS);
    let segments = loads
        .filter(|segment| segment.p_type(endian) == PT_LOAD)
        .map(|segment| {
            let start: u64 = segment.p_offset(endian).into();
            let size: u64 = segment.p_filesz(endian).into();
            Segment { file: start..start.saturating_add(size), address: segment.p_vaddr(endian).into() }
        })
        .collect();
    let mut elf = Elf { segments, is_fixed: header.e_type(endian) == ET_EXEC, ..Elf::default() };
    let Ok(sections) = header.sections(endian, data) else { return Ok(elf) };

    let mut builder = Builder::default();
    for wanted in [SHT_SYMTAB, SHT_DYNSYM] {
        if wanted == SHT_DYNSYM && !builder.is_empty() {
            break;
        }
        let tables = sections.iter().take(MAX_HEADERS).filter(|section| section.sh_type(endian) == wanted);
        for table in tables {
            symbols::<E, S>(endian, data, &sections, table, &mut builder);
        }
        elf.has_all_symbols |= wanted == SHT_SYMTAB && !builder.is_empty();
    }
    elf.symbols = builder.finish();

    for section in sections.iter().take(MAX_HEADERS).filter(|section| section.sh_type(endian) == SHT_NOTE) {
        let Ok(Some(mut notes)) = section.notes(endian, data) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU"
                && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID
                && note.desc().len() <= 64
            {
                elf.build_id = note.desc().to_vec();
            }
        }
    }
    elf.debug_link = section::<E, S>(endian, data, &sections, ".gnu_debuglink", 4096)
        .and_then(|link| debug_link(&link, endian));
    if want.functions {
        elf.functions = functions::<E, S>(endian, data, &sections);
    }
    Ok(elf)
}

/// Adds the functions of a symbol table.
fn symbols<'a, E, S>(
    endian: Endianness,
    data: Capped<'a, S>,
    sections: &SectionTable<'a, E, Capped<'a, S>>,
    table: &'a E::SectionHeader,
    builder: &mut Builder,
) where
    E: FileHeader<Endian = Endianness>,
    S: Read + Seek + 'a,
{
    let names = sections.section(table.link(endian)).and_then(|names| names.data(endian, data));
    let (Ok(names), Ok(symbols)) = (names, table.data_as_array::<E::Sym, _>(endian, data)) else { return };
    for symbol in symbols {
        let (kind, value): (u8, u64) = (symbol.st_type(), symbol.st_value(endian).into());
        if !matches!(kind, STT_FUNC | STT_GNU_IFUNC) || symbol.st_shndx(endian) == 0 || value == 0 {
            continue;
        }
        let Some(name) = names.get(symbol.st_name(endian) as usize..) else { continue };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // `free@GLIBC_2.2.5`: the version says nothing about the function.
        let (name, is_versioned) = match name.iter().position(|byte| *byte == b'@') {
            Some(at) if at > 0 => (name.get(..at).unwrap_or_default(), true),
            _ => (name, false),
        };
        let size: u64 = symbol.st_size(endian).into();
        let rank = match symbol.st_bind() {
            STB_GLOBAL => 2,
            STB_LOCAL => 0,
            _ => 1,
        };
        // Of several names the one that people know: `free`, not `__libc_free` or the old `cfree`.
        let is_public = u8::from(!is_versioned) * 16 + u8::from(!name.starts_with(b"__")) * 8;
        if !name.is_empty() && !builder.push(value, size, is_public + 2 * rank + u8::from(size > 0), name) {
            return;
        }
    }
}

/// The bytes of a section, unpacked; `None` if it is not there, damaged or larger than `most`.
fn section<'a, E, S>(
    endian: Endianness,
    data: Capped<'a, S>,
    sections: &SectionTable<'a, E, Capped<'a, S>>,
    name: &str,
    most: u64,
) -> Option<Cow<'a, [u8]>>
where
    E: FileHeader<Endian = Endianness>,
    S: Read + Seek + 'a,
{
    let named = |section: &&E::SectionHeader| sections.section_name(endian, section) == Ok(name.as_bytes());
    let section = sections.iter().take(MAX_HEADERS).find(named)?;
    if section.sh_type(endian) == SHT_NOBITS || section.file_range(endian)?.1 > most {
        return None;
    }
    let Some((header, offset, size)) = section.compression(endian, data).ok()? else {
        return section.data(endian, data).ok().map(Cow::Borrowed);
    };
    let unpacked: u64 = header.ch_size(endian).into();
    if header.ch_type(endian) != ELFCOMPRESS_ZLIB || unpacked > most {
        return None;
    }
    let packed = data.read_bytes_at(offset, size).ok()?;
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(packed).take(unpacked).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == unpacked).then_some(Cow::Owned(bytes))
}

/// `.gnu_debuglink`: a name, padding to four bytes, a checksum.
fn debug_link(link: &[u8], endian: Endianness) -> Option<(Vec<u8>, u32)> {
    let length = link.iter().position(|byte| *byte == 0)?;
    let at = (length + 4) & !3;
    let checksum: [u8; 4] = link.get(at..at + 4)?.try_into().ok()?;
    let name = link.get(..length).filter(|name| !name.is_empty() && !name.contains(&b'/'))?;
    let checksum = match endian {
        Endianness::Little => u32::from_le_bytes(checksum),
        Endianness::Big => u32::from_be_bytes(checksum),
    };
    Some((name.to_vec(), checksum))
}

fn functions<'a, E, S>(
    endian: Endianness,
    data: Capped<'a, S>,
    sections: &SectionTable<'a, E, Capped<'a, S>>,
) -> Option<Functions>
where
    E: FileHeader<Endian = Endianness>,
    S: Read + Seek + 'a,
{
    let mut left = MAX_DWARF;
    let load = |id: gimli::SectionId| -> Result<Cow<'a, [u8]>, ()> {
        let most = if id == gimli::SectionId::DebugAbbrev { MAX_ABBREVIATIONS.min(left) } else { left };
        let bytes = section::<E, S>(endian, data, sections, id.name(), most).unwrap_or_default();
        left = left.saturating_sub(bytes.len() as u64);
        Ok(bytes)
    };
    let sections = DwarfSections::load(load).ok()?;
    let endian = match endian {
        Endianness::Little => gimli::RunTimeEndian::Little,
        Endianness::Big => gimli::RunTimeEndian::Big,
    };
    let functions = dwarf::read(&sections.borrow(|bytes| gimli::EndianSlice::new(bytes, endian)));
    (functions.len() > 0).then_some(functions)
}

impl Elf {
    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let functions = self.functions.as_ref().map_or(0, Functions::bytes);
        size_of::<Self>() + self.symbols.bytes() + functions + self.segments.capacity() * size_of::<Segment>()
    }

    /// The address before a base is added, of a place in the file.
    pub(crate) fn address(&self, offset: u64) -> Option<u64> {
        // What is mapped are whole pages, so a little more than the segment.
        const PAGE: u64 = 0xffff;
        let within = self.segments.iter().find(|segment| segment.file.contains(&offset));
        let segment = within.or_else(|| {
            self.segments
                .iter()
                .find(|segment| segment.file.start & !PAGE <= offset && offset < segment.file.end)
        })?;
        Some(offset.wrapping_sub(segment.file.start).wrapping_add(segment.address))
    }
}
