//! The kernel's own symbols, from `/proc/kallsyms`.

use std::io::{self, BufRead};

use crate::table::{Builder, SymbolTable};

/// Bytes of the table that are read; a kernel with every driver has some 20 MiB.
const MAX_BYTES: u64 = 128 << 20;

/// Reads the functions of the table; `None` where the kernel hides addresses from this process.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(source: impl BufRead) -> io::Result<Option<SymbolTable>> {
    let mut source = source.take(MAX_BYTES);
    let mut builder = Builder::default();
    let mut line = Vec::with_capacity(256);
    while source.read_until(b'\n', &mut line)? > 0 {
        if let Some((address, name)) = parse(&line)
            && address != 0
            && !builder.push(address, 0, 0, name)
        {
            break;
        }
        line.clear();
    }
    Ok((!builder.is_empty()).then(|| builder.finish()))
}

/// `ffffffff81000000 T _stext`, for modules with `\t[module]` behind. Data has no place in a stack.
fn parse(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let address = std::str::from_utf8(words.next()?).ok()?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let is_code = matches!(words.next()?, b"t" | b"T" | b"w" | b"W");
    Some((address, words.next().filter(|name| is_code && !name.starts_with(b"$"))?))
}

#[cfg(test)]
mod tests {
    use super::read;

    /// Scenario: lines of the kernel and of a module, data, marks of the assembler, nonsense; a table of zeros.
    /// Guarantees: an address has the name of the nearest function below; hidden addresses are told apart.
    #[test]
    fn nearest_function_below() {
        let text = "ffffffff81000000 T _stext\nffffffff81000100 t helper\nffffffff81000110 d data\n\
                    ffffffffc0000000 t driver\t[mod]\nffffffffc0000040 t $x\t[mod]\nzz\n\nffffffff8100 T\n";
        let table = read(text.as_bytes()).unwrap().unwrap();
        let at = |address| table.find(address).map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(at(0xffff_ffff_8100_00ff).as_deref(), Some("_stext"));
        assert_eq!(at(0xffff_ffff_8100_0120).as_deref(), Some("helper"));
        assert_eq!(at(0xffff_ffff_c000_0050).as_deref(), Some("driver"));
        assert_eq!(at(0x1000), None);
        assert!(read("0000000000000000 T _stext\n".as_bytes()).unwrap().is_none());
    }
}
