//! A file with code: its symbols, and the names that were asked for.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::{
    debug_file,
    elf::{self, Elf, ElfError, Want},
    name::readable,
};

/// Names that are kept ready.
const MAX_READY: usize = 8192;
/// Behind each name of a frame.
pub(crate) const SEPARATOR: &str = "; ";

/// What tells one version of a file from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

impl FileId {
    /// That of an open file.
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        let data = file.metadata()?;
        let mtime = (data.mtime(), data.mtime_nsec());
        Ok(Self { device: data.dev(), inode: data.ino(), size: data.size(), mtime })
    }

    /// Whether the file has this inode.
    pub(crate) fn is_inode(&self, inode: u64) -> bool {
        self.inode == inode
    }

    /// That of the code that the kernel gives every process; there is one for each of its sizes.
    pub(crate) fn vdso(size: u64) -> Self {
        Self { device: u64::MAX, inode: u64::MAX, size, mtime: (0, 0) }
    }
}

/// Names of the frames at one address, and what of them counts.
type Ready = HashMap<(u64, bool), Box<str>>;

/// A file with code.
#[derive(Debug)]
pub(crate) struct Module {
    elf: Elf,
    ready: Ready,
    ready_bytes: usize,
    /// Whether its debug information was looked for.
    pub(crate) has_looked_for_functions: bool,
}

impl Module {
    /// Reads a file that is `path` below one of `roots`.
    ///
    /// # Errors
    /// It is not an ELF file.
    pub(crate) fn load(file: File, path: &Path, roots: &[File], functions: bool) -> Result<Self, ElfError> {
        let mut elf = elf::read(file, Want { functions })?;
        if (!elf.has_all_symbols || (functions && elf.functions.is_none()))
            && let Some(file) = debug_file::find(&elf, path, roots)
            && let Ok(debug) = elf::read(file, Want { functions: functions && elf.functions.is_none() })
            && (debug.build_id == elf.build_id || debug.build_id.is_empty() || elf.build_id.is_empty())
        {
            if debug.has_all_symbols {
                elf.symbols = debug.symbols;
            }
            elf.functions = elf.functions.or(debug.functions);
        }
        Ok(Self::new(elf, functions))
    }

    /// Reads code out of memory.
    ///
    /// # Errors
    /// It is not an ELF file.
    pub(crate) fn from_memory(source: impl Read + Seek) -> Result<Self, ElfError> {
        Ok(Self::new(elf::read(source, Want::default())?, true))
    }

    fn new(elf: Elf, has_looked_for_functions: bool) -> Self {
        Self { elf, ready: Ready::new(), ready_bytes: 0, has_looked_for_functions }
    }

    /// Names of the functions at a place of the file, innermost first, [`SEPARATOR`] behind each.
    pub(crate) fn at_offset(&mut self, offset: u64, functions: bool) -> Option<&str> {
        let address = self.elf.address(offset)?;
        self.at(address, functions)
    }

    /// The same for an address of memory, if the file has a fixed place there.
    pub(crate) fn at_fixed(&mut self, address: u64, functions: bool) -> Option<&str> {
        if self.elf.is_fixed { self.at(address, functions) } else { None }
    }

    fn at(&mut self, address: u64, functions: bool) -> Option<&str> {
        let key = (address, functions);
        if !self.ready.contains_key(&key) {
            if self.ready.len() >= MAX_READY {
                self.ready.clear();
                self.ready_bytes = 0;
            }
            let text = self.names(address, functions);
            self.ready_bytes += text.len() + size_of::<((u64, bool), Box<str>)>() * 2;
            self.ready.insert(key, text.into());
        }
        self.ready.get(&key).map(AsRef::as_ref).filter(|text| !text.is_empty())
    }

    fn names(&self, address: u64, functions: bool) -> String {
        let mut raw = Vec::new();
        if functions && let Some(known) = &self.elf.functions {
            known.at(address, &mut raw);
        }
        if raw.is_empty() {
            raw.extend(self.elf.symbols.find(address));
        }
        raw.into_iter().map(|name| readable(name) + SEPARATOR).collect()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.elf.bytes() + self.ready_bytes
    }
}
