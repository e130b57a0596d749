//! A tar archive as a table of the files that a layout has: names first, contents when asked for.
//!
//! Headers are walked without reading what lies between them, so that an archive is refused before it costs anything.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{ArchiveError, MemberProblem};
use crate::store::{Limits, graph};

/// The most bytes of an extension header: long names, times with fractions.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// An archive that was found to have nothing but files under clean names.
#[derive(Debug)]
pub(super) struct Archive<R> {
    path: PathBuf,
    input: R,
    members: BTreeMap<String, Span>,
}

/// Where a member's content lies.
#[derive(Clone, Copy, Debug)]
struct Span {
    offset: u64,
    size: u64,
}

impl Archive<BufReader<File>> {
    /// Opens the archive in a file.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, ArchiveError> {
        let fault = || ArchiveError::io("open", path);
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(fault())?;
        let metadata = file.metadata().map_err(fault())?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a folder" } else { "not a regular file" };
            return Err(ArchiveError::NotTar { path: path.to_owned(), what });
        }
        Self::scan(path.to_owned(), BufReader::new(file), metadata.len(), limits)
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the headers of an archive of `length` bytes.
    fn scan(path: PathBuf, mut input: R, length: u64, limits: &Limits) -> Result<Self, ArchiveError> {
        refuse_others(&path, &mut input)?;
        let fault = |source| ArchiveError::Io { action: "read", path: path.clone(), source };
        let mut members = BTreeMap::new();
        let mut archive = tar::Archive::new(input);
        let mut count = 0;
        let mut long_name = None;
        for entry in archive.entries_with_seek().map_err(fault)?.raw(true) {
            count += 1;
            if count > limits.count {
                return Err(ArchiveError::TooMany { path, limit: limits.count });
            }
            let mut entry = entry.map_err(fault)?;
            let kind = entry.header().entry_type();
            let raw = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
            let shown = graph::shown(&String::from_utf8_lossy(&raw), 200);
            let refuse =
                |problem| ArchiveError::Member { path: path.clone(), member: shown.clone(), problem };
            let size = entry.header().entry_size().map_err(|_same| refuse(MemberProblem::Header))?;
            let offset = entry.raw_file_position();
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(refuse(MemberProblem::CutShort));
            }
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                if size > EXTENSION_LIMIT {
                    return Err(refuse(MemberProblem::Header));
                }
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(fault)?;
                long_name = if kind.is_gnu_longname() {
                    content.truncate(content.iter().position(|b| *b == 0).unwrap_or(content.len()));
                    Some(content)
                } else {
                    extended_name(&content).map_err(refuse)?
                };
                continue;
            }
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            if !kind.is_file() && !kind.is_contiguous() {
                return Err(refuse(MemberProblem::NotAFile));
            }
            let name = clean(&raw).map_err(refuse)?;
            if size > limits.blob {
                return Err(refuse(MemberProblem::TooLarge));
            }
            if members.insert(name, Span { offset, size }).is_some() {
                return Err(refuse(MemberProblem::Twice));
            }
        }
        Ok(Self { path, input: archive.into_inner(), members })
    }

    /// The archive's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The size of a member.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.members.get(name).map(|span| span.size)
    }

    /// The content of a member, for reading once.
    pub(super) fn member(&mut self, name: &str) -> io::Result<io::Take<&mut R>> {
        let span = self.members.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.input.seek(SeekFrom::Start(span.offset))?;
        Ok((&mut self.input).take(span.size))
    }

    /// A file that each layout has, whole.
    pub(super) fn document(&mut self, name: &'static str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path.clone();
        let Some(size) = self.size(name) else { return Err(ArchiveError::Missing { path, member: name }) };
        if size > limit {
            let problem = MemberProblem::TooLarge;
            return Err(ArchiveError::Member { path, member: name.to_owned(), problem });
        }
        let mut content = Vec::new();
        self.member(name)
            .and_then(|mut member| member.read_to_end(&mut content))
            .map_err(ArchiveError::io("read", &path))?;
        Ok(content)
    }
}

/// Reads the headers of an archive in memory, and the files that each layout has.
///
/// # Errors
/// Those of an import that have to do with the form of an archive.
pub fn check(content: &[u8], limits: &Limits) -> Result<(), ArchiveError> {
    let length = content.len() as u64;
    let mut archive = Archive::scan(PathBuf::from("archive"), io::Cursor::new(content), length, limits)?;
    super::import::read_index(&mut archive, limits).map(drop)
}

/// Says what a file is if it is one of those that people take for archives.
fn refuse_others(path: &Path, input: &mut (impl Read + Seek)) -> Result<(), ArchiveError> {
    let mut start = Vec::new();
    let read = input.by_ref().take(6).read_to_end(&mut start).and_then(|_| input.rewind());
    read.map_err(ArchiveError::io("read", path))?;
    let path = path.to_owned();
    let with = match start.as_slice() {
        [] => return Err(ArchiveError::NotTar { path, what: "empty" }),
        [0x1f, 0x8b, ..] => "gzip",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => return Ok(()),
    };
    Err(ArchiveError::Compressed { path, with })
}

/// The name in a POSIX extension; extensions that change what a member's content is are refused.
fn extended_name(content: &[u8]) -> Result<Option<Vec<u8>>, MemberProblem> {
    let mut name = None;
    for extension in tar::PaxExtensions::new(content) {
        let extension = extension.map_err(|_malformed| MemberProblem::Header)?;
        match extension.key_bytes() {
            b"path" => name = Some(extension.value_bytes().to_vec()),
            b"linkpath" => return Err(MemberProblem::NotAFile),
            b"size" => return Err(MemberProblem::TooLarge),
            key if key.starts_with(b"GNU.sparse") => return Err(MemberProblem::NotAFile),
            _ => {}
        }
    }
    Ok(name)
}

/// The name without what means nothing in it; names that lead out of the archive are refused.
fn clean(raw: &[u8]) -> Result<String, MemberProblem> {
    let name = std::str::from_utf8(raw).map_err(|_same| MemberProblem::NotText)?;
    if name.starts_with('/') || name.contains('\0') {
        return Err(MemberProblem::Outside);
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() || parts.contains(&"..") {
        return Err(MemberProblem::Outside);
    }
    Ok(parts.join("/"))
}
