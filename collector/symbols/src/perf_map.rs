//! Perf maps: text files in which just-in-time compilers name the code they made, `START SIZE name` in hexadecimal.

use std::io::{self, BufRead};

use crate::table::{Builder, SymbolTable};

/// Bytes of a map that are read; what follows is ignored.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a map; malformed lines are skipped, of two for one address the later one counts.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(source: impl BufRead) -> io::Result<SymbolTable> {
    let mut source = source.take(MAX_BYTES);
    let mut builder = Builder::default();
    let mut line = Vec::new();
    while source.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, size, name)) = parse(&line)
            && !builder.push(start, size, 0, name)
        {
            break;
        }
        line.clear();
    }
    Ok(builder.finish())
}

fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let line = line.trim_ascii_end();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let word = std::str::from_utf8(words.next()?).ok()?;
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = words.next().filter(|name| !name.is_empty())?;
    (size > 0).then_some((start, size, name))
}

#[cfg(test)]
mod tests {
    use super::read;

    /// Scenario: a map as a compiler writes it, with spaces in names, prefixes, and malformed lines.
    /// Guarantees: addresses within code have its name, others none.
    #[test]
    fn lines() {
        let text = "7f0000001000 20 LazyCompile:~add /app/a.js:3\n0x7f0000002000 0x10 plain\nbad\n1 0 empty\n\n5 5\n";
        let table = read(text.as_bytes()).unwrap();
        let at = |address| table.find(address).map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(at(0x7f00_0000_101f).as_deref(), Some("LazyCompile:~add /app/a.js:3"));
        assert_eq!(at(0x7f00_0000_1020), None);
        assert_eq!(at(0x7f00_0000_2000).as_deref(), Some("plain"));
        assert_eq!(table.len(), 2);
    }
}
