//! The tar.gz of an image, read as if an enemy had written it.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::kernel::Fit;
use super::{Kernel, MAX_TYPES, SelectError};

/// Most bytes of a layer after decompression.
const MAX_UNPACKED: u64 = 2 << 30;
/// Most entries of a layer.
const MAX_ENTRIES: usize = 50_000;
/// Longest name of an entry.
const MAX_NAME: u64 = 4096;
/// Releases that a miss mentions.
const MAX_NEAR: usize = 5;

/// The types for `kernel` from the bytes of a layer.
///
/// Takes time linear in the layer and memory for one entry.
///
/// # Errors
/// [`SelectError`]; a miss names the file that was looked for.
pub fn select(layer: impl Read, kernel: &Kernel) -> Result<Vec<u8>, SelectError> {
    let mut unpacked = Bounded { inner: MultiGzDecoder::new(layer), left: MAX_UNPACKED, exceeded: false };
    let found = search(&mut unpacked, kernel);
    if unpacked.exceeded {
        return Err(SelectError::TooLarge { what: "bytes", limit: MAX_UNPACKED });
    }
    found
}

fn search(unpacked: &mut impl Read, kernel: &Kernel) -> Result<Vec<u8>, SelectError> {
    let mut archive = Archive::new(unpacked);
    let (mut count, mut seen, mut flat, mut near) = (0, 0, None, Vec::new());
    let mut long_name = None;
    // Raw: the library would read names of any length into memory.
    for entry in archive.entries().map_err(SelectError::Read)?.raw(true) {
        let mut entry = entry.map_err(SelectError::Read)?;
        seen += 1;
        if seen > MAX_ENTRIES {
            return Err(SelectError::TooLarge { what: "entries", limit: MAX_ENTRIES as u64 });
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => {
                checked(&name)?;
                continue;
            }
            EntryType::GNULongName => {
                let mut text = Vec::new();
                entry.by_ref().take(MAX_NAME + 1).read_to_end(&mut text).map_err(SelectError::Read)?;
                if text.len() as u64 > MAX_NAME {
                    return Err(refused(&name, "has a name of absurd length"));
                }
                text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
                long_name = Some(text);
                continue;
            }
            // Times and owners in other forms: nothing that matters here.
            EntryType::XHeader | EntryType::XGlobalHeader => continue,
            EntryType::Link | EntryType::Symlink | EntryType::GNULongLink => {
                return Err(refused(&name, "is a link"));
            }
            _ => return Err(refused(&name, "is neither a file nor a folder")),
        }
        count += 1;
        let plain = checked(&name)?;
        if entry.size() > MAX_TYPES {
            return Err(refused(&name, "is larger than the types of any kernel"));
        }
        match kernel.fit(plain) {
            Fit::Exact => return content(&mut entry),
            Fit::Flat if flat.is_none() => flat = Some(content(&mut entry)?),
            Fit::Near if near.len() < MAX_NEAR => near.extend(plain.rsplit('/').next().map(str::to_owned)),
            _ => {}
        }
    }
    flat.ok_or_else(|| SelectError::missing(kernel, count, near))
}

fn content(entry: &mut impl Read) -> Result<Vec<u8>, SelectError> {
    let mut content = Vec::new();
    entry.take(MAX_TYPES).read_to_end(&mut content).map_err(SelectError::Read)?;
    Ok(content)
}

/// The name without a leading `./`; an error if it leads out of the archive.
fn checked(name: &str) -> Result<&str, SelectError> {
    if name.starts_with('/') {
        return Err(refused(name, "has an absolute name"));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(refused(name, "leads out of the archive"));
    }
    Ok(name.strip_prefix("./").unwrap_or(name))
}

fn refused(name: &str, problem: &'static str) -> SelectError {
    let entry = name.chars().take(100).flat_map(char::escape_default).collect();
    SelectError::Refused { entry, problem }
}

/// Ends with an error instead of going on without end.
struct Bounded<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            self.exceeded = true;
            io::Error::other("too many bytes after decompression")
        })?;
        Ok(read)
    }
}
