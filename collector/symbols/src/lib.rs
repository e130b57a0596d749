//! From addresses to names: kernel symbols, ELF, DWARF, perf maps.
//!
//! Why it exists: stacks come out of the kernel as numbers, and what gives them names lies in files that any user of the
//! machine can write. So everything here is read with limits and without mapping it (a mapped file that is cut short
//! kills the process), on a thread of its own, and kept in caches that are bounded in bytes and empty themselves.
//!
//! [`Symbols`] is the only door: it answers from its caches, and what is missing it has loaded by its thread while the
//! caller waits as long as a budget allows. A caller that drains a ring buffer is never held up for longer; a stack whose
//! symbols come too late shows its addresses and is counted.

mod cache;
mod debug_file;
mod dwarf;
mod elf;
mod kernel;
mod module;
mod name;
mod open;
mod perf_map;
mod process;
mod space;
mod symbols;
mod table;

pub use cache::Limits;
pub use process::{ExeId, Process};
pub use symbols::{Found, Method, Options, Symbols};

/// Reads everything that is read of a symbol file, for fuzzing: any bytes must give an answer or an error.
///
/// # Errors
/// Why it is not a symbol file, in words.
pub fn check_symbol_file(bytes: &[u8]) -> Result<usize, String> {
    let read = elf::read(std::io::Cursor::new(bytes), elf::Want { functions: true });
    let read = read.map_err(|error| ig_model::chain(&error))?;
    let functions = read.functions.as_ref().map_or(0, dwarf::Functions::len);
    let mut stack = Vec::new();
    for address in read.segments.iter().map(|segment| segment.address).chain(read.symbols.starts().take(64)) {
        stack.clear();
        if let Some(functions) = &read.functions {
            functions.at(address, &mut stack);
        }
        stack.extend(read.symbols.find(address));
        for raw in &stack {
            drop(name::readable(raw));
        }
    }
    Ok(read.symbols.len() + functions)
}
