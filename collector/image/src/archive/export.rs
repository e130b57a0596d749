//! Writing an archive: the images, their signatures, nothing of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::Digest as _;

use super::error::ArchiveError;
use crate::manifest::{Annotations, Descriptor, Index, to_json};
use crate::store::Store;
use crate::{Digest, Reference};

impl Store {
    /// Writes images with their signatures into one tar file, which replaces `to` when it is complete.
    ///
    /// The same images give the same bytes.
    ///
    /// # Errors
    /// [`ArchiveError`] if an image is missing, incomplete or damaged, or the file cannot be written; `to` is as it was
    /// then.
    pub fn export(&self, images: &[Reference], to: &Path) -> Result<(), ArchiveError> {
        let mut blobs = BTreeMap::new();
        let mut listed = Vec::new();
        for image in images {
            for entry in self.with_signatures(image)? {
                self.gather(&entry, &mut blobs).map_err(|source| ArchiveError::Image {
                    name: entry.ref_name().unwrap_or(&entry.digest).to_owned(),
                    source: Box::new(source),
                })?;
                listed.extend(self.manifests_of(&entry));
                listed.push(entry);
            }
        }
        let index = sorted(listed);
        write_file(to, |out| self.write_archive(&blobs, &index, out, to))
    }

    fn write_archive(
        &self,
        blobs: &BTreeMap<Digest, u64>,
        index: &Index,
        out: &mut dyn Write,
        to: &Path,
    ) -> Result<(), ArchiveError> {
        let fault = || ArchiveError::io("write", to);
        let mut tar = tar::Builder::new(out);
        // Sorted by digest, which is sorted by name, and `blobs` comes before the rest.
        for (&digest, &size) in blobs {
            let name = format!("blobs/sha256/{}", digest.hex());
            let path = self.path().join(&name);
            let file = self.open_blob(digest).map_err(|source| ArchiveError::Image {
                name: digest.to_string(),
                source: Box::new(crate::store::WalkError::Blob {
                    media_type: "blob".to_owned(),
                    digest: digest.to_string(),
                    source,
                }),
            })?;
            let actual = file.metadata().map_err(ArchiveError::io("read", &path))?.len();
            if actual != size {
                let cut = io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it has {actual} bytes, expected {size}"),
                );
                return Err(ArchiveError::io("read", &path)(cut));
            }
            let mut hashing = Hashing { inner: file.take(size), hasher: sha2::Sha256::new() };
            tar.append(&header(&name, size, 0o444).map_err(fault())?, &mut hashing).map_err(fault())?;
            let actual = Digest::from(hashing.hasher);
            if actual != digest {
                return Err(ArchiveError::Content { digest, actual });
            }
        }
        let index = to_json(index).map_err(|source| ArchiveError::Document {
            path: to.to_owned(),
            member: "index.json",
            source,
        })?;
        for (name, content) in
            [("index.json", index.as_slice()), ("oci-layout", crate::store::LAYOUT_CONTENT)]
        {
            let header = header(name, content.len() as u64, 0o644).map_err(fault())?;
            tar.append(&header, content).map_err(fault())?;
        }
        tar.into_inner().and_then(Write::flush).map_err(fault())
    }
}

/// Reads and hashes.
struct Hashing<R> {
    inner: R,
    hasher: sha2::Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The header of a file that belongs to nobody and was written at no time.
fn header(name: &str, size: u64, mode: u32) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// The archive's index: each entry once, by digest, then by name. What has a name needs no entry without.
fn sorted(mut listed: Vec<Descriptor>) -> Index {
    let named: BTreeSet<String> =
        listed.iter().filter(|entry| entry.ref_name().is_some()).map(|entry| entry.digest.clone()).collect();
    listed.retain(|entry| entry.ref_name().is_some() || !named.contains(&entry.digest));
    let key = |entry: &Descriptor| (entry.digest.clone(), entry.ref_name().map(str::to_owned));
    listed.sort_by_cached_key(key);
    listed.dedup_by_key(|entry| key(entry));
    Index::of(listed, Annotations::new())
}

/// Lets `write` fill a file that replaces `to` when it is complete. A device or a pipe is written to as it is.
fn write_file(
    to: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let fault = || ArchiveError::io("write", to);
    // The file behind a link is what is replaced, not the link.
    let (to, is_special) = match fs::metadata(to) {
        Ok(metadata) if metadata.is_dir() => return Err(fault()(io::ErrorKind::IsADirectory.into())),
        Ok(metadata) => (fs::canonicalize(to).map_err(fault())?, !metadata.is_file()),
        Err(_) => (to.to_owned(), false),
    };
    if is_special {
        let mut file = OpenOptions::new().write(true).open(&to).map_err(fault())?;
        return write(&mut file);
    }
    let folder = match to.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".export.")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(fault())?;
    write(&mut io::BufWriter::with_capacity(1 << 17, file.as_file_mut()))?;
    file.as_file().sync_all().map_err(fault())?;
    file.persist(&to).map_err(|error| fault()(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault())
}
