//! Addresses of kernel symbols, from `/proc/kallsyms`.
//!
//! Only names that somebody asks for are kept: the whole table has some two hundred thousand.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

const PATH: &str = "/proc/kallsyms";

/// What the kernel knows under a symbol name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Symbol {
    /// No such symbol.
    Absent,
    /// One address; zero when the kernel hides addresses from this process.
    At(u64),
    /// Several symbols of this name at different addresses.
    Ambiguous,
}

/// Looks names up, in one pass over the table.
///
/// # Errors
/// When `/proc/kallsyms` cannot be read.
pub fn lookup<'a>(names: impl IntoIterator<Item = &'a str>) -> io::Result<HashMap<&'a str, Symbol>> {
    let mut found: HashMap<&str, Symbol> = names.into_iter().map(|name| (name, Symbol::Absent)).collect();
    if found.is_empty() {
        return Ok(found);
    }
    let mut reader = BufReader::with_capacity(64 << 10, File::open(PATH)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some((address, name)) = std::str::from_utf8(&line).ok().and_then(parse_line)
            && let Some(slot) = found.get_mut(name)
        {
            *slot = match *slot {
                Symbol::Absent => Symbol::At(address),
                Symbol::At(same) if same == address => *slot,
                _ => Symbol::Ambiguous,
            };
        }
        line.clear();
    }
    Ok(found)
}

/// `ffffffff81000000 T _stext` or, for modules, with `\t[module]` behind.
fn parse_line(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    words.next()?;
    Some((address, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::{Symbol, lookup, parse_line};

    #[test]
    fn lines_of_kernel_and_modules_are_read() {
        assert_eq!(parse_line("ffffffff81000000 T _stext\n"), Some((0xffff_ffff_8100_0000, "_stext")));
        assert_eq!(parse_line("ffffffffc0000000 t x\t[mod]\n"), Some((0xffff_ffff_c000_0000, "x")));
        assert_eq!(parse_line("zz"), None);
    }

    #[test]
    fn absent_symbols_are_told_from_present_ones() {
        let found = lookup(["_stext", "no_such_symbol_here"]).unwrap();
        assert!(matches!(found["_stext"], Symbol::At(_)));
        assert_eq!(found["no_such_symbol_here"], Symbol::Absent);
    }
}
