//! Uprobes on a file of this process's own mount namespace.
//!
//! Libraries by bare name, containers and stripped Go binaries need more than a path; that is for callers who know the
//! container.

use std::ffi::CString;
use std::path::Path;

use ig_kernel::sys::perf;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};

use super::{AttachOptions, Link, probe_pmu};
use crate::error::AttachError;
use crate::loader::Program;
use crate::section::ProgramKind;

/// Files larger than this are not searched for symbols.
const MAX_FILE: u64 = 512 << 20;

pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    const FORM: &str = "/path/to/file:symbol";
    let (path, symbol) = program.target.split_once(':').ok_or_else(|| program.bad_target(FORM))?;
    if !Path::new(path).is_absolute() {
        return Err(program.unsupported("a library name without a path has to be resolved by the caller"));
    }
    let hook = format!("uprobe on `{}`", program.target);
    let (pmu, point) = probe_pmu(program, "uprobe", &hook, program.kind == ProgramKind::Uretprobe)?;
    let metadata = std::fs::metadata(path).map_err(|source| program.failed(hook.clone(), source))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(program.bad_target("an ELF file of reasonable size"));
    }
    let bytes = std::fs::read(path).map_err(|source| program.failed(hook.clone(), source))?;
    let offset = symbol_offset(&bytes, symbol)
        .ok_or_else(|| AttachError::MissingHook { program: program.name.clone(), hook: hook.clone() })?;
    drop(bytes);
    let path = CString::new(path).map_err(|_nul| program.bad_target(FORM))?;
    let event = perf::open_uprobe(pmu, &path, offset, point, options.pid)
        .map_err(|source| program.failed(hook.clone(), source))?;
    program.hang_on(event).map_err(|source| program.failed(hook, source))
}

/// Where in the file a function starts.
fn symbol_offset(bytes: &[u8], name: &str) -> Option<u64> {
    let file = ElfFile64::<Endianness>::parse(bytes).ok()?;
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    let symbol = symbols.find(|symbol| {
        symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.name() == Ok(name)
    })?;
    let address = symbol.address();
    let mut segments = file.segments();
    let segment = segments
        .find(|segment| (segment.address()..segment.address() + segment.size()).contains(&address))?;
    Some(address - segment.address() + segment.file_range().0)
}
