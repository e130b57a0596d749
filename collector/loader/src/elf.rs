//! The ELF container: sections, symbols and relocations as plain lists.

use std::collections::HashMap;

use object::elf::{
    EM_BPF, EM_NONE, SHF_EXECINSTR, SHT_NOBITS, STT_FUNC, STT_SECTION, STV_HIDDEN, STV_INTERNAL,
};
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionFlags, SymbolFlags,
};

use crate::error::ParseError;

/// A section. Its place in the list is its number in the file.
#[derive(Default)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    /// Content; empty for sections without any in the file.
    pub(crate) data: &'a [u8],
    /// Size in memory.
    pub(crate) size: u64,
    pub(crate) executable: bool,
    pub(crate) zeroed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum SymbolKind {
    Function,
    Section,
    #[default]
    Other,
}

/// A symbol. Its place in the list is its number in the file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a str,
    /// Number of the section that defines it; `None` for what is defined elsewhere.
    pub(crate) section: Option<usize>,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) kind: SymbolKind,
    pub(crate) global: bool,
    pub(crate) weak: bool,
    /// Whether only the object itself may use it (`__hidden`).
    pub(crate) hidden: bool,
}

/// A relocation of a section.
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
}

/// Most sections and symbols of an object; real ones have a hundredth of it.
const MAX_SECTIONS: usize = 4096;
const MAX_SYMBOLS: usize = 200_000;

pub(crate) struct Elf<'a> {
    file: ElfFile64<'a, Endianness>,
    pub(crate) sections: Vec<Section<'a>>,
    pub(crate) symbols: Vec<Symbol<'a>>,
    variables: HashMap<(usize, &'a str), usize>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let elf = |part| move |source| ParseError::Elf { part, source };
        let file = ElfFile64::<Endianness>::parse(bytes).map_err(elf("header"))?;
        let host = if cfg!(target_endian = "little") { Endianness::Little } else { Endianness::Big };
        if file.endian() != host {
            return Err(ParseError::ByteOrder);
        }
        let machine = file.elf_header().e_machine.get(host);
        if machine != EM_BPF && machine != EM_NONE {
            return Err(ParseError::Machine(machine));
        }

        // Number 0 is the null section; `object` leaves it out of its list or not, depending on the version.
        let mut sections: Vec<Section<'a>> = Vec::new();
        for section in file.sections() {
            let place = section.index().0;
            if place >= MAX_SECTIONS {
                return Err(too_many("sections", MAX_SECTIONS));
            }
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let zeroed = section.elf_section_header().sh_type.get(host) == SHT_NOBITS;
            let read = Section {
                name: section.name().map_err(elf("section names"))?,
                data: section.data().map_err(elf("sections"))?,
                size: section.size(),
                executable: sh_flags & u64::from(SHF_EXECINSTR) != 0,
                zeroed,
            };
            place_at(&mut sections, place, read);
        }

        let mut symbols = Vec::new();
        for symbol in file.symbols() {
            if symbol.index().0 >= MAX_SYMBOLS {
                return Err(too_many("symbols", MAX_SYMBOLS));
            }
            let SymbolFlags::Elf { st_info, st_other } = symbol.flags() else { continue };
            let kind = match st_info & 0xf {
                STT_FUNC => SymbolKind::Function,
                STT_SECTION => SymbolKind::Section,
                _ => SymbolKind::Other,
            };
            let read = Symbol {
                name: symbol.name().map_err(elf("symbol names"))?,
                section: symbol.section_index().map(|index| index.0),
                value: symbol.address(),
                size: symbol.size(),
                kind,
                global: symbol.is_global(),
                weak: symbol.is_weak(),
                hidden: matches!(st_other & 3, STV_HIDDEN | STV_INTERNAL),
            };
            place_at(&mut symbols, symbol.index().0, read);
        }
        let variables = symbols
            .iter()
            .enumerate()
            .filter(|(_, symbol)| symbol.kind == SymbolKind::Other)
            .filter_map(|(index, symbol)| Some(((symbol.section?, symbol.name), index)))
            .collect();
        Ok(Self { file, sections, symbols, variables })
    }

    /// The section of this name.
    pub(crate) fn section(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// The relocations of a section, by its number.
    pub(crate) fn relocations(&self, section: usize) -> Vec<Relocation> {
        let Ok(section) = self.file.section_by_index(object::SectionIndex(section)) else {
            return Vec::new();
        };
        section
            .relocations()
            .filter_map(|(offset, relocation)| match (relocation.target(), relocation.flags()) {
                // Whatever the type says, the instruction decides what is relocated.
                (RelocationTarget::Symbol(symbol), RelocationFlags::Elf { .. }) => {
                    Some(Relocation { offset, symbol: symbol.0 })
                }
                _ => None,
            })
            .collect()
    }

    /// The place of a variable in its section.
    pub(crate) fn variable(&self, section: usize, name: &str) -> Option<&Symbol<'a>> {
        self.symbols.get(*self.variables.get(&(section, name))?)
    }
}

/// Numbers come from `object`'s own counting, so gaps (the null entries) are at most one long.
fn place_at<T: Default>(list: &mut Vec<T>, place: usize, item: T) {
    while list.len() < place {
        list.push(T::default());
    }
    list.push(item);
}

fn too_many(what: &str, limit: usize) -> ParseError {
    ParseError::Section { section: "ELF".to_owned(), problem: format!("more than {limit} {what}") }
}
