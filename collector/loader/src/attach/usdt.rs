//! Static probes of user programs (`SystemTap` notes): places, counters of users, and layouts of arguments.
//!
//! Programs read arguments with helpers that expect a description of each in the map `__bpf_usdt_specs`, under the number
//! that the attachment was given.

use std::io;
use std::sync::PoisonError;

use ig_kernel::release::KernelRelease;

use super::uprobe::binary::Binary;
use super::uprobe::{self, Site};
use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::{Loaded, Program};

mod arguments;

const SPECS: &str = "__bpf_usdt_specs";
const NOTES: &str = ".note.stapsdt";
const NOTE_NAME: &[u8] = b"stapsdt\0";
const NOTE_TYPE: u32 = 3;
/// Most places of one probe in one file: it may have been inlined.
const MAX_PLACES: usize = 1024;

pub(super) fn attach(
    loaded: &Loaded,
    program: &Program,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let mut link = program.link(Vec::new(), Vec::new());
    for site in uprobe::sites(program, options)? {
        link.join(attach_site(loaded, program, &site, options.pid)?);
    }
    Ok(link)
}

/// Describes the arguments to the program and hangs it on one place.
pub(super) fn attach_site(
    loaded: &Loaded,
    program: &Program,
    site: &Site,
    pid: Option<i32>,
) -> Result<Link, AttachError> {
    let failed = |source| program.failed(format!("arguments of `{}`", program.target), source);
    let cookie = match (&site.spec, loaded.map(SPECS)) {
        (Some(spec), Some(map)) => {
            if KernelRelease::running() < KernelRelease::new(5, 15, 0) {
                return Err(AttachError::UnsupportedKernel {
                    program: program.name.clone(),
                    hook: program.section.clone(),
                    needs: "Linux 5.15 to tell a program which probe's arguments it reads",
                });
            }
            let mut specs = loaded.usdt_specs.lock().unwrap_or_else(PoisonError::into_inner);
            let known = specs.iter().position(|known| known == spec);
            let number = known.unwrap_or(specs.len());
            let key = u32::try_from(number).map_err(|error| failed(io::Error::other(error)))?;
            if known.is_none() {
                if spec.len() != map.value_size() as usize {
                    return Err(failed(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("map `{SPECS}` has values of {} bytes, not {}", map.value_size(), spec.len()),
                    )));
                }
                map.update(&key.to_ne_bytes(), spec).map_err(failed)?;
                specs.push(spec.clone());
            }
            u64::from(key)
        }
        // The program does not ask for arguments.
        _ => 0,
    };
    uprobe::attach_site(program, site, pid, cookie)
}

/// One place of a probe.
pub(super) struct Probe {
    pub(super) offset: u64,
    pub(super) counter: u32,
    pub(super) spec: Vec<u8>,
}

/// The places of `provider:name` in a file.
pub(super) fn probes(binary: &mut Binary<'_>, target: &str) -> io::Result<Vec<Probe>> {
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let (provider, name) = target
        .split_once(':')
        .ok_or_else(|| invalid(format!("`{target}` is not of the form provider:probe")))?;
    let Some(notes) = binary.section(NOTES)? else { return Ok(Vec::new()) };
    let base = binary.section_address(".stapsdt.base");
    let mut probes = Vec::new();
    for note in Notes(&notes) {
        let note = note.ok_or_else(|| invalid(format!("`{NOTES}` is broken")))?;
        if note.provider != provider.as_bytes() || note.name != name.as_bytes() {
            continue;
        }
        // Prelinking moves code after the notes were written.
        let moved = base.filter(|_| note.base != 0).map_or(0, |base| base.wrapping_sub(note.base));
        let offset = binary
            .code_offset(note.location.wrapping_add(moved))
            .ok_or_else(|| invalid(format!("probe `{target}` lies outside of the code")))?;
        let counter = match note.counter {
            0 => 0,
            counter => binary
                .data_offset(counter.wrapping_add(moved))
                .and_then(|offset| u32::try_from(offset).ok())
                .ok_or_else(|| {
                    invalid(format!("the counter of probe `{target}` lies outside of the file"))
                })?,
        };
        let arguments = std::str::from_utf8(note.arguments).unwrap_or_default();
        let spec = arguments::parse(arguments).ok_or_else(|| {
            invalid(format!("the arguments `{arguments}` of probe `{target}` are not known"))
        })?;
        probes.push(Probe { offset, counter, spec });
        if probes.len() == MAX_PLACES {
            break;
        }
    }
    Ok(probes)
}

struct Note<'a> {
    location: u64,
    base: u64,
    counter: u64,
    provider: &'a [u8],
    name: &'a [u8],
    arguments: &'a [u8],
}

/// The notes of a section; `None` once for one that is broken.
struct Notes<'a>(&'a [u8]);

impl<'a> Iterator for Notes<'a> {
    type Item = Option<Note<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let Some((description, rest)) = split(self.0) else {
                self.0 = &[];
                return Some(None);
            };
            self.0 = rest;
            if let Some(description) = description {
                return Some(note(description));
            }
        }
        None
    }
}

/// The description of the first note, if it is of our kind, and all behind it.
fn split(notes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let word = |at: usize| notes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    let (name_len, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let start = 12usize.checked_add(name_len.checked_next_multiple_of(4)?)?;
    let end = start.checked_add(len)?;
    let name = notes.get(12..12usize.checked_add(name_len)?)?;
    let description = notes.get(start..end)?;
    let rest = notes.get(end.checked_next_multiple_of(4)?..).unwrap_or_default();
    Some(((name == NOTE_NAME && kind == NOTE_TYPE).then_some(description), rest))
}

fn note(description: &[u8]) -> Option<Note<'_>> {
    let word = |at: usize| description.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    let mut texts = description.get(24..)?.split(|byte| *byte == 0);
    Some(Note {
        location: word(0)?,
        base: word(8)?,
        counter: word(16)?,
        provider: texts.next()?,
        name: texts.next()?,
        arguments: texts.next()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Notes;

    proptest! {
        /// Guarantees: no notes, however broken, make the reader panic or run on.
        #[test]
        fn broken_notes_are_harmless(notes in proptest::collection::vec(any::<u8>(), 0..200)) {
            assert!(Notes(&notes).count() <= notes.len());
        }
    }
}
