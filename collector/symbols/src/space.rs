//! Where code lies in the memory of a process: `/proc/PID/maps`.

use std::{
    io::{self, BufRead},
    path::PathBuf,
};

use std::os::unix::ffi::OsStringExt as _;

/// Bytes of a list that are read.
const MAX_BYTES: u64 = 16 << 20;
/// Mappings with code that are kept; a process can have 65,530 of any kind.
const MAX_MAPPINGS: usize = 16_384;

/// What a mapping holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A part of a file.
    File(PathBuf),
    /// The kernel's page of functions for processes.
    Vdso,
    /// Memory; code that was made at run time.
    Memory,
}

/// Code in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First address.
    pub(crate) start: u64,
    /// Behind the last address.
    pub(crate) end: u64,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// What it is.
    pub(crate) content: Content,
}

/// Reads the mappings that can be executed, in order of their addresses.
///
/// # Errors
/// When the list cannot be read; the process may be gone.
pub(crate) fn read(source: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut source = source.take(MAX_BYTES);
    let mut mappings = Vec::new();
    let mut line = Vec::new();
    while source.read_until(b'\n', &mut line)? > 0 && mappings.len() < MAX_MAPPINGS {
        mappings.extend(parse(&line));
        line.clear();
    }
    // The kernel gives them in this order.
    mappings.sort_by_key(|mapping| mapping.start);
    Ok(mappings)
}

/// The mapping that holds an address.
pub(crate) fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|mapping| mapping.start <= address);
    mappings.get(after.checked_sub(1)?).filter(|mapping| address < mapping.end)
}

/// `55d0c0000000-55d0c0001000 r-xp 00001000 fe:00 1234    /usr/bin/true`
fn parse(line: &[u8]) -> Option<Mapping> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let (start, end) = word()?.split_once('-')?;
    let is_code = word()?.as_bytes().get(2) == Some(&b'x');
    let offset = u64::from_str_radix(word()?, 16).ok()?;
    word()?;
    let inode: u64 = word()?.parse().ok()?;
    let name = words.next().unwrap_or_default().trim_ascii_start();
    let content = match name {
        b"[vdso]" => Content::Vdso,
        // Shared memory that a compiler writes its code to has a name but no file anybody could read.
        name if inode != 0 && !name.starts_with(b"/memfd:") && !name.starts_with(b"//") => {
            Content::File(PathBuf::from(std::ffi::OsString::from_vec(name.to_vec())))
        }
        _ => Content::Memory,
    };
    let number = |text| u64::from_str_radix(text, 16).ok();
    is_code.then_some(Mapping { start: number(start)?, end: number(end)?, offset, content })
}

#[cfg(test)]
mod tests {
    use super::{Content, find, read};

    /// Scenario: a list with data, code, code made at run time, a name with spaces, a deleted file, nonsense.
    /// Guarantees: only code is kept; an address finds its mapping, one between them none.
    #[test]
    fn code_is_found() {
        let text = "55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12 /usr/bin/my app\n\
                    55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 12                  /usr/bin/my app\n\
                    7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n\
                    7f0000002000-7f0000003000 r-xs 00000000 00:01 7 /memfd:doublemapper (deleted)\n\
                    7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]\nnonsense\n";
        let mappings = read(text.as_bytes()).unwrap();
        assert_eq!(mappings.len(), 4);
        let at = |address| find(&mappings, address).map(|mapping| mapping.content.clone());
        assert_eq!(at(0x55d0_c000_1fff), Some(Content::File("/usr/bin/my app".into())));
        assert_eq!(at(0x55d0_c000_0fff), None);
        assert_eq!(at(0x55d0_c000_2000), None);
        assert_eq!(at(0x7f00_0000_0000), Some(Content::Memory));
        assert_eq!(at(0x7f00_0000_2000), Some(Content::Memory));
        assert_eq!(at(0x7ffc_0000_1000), Some(Content::Vdso));
        assert_eq!(at(0), None);
    }
}
