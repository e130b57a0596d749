//! `.BTF.ext`: which types and source lines instructions belong to, and where CO-RE relocations are.

use std::collections::HashMap;
use std::ops::Range;

use ig_kernel::btf::{Btf, TypeId};

use crate::core_relo::{CoreKind, CoreRelo};
use crate::error::ParseError;

const MAGIC: u16 = 0xeb9f;

/// Where a line of source begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LineInfo {
    /// First instruction, counted in places.
    pub(crate) insn: u32,
    /// File name, text and position, as offsets into the strings of the BTF; passed on as they are.
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) position: u32,
}

/// What `.BTF.ext` says about one section; places count from the start of the section, in order.
#[derive(Default)]
pub(crate) struct SectionInfo {
    pub(crate) functions: Vec<(u32, TypeId)>,
    pub(crate) lines: Vec<LineInfo>,
    pub(crate) relocations: Vec<CoreRelo>,
}

/// Parses the section; `result` is by section name.
pub(crate) fn parse<'a>(bytes: &[u8], btf: &'a Btf) -> Result<HashMap<&'a str, SectionInfo>, ParseError> {
    let mut sections: HashMap<&str, SectionInfo> = HashMap::new();
    let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes).ok_or_else(truncated)?;
    if magic != MAGIC {
        return Err(fault("bad magic number"));
    }
    let header_len = word(bytes, 4).ok_or_else(truncated)? as usize;
    let part = |at: usize| -> Result<Range<usize>, ParseError> {
        // Headers of old compilers end before the last part.
        if header_len < at + 8 {
            return Ok(0..0);
        }
        let range = (|| {
            let start = header_len.checked_add(word(bytes, at)? as usize)?;
            let end = start.checked_add(word(bytes, at + 4)? as usize)?;
            (end <= bytes.len()).then_some(start..end)
        })();
        range.ok_or_else(truncated)
    };

    records(bytes, part(8)?, 8, btf, |section, record| {
        let info = sections.entry(section).or_default();
        info.functions.push((place(record)?, TypeId(word(record, 4)?)));
        Some(())
    })?;
    records(bytes, part(16)?, 16, btf, |section, record| {
        let info = sections.entry(section).or_default();
        info.lines.push(LineInfo {
            insn: place(record)?,
            file: word(record, 4)?,
            line: word(record, 8)?,
            position: word(record, 12)?,
        });
        Some(())
    })?;
    records(bytes, part(24)?, 16, btf, |section, record| {
        let info = sections.entry(section).or_default();
        info.relocations.push(CoreRelo {
            insn: place(record)?,
            type_id: TypeId(word(record, 4)?),
            access: btf.string(word(record, 8)?)?.into(),
            kind: CoreKind::from_number(word(record, 12)?)?,
        });
        Some(())
    })?;
    for info in sections.values_mut() {
        info.functions.sort_by_key(|(insn, _)| *insn);
        info.lines.sort_by_key(|line| line.insn);
        info.relocations.sort_by_key(|relocation| relocation.insn);
    }
    Ok(sections)
}

/// Walks one part: a record size, then per section a name, a count and records.
fn records<'a>(
    bytes: &[u8],
    range: Range<usize>,
    least: usize,
    btf: &'a Btf,
    mut each: impl FnMut(&'a str, &[u8]) -> Option<()>,
) -> Result<(), ParseError> {
    let Some(mut rest) = bytes.get(range).filter(|rest| !rest.is_empty()) else { return Ok(()) };
    let size = word(rest, 0).ok_or_else(truncated)? as usize;
    if size < least || size > 4096 {
        return Err(fault(&format!("records of {size} bytes")));
    }
    rest = rest.get(4..).unwrap_or_default();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(8).ok_or_else(truncated)?;
        let section =
            word(head, 0).and_then(|offset| btf.string(offset)).ok_or_else(|| fault("nameless section"))?;
        let count = word(head, 4).ok_or_else(truncated)? as usize;
        let len = count.checked_mul(size).ok_or_else(truncated)?;
        let (body, tail) = tail.split_at_checked(len).ok_or_else(truncated)?;
        for record in body.chunks_exact(size) {
            each(section, record)
                .ok_or_else(|| fault(&format!("a record of section `{section}` is malformed")))?;
        }
        rest = tail;
    }
    Ok(())
}

/// Offsets in the file are in bytes, and instructions start every eight.
fn place(record: &[u8]) -> Option<u32> {
    let offset = word(record, 0)?;
    offset.is_multiple_of(8).then_some(offset / 8)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn truncated() -> ParseError {
    fault("truncated")
}

fn fault(problem: &str) -> ParseError {
    ParseError::Section { section: ".BTF.ext".to_owned(), problem: problem.to_owned() }
}
