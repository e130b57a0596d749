//! Where the symbols of a stripped file are: by build id or by name, below `/usr/lib/debug`.

use std::{
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{elf::Elf, open};

/// Where distributions put such files.
const FOLDER: &str = "usr/lib/debug";
/// Bytes of a file whose checksum is computed.
const MAX_CHECKED: u64 = 512 << 20;

/// Finds the file that belongs to `elf`, which was found as `path` in one of `roots`.
pub(crate) fn find(elf: &Elf, path: &Path, roots: &[File]) -> Option<File> {
    by_build_id(&elf.build_id, roots).or_else(|| by_link(elf, path, roots))
}

fn by_build_id(id: &[u8], roots: &[File]) -> Option<File> {
    let (first, rest) = id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = PathBuf::from(format!("{FOLDER}/.build-id/{first:02x}/{rest}.debug"));
    roots.iter().find_map(|root| open::in_root(root, &path).ok())
}

fn by_link(elf: &Elf, path: &Path, roots: &[File]) -> Option<File> {
    let (name, checksum) = elf.debug_link.as_ref()?;
    let name = std::ffi::OsStr::from_bytes(name);
    let folder = path.parent()?;
    let folder = folder.strip_prefix("/").unwrap_or(folder);
    let candidates =
        [folder.join(name), folder.join(".debug").join(name), Path::new(FOLDER).join(folder).join(name)];
    let fits = |candidate: &PathBuf| {
        let is_itself = path.strip_prefix("/").is_ok_and(|own| own == candidate.as_path());
        let open =
            |root| open::in_root(root, candidate).ok().filter(|file| checksum_of(file) == Some(*checksum));
        if is_itself { None } else { roots.iter().find_map(open) }
    };
    candidates.iter().find_map(fits).and_then(|mut file| {
        std::io::Seek::rewind(&mut file).ok()?;
        Some(file)
    })
}

fn checksum_of(mut file: &File) -> Option<u32> {
    if file.metadata().ok()?.len() > MAX_CHECKED {
        return None;
    }
    let mut checksum = flate2::Crc::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(checksum.sum()),
            read => checksum.update(buffer.get(..read)?),
        }
    }
}
