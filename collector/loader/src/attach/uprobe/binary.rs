//! The parts of an executable that say where things are.
//!
//! Files come from containers and may change under the reader, so nothing is mapped: sections are read when asked for,
//! each within a limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use object::elf::{
    EM_AARCH64, EM_X86_64, FileHeader64, PF_X, PT_LOAD, ProgramHeader64, SHN_UNDEF, SHT_DYNSYM, SHT_NOBITS,
    SHT_SYMTAB, STT_FUNC, SectionHeader64, Sym64,
};
use object::{LittleEndian as LE, pod};

/// Most bytes of a section that is read.
const MAX_SECTION: u64 = 128 << 20;
/// Most section and program headers; real files have some dozens.
const MAX_HEADERS: u16 = 16_384;

/// An executable or a shared library.
pub(in crate::attach) struct Binary<'f> {
    file: &'f File,
    sections: Vec<(String, SectionHeader64<LE>)>,
    segments: Vec<ProgramHeader64<LE>>,
}

/// What a symbol says.
pub(super) struct Found {
    pub(super) address: u64,
}

impl<'f> Binary<'f> {
    pub(super) fn open(file: &'f File) -> io::Result<Self> {
        let mut header = vec![0; size_of::<FileHeader64<LE>>()];
        file.read_exact_at(&mut header, 0).map_err(|_short| invalid("no ELF file"))?;
        let (header, _) =
            pod::from_bytes::<FileHeader64<LE>>(&header).map_err(|()| invalid("no ELF file"))?;
        if header.e_ident.magic != [0x7f, b'E', b'L', b'F'] || header.e_ident.class != 2 {
            return Err(invalid("no 64-bit ELF file"));
        }
        if header.e_ident.data != 1 || !matches!(header.e_machine.get(LE), EM_X86_64 | EM_AARCH64) {
            return Err(invalid("an ELF file for another machine"));
        }
        let segments = table(file, header.e_phoff.get(LE), header.e_phnum.get(LE))?;
        let headers: Vec<SectionHeader64<LE>> = table(file, header.e_shoff.get(LE), header.e_shnum.get(LE))?;
        let names = match headers.get(usize::from(header.e_shstrndx.get(LE))) {
            Some(names) => content(file, names)?,
            None => Vec::new(),
        };
        let sections =
            headers.into_iter().map(|section| (text(&names, section.sh_name.get(LE)), section)).collect();
        Ok(Self { file, sections, segments })
    }

    /// Content of a section.
    pub(in crate::attach) fn section(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let found = self.sections.iter().find(|(found, _)| found == name);
        found.map(|(_, section)| content(self.file, section)).transpose()
    }

    /// Address of a section.
    pub(in crate::attach) fn section_address(&self, name: &str) -> Option<u64> {
        let found = self.sections.iter().find(|(found, _)| found == name);
        found.map(|(_, section)| section.sh_addr.get(LE))
    }

    /// Where the code of a function is in the file.
    pub(super) fn function(&mut self, name: &str) -> io::Result<Option<u64>> {
        let found = self.symbol(name, |kind| kind == STT_FUNC)?;
        Ok(found.and_then(|found| self.code_offset(found.address)))
    }

    /// A defined symbol, of the full table before that of the dynamic linker.
    pub(super) fn symbol(&mut self, name: &str, fits: impl Fn(u8) -> bool) -> io::Result<Option<Found>> {
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            for (_, section) in self.sections.iter().filter(|(_, found)| found.sh_type.get(LE) == kind) {
                let Some((_, strings)) = self.sections.get(section.sh_link.get(LE) as usize) else {
                    continue;
                };
                let (symbols, strings) = (content(self.file, section)?, content(self.file, strings)?);
                let count = symbols.len() / size_of::<Sym64<LE>>();
                let (symbols, _) = pod::slice_from_bytes::<Sym64<LE>>(&symbols, count)
                    .map_err(|()| invalid("a broken symbol table"))?;
                let found = symbols.iter().find(|symbol| {
                    symbol.st_shndx.get(LE) != SHN_UNDEF
                        && fits(symbol.st_info & 0xf)
                        && is_text(&strings, symbol.st_name.get(LE), name)
                });
                if let Some(found) = found {
                    return Ok(Some(Found { address: found.st_value.get(LE) }));
                }
            }
        }
        Ok(None)
    }

    /// Whether the dynamic linker has to find anything for this file.
    pub(super) fn has_undefined_symbols(&self) -> io::Result<bool> {
        for (_, section) in self.sections.iter().filter(|(_, found)| found.sh_type.get(LE) == SHT_DYNSYM) {
            let symbols = content(self.file, section)?;
            let count = symbols.len() / size_of::<Sym64<LE>>();
            let (symbols, _) = pod::slice_from_bytes::<Sym64<LE>>(&symbols, count)
                .map_err(|()| invalid("a broken symbol table"))?;
            // The first symbol is none.
            if symbols.iter().skip(1).any(|symbol| symbol.st_shndx.get(LE) == SHN_UNDEF) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where an address of code is in the file.
    pub(in crate::attach) fn code_offset(&self, address: u64) -> Option<u64> {
        self.offset(address, |flags| flags & PF_X != 0)
    }

    /// Where any address is in the file.
    pub(in crate::attach) fn data_offset(&self, address: u64) -> Option<u64> {
        self.offset(address, |_| true)
    }

    fn offset(&self, address: u64, fits: impl Fn(u32) -> bool) -> Option<u64> {
        let loaded = self.segments.iter().filter(|segment| segment.p_type.get(LE) == PT_LOAD);
        loaded.filter(|segment| fits(segment.p_flags.get(LE))).find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr.get(LE))?;
            (within < segment.p_filesz.get(LE)).then(|| segment.p_offset.get(LE).checked_add(within))?
        })
    }
}

fn table<T: pod::Pod>(file: &File, offset: u64, count: u16) -> io::Result<Vec<T>> {
    if count > MAX_HEADERS {
        return Err(invalid("too many headers"));
    }
    let mut bytes = vec![0; usize::from(count) * size_of::<T>()];
    file.read_exact_at(&mut bytes, offset)?;
    let (items, _) = pod::slice_from_bytes::<T>(&bytes, usize::from(count))
        .map_err(|()| invalid("headers that end outside of the file"))?;
    Ok(items.to_vec())
}

fn content(file: &File, section: &SectionHeader64<LE>) -> io::Result<Vec<u8>> {
    let size = section.sh_size.get(LE);
    if section.sh_type.get(LE) == SHT_NOBITS {
        return Ok(Vec::new());
    }
    // A size beyond the file's would allocate before the read fails.
    if size > MAX_SECTION || size > file.metadata()?.len() {
        return Err(invalid("a section that is larger than its file, or than any real one"));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, section.sh_offset.get(LE))?;
    Ok(bytes)
}

fn tail(strings: &[u8], at: u32) -> &[u8] {
    strings.get(at as usize..).unwrap_or_default()
}

fn text(strings: &[u8], at: u32) -> String {
    let name = tail(strings, at).split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn is_text(strings: &[u8], at: u32, name: &str) -> bool {
    let rest = tail(strings, at).strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::Binary;
    use crate::attach::{uprobe::go, usdt};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Guarantees: no file, however damaged, makes the readers panic or allocate more than the file has.
        #[test]
        fn damaged_files_are_harmless(at in 0usize..1000, byte in any::<u8>(), tail in any::<bool>(), len in 0usize..60_000) {
            let mut bytes = std::fs::read("/bin/true").unwrap();
            // Headers stand at both ends.
            let at = if tail { bytes.len() - 1 - at } else { at };
            bytes[at] = byte;
            if byte.is_multiple_of(4) {
                bytes.truncate(len);
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            if let Ok(mut binary) = Binary::open(&file) {
                drop(binary.function("main"));
                drop(go::function(&mut binary, "main.main"));
                drop(usdt::probes(&mut binary, "a:b"));
            }
        }
    }

    /// Guarantees: what is no executable is told so.
    #[test]
    fn other_files_are_refused() {
        let file = File::open("/etc/passwd").unwrap();
        assert_eq!(Binary::open(&file).err().unwrap().to_string(), "no 64-bit ELF file");
    }
}
