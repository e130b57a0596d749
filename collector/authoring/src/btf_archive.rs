//! From a folder of whole types to a layer of cut ones, for kernels that show none.
//!
//! BTFHub keeps whole types for the kernels of distributions. [`pack`] cuts of each what an object asks for and makes the
//! layer that [`ig_image::btfgen`] reads at run time, always the same bytes from the same files.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use ig_image::Arch;
use ig_image::btfgen::{EXTENSION, MAX_TYPES};
use ig_kernel::btf::Btf;
use ig_loader::{Object, min_btf};
use lzma_rust2::XzReader;

mod error;
#[cfg(test)]
mod tests;

pub use error::PackError;

/// Endings of the files that are read.
const PACKED: &str = ".btf.tar.xz";
/// Most files and folders of an archive; BTFHub has a fifth of it.
const MAX_ENTRIES: usize = 50_000;
/// Deepest folder.
const MAX_DEPTH: usize = 8;
/// Most memory for decompression, in KiB.
const MAX_MEMORY_KIB: u32 = 256 << 10;

/// A layer of cut types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The tar.gz.
    pub layer: Vec<u8>,
    /// How many kernels it has types for.
    pub kernels: usize,
    /// Files of the archive that are not where BTFHub would have them, and were left out.
    pub misplaced: Vec<PathBuf>,
}

/// Cuts for `object` the types of every kernel of `arch` that `folder` has.
///
/// Reads `*.btf.tar.xz` and plain `*.btf` at `<ID>/<VERSION_ID>/<architecture>/<release>…`, where the architecture may
/// have any of its names. `each` is told of every file before it is read, with its number and how many there are.
///
/// # Errors
/// [`PackError`]; one unreadable file is enough, because a kernel that is silently missing is found out too late.
pub fn pack(
    object: &[u8],
    folder: &Path,
    arch: Arch,
    each: &mut dyn FnMut(&Path, usize, usize),
) -> Result<Packed, PackError> {
    let object = Object::parse("object", object).map_err(|error| PackError::Object(Box::new(error)))?;
    let mut found = Vec::new();
    let mut seen = 0;
    list(folder, folder, 0, &mut seen, &mut found)?;
    found.sort();
    let mut misplaced = Vec::new();
    let mut wanted: Vec<(String, PathBuf)> = Vec::new();
    for path in found {
        match place(folder, &path) {
            None => misplaced.push(path),
            Some((name, machine)) if names(arch).contains(&machine.as_str()) => wanted.push((name, path)),
            Some(_) => {}
        }
    }
    // Plain files sort before packed ones of the same name, and win.
    wanted.sort();
    wanted.dedup_by(|later, first| later.0 == first.0);
    let count = wanted.len();
    let mut files = Vec::with_capacity(count);
    for (index, (name, path)) in wanted.into_iter().enumerate() {
        each(&path, index + 1, count);
        let kernel = Btf::parse(read(&path)?, None)
            .map_err(|source| PackError::Types { path: path.clone(), source })?;
        let cut = min_btf::cut(&object, &kernel)
            .map_err(|source| PackError::Cut { path, source: Box::new(source) })?;
        files.push((name, cut));
    }
    let layer = write_layer(&files).map_err(PackError::Write)?;
    Ok(Packed { layer, kernels: count, misplaced })
}

/// Names of an architecture in archives.
fn names(arch: Arch) -> [&'static str; 2] {
    match arch {
        Arch::Amd64 => ["x86_64", "amd64"],
        Arch::Arm64 => ["arm64", "aarch64"],
    }
}

/// Collects the files with types; links are not followed.
fn list(
    root: &Path,
    folder: &Path,
    depth: usize,
    seen: &mut usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), PackError> {
    let fault = |source| PackError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        *seen += 1;
        if *seen > MAX_ENTRIES {
            return Err(PackError::TooMany { path: root.to_owned(), limit: MAX_ENTRIES });
        }
        let (path, kind) = (entry.path(), entry.file_type().map_err(fault)?);
        if kind.is_dir() && depth < MAX_DEPTH {
            list(root, &path, depth + 1, seen, found)?;
        } else if kind.is_file() && stem(&path).is_some() {
            found.push(path);
        }
    }
    Ok(())
}

/// The release that a file is named after.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(PACKED).or_else(|| name.strip_suffix(EXTENSION)).filter(|stem| !stem.is_empty())
}

/// The name of a file in the layer, and its architecture. The archive may lie within other folders.
fn place(root: &Path, path: &Path) -> Option<(String, String)> {
    let relative = path.strip_prefix(root).ok()?;
    let mut parts: Vec<&str> = relative.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    parts.pop();
    let [.., id, version, machine] = parts.as_slice() else { return None };
    Some((format!("{id}/{version}/{machine}/{}{EXTENSION}", stem(path)?), (*machine).to_owned()))
}

/// The types in a file, unpacked.
fn read(path: &Path) -> Result<Vec<u8>, PackError> {
    let fault = |source| PackError::Read { path: path.to_owned(), source };
    let content = |problem| PackError::Content { path: path.to_owned(), problem };
    let file = BufReader::new(File::open(path).map_err(fault)?);
    let is_packed = path.to_string_lossy().ends_with(PACKED);
    if !is_packed {
        return bounded(file).map_err(fault)?.ok_or_else(|| content("is too large"));
    }
    let unpacked = XzReader::new_mem_limit(file, true, MAX_MEMORY_KIB).take(2 * MAX_TYPES);
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries().map_err(fault)?.raw(true) {
        let mut entry = entry.map_err(fault)?;
        let is_types = entry.path_bytes().ends_with(EXTENSION.as_bytes());
        if entry.header().entry_type().is_file() && is_types {
            return bounded(&mut entry)
                .map_err(fault)?
                .ok_or_else(|| content("holds a file that is too large"));
        }
    }
    Err(content("holds no .btf file"))
}

/// All of it; `None` if it is more than a kernel's types can be.
fn bounded(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(MAX_TYPES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_TYPES).then_some(bytes))
}

/// Packs files, sorted by name, without anything that differs from one build to the next.
fn write_layer(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    archive.mode(tar::HeaderMode::Deterministic);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    let mut gzip = archive.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}
