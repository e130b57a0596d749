//! Functions of Go programs without a symbol table: Go's own table of functions is needed at run time and stays.

use std::io;

use super::binary::Binary;

const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
const MAX_FUNCTIONS: u64 = 1_000_000;
/// The word of `runtime.moduledata` that holds the start of the code.
const MODULE_TEXT_WORD: usize = 22;

/// Where the code of a function is in the file; `None` for no such function, and for files that are not Go's.
pub(super) fn function(binary: &mut Binary<'_>, name: &str) -> io::Result<Option<u64>> {
    let mut table = None;
    for section in SECTIONS {
        if table.is_none() {
            table = binary.section(section)?;
        }
    }
    let Some(table) = table else { return Ok(None) };
    let Some(place) = find(&table, name) else { return Ok(None) };
    let address = match place {
        Place::Address(address) => Some(address),
        Place::Offset { offset, text } => {
            text_start(binary, text)?.and_then(|start| start.checked_add(offset))
        }
    };
    Ok(address.and_then(|address| binary.code_offset(address)))
}

/// Where the code starts that offsets count from.
fn text_start(binary: &mut Binary<'_>, header: u64) -> io::Result<Option<u64>> {
    if let Some(module) = binary.section(".go.module")?
        && let Some(word) = u64_at(&module, MODULE_TEXT_WORD * 8)
        && word != 0
    {
        return Ok(Some(word));
    }
    if header != 0 {
        return Ok(Some(header));
    }
    if let Some(symbol) = binary.symbol("runtime.text", |_| true)? {
        return Ok(Some(symbol.address));
    }
    // With C code in the program the section does not begin with Go's.
    if binary.has_undefined_symbols()? { Ok(None) } else { Ok(binary.section_address(".text")) }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Address(u64),
    /// Counted from the start of the code; `text` is that start if the table knows it.
    Offset {
        offset: u64,
        text: u64,
    },
}

/// Looks a name up in the table.
fn find(table: &[u8], name: &str) -> Option<Place> {
    let pointer = usize::from(*table.get(7)?);
    if pointer != 8 {
        return None;
    }
    let word = |index: usize| u64_at(table, 8 + index * 8);
    let slice = |at: u64| table.get(usize::try_from(at).ok()?..);
    let count = word(0).filter(|count| *count <= MAX_FUNCTIONS)?;
    // Start of the code, of the names, and of the functions, by format: Go 1.20, 1.18, 1.16, 1.2.
    let (text, names, functions, wide) = match u32_at(table, 0)? {
        0xffff_fff1 | 0xffff_fff0 => (word(2)?, slice(word(3)?)?, slice(word(7)?)?, false),
        0xffff_fffa => (0, slice(word(2)?)?, slice(word(6)?)?, true),
        0xffff_fffb => (0, table, table, true),
        _ => return None,
    };
    let directory = if u32_at(table, 0)? == 0xffff_fffb { slice(16)? } else { functions };
    for index in 0..usize::try_from(count).ok()? {
        let (start, record) = if wide {
            (u64_at(directory, index * 16)?, u64_at(directory, index * 16 + 8)?)
        } else {
            (u64::from(u32_at(directory, index * 8)?), u64::from(u32_at(directory, index * 8 + 4)?))
        };
        // A function's record: where it starts, then where its name is.
        let record = functions.get(usize::try_from(record).ok()?..)?;
        let name_at = u32_at(record, if wide { 8 } else { 4 })?;
        let rest = names.get(name_at as usize..)?.strip_prefix(name.as_bytes());
        if rest.is_some_and(|rest| rest.first() == Some(&0)) {
            let place = if wide { Place::Address(start) } else { Place::Offset { offset: start, text } };
            return Some(place);
        }
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Place, find};

    /// A table of Go 1.20 with two functions.
    fn table() -> Vec<u8> {
        let mut table = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        let (names, functions) = (72u64, 72 + 32);
        for word in [2, 0, 0x40_1000, names, 0, 0, 0, functions] {
            table.extend(word.to_le_bytes());
        }
        let mut text = b"\0main.main\0main.handle\0".to_vec();
        text.resize(32, 0);
        table.extend(text);
        // Two pairs, the end of the last function, then the records.
        for word in [0u32, 20, 0x80, 28, 0x100] {
            table.extend(word.to_le_bytes());
        }
        for word in [0u32, 1, 0x80, 11] {
            table.extend(word.to_le_bytes());
        }
        table
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        let text = 0x40_1000;
        assert_eq!(find(&table(), "main.handle"), Some(Place::Offset { offset: 0x80, text }));
        assert_eq!(find(&table(), "main.main"), Some(Place::Offset { offset: 0, text }));
        assert_eq!(find(&table(), "main.mai"), None);
    }

    proptest! {
        /// Guarantees: no table, however broken, makes the reader panic.
        #[test]
        fn broken_tables_are_harmless(at in 0usize..130, byte in any::<u8>(), len in 0usize..140) {
            let mut table = table();
            if let Some(place) = table.get_mut(at) {
                *place = byte;
            }
            table.truncate(len);
            find(&table, "main.handle");
        }
    }
}
