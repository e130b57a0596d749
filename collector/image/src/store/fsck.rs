//! Checking a store, and putting right what can be put right.
//!
//! Blobs are hashed without the lock, for that takes long and they never change; everything about the index is decided
//! under it. A repair takes away what is damaged and keeps what is not: it never invents a name. What it had to give up
//! is said, so that a person can pull or build it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::error::BlobError;
use super::graph::{self, OnDisk, Source};
use super::hold::{self, Held};
use super::{Access, Limits, Store, StoreError, blob, collect, ingest, layout, lock};
use crate::manifest::{Annotations, Descriptor, Index};
use crate::{Arch, Digest};

mod fault;
mod salvage;

pub use fault::{Fault, Report};
pub use salvage::entries as salvage;

/// Whether faults are only found or also put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Found.
    No,
    /// Put right, as far as possible.
    Yes,
}

impl Store {
    /// Checks the store in `path`: every blob against its digest, every entry of the index for being complete.
    ///
    /// This opens nothing: the store may be in too bad a state for that.
    ///
    /// # Errors
    /// [`StoreError`] if the folder is not a store, or cannot be read; with [`Repair::Yes`] also if it cannot be
    /// written.
    pub fn check(path: &Path, limits: &Limits, repair: Repair) -> Result<Report, StoreError> {
        if layout::access(path)? == Access::ReadOnly && repair == Repair::Yes {
            return Err(StoreError::ReadOnly { path: path.to_owned() });
        }
        let mut check = Check { root: path, limits, faults: Vec::new(), damaged: BTreeSet::new() };
        check.layout()?;
        let (blobs, bytes) = check.blobs()?;
        let exclusive = if repair == Repair::Yes { Some(lock::lock(path)?) } else { None };
        let shared = if repair == Repair::No { lock::lock_shared(path)? } else { None };
        let (before, is_damaged) = check.index()?;
        let mut after = before.clone();
        check.entries(&mut after);
        check.leftovers()?;
        // Not even whose process lives can be seen without the lock.
        let held = if repair == Repair::Yes { hold::held(path)? } else { Held::default() };
        let kept = collect::mark(path, &after, &held, limits)?;
        let mut report = Report {
            images: after.manifests.iter().filter(|entry| entry.ref_name().is_some()).count(),
            blobs,
            bytes,
            ..Report::default()
        };
        for (digest, _, metadata) in collect::blobs(path)? {
            if !kept.contains(&digest) && !check.damaged.contains(&digest) {
                report.garbage += 1;
                report.garbage_bytes += metadata.len();
            }
        }
        if repair == Repair::Yes {
            check.repair(&after, after != before || is_damaged)?;
        }
        drop((exclusive, shared));
        report.faults = check.faults;
        report.is_repaired = repair == Repair::Yes;
        Ok(report)
    }
}

struct Check<'a> {
    root: &'a Path,
    limits: &'a Limits,
    faults: Vec<Fault>,
    damaged: BTreeSet<Digest>,
}

impl Check<'_> {
    /// A folder without any sign of being a store is not taken for one, and stays as it is.
    fn layout(&mut self) -> Result<(), StoreError> {
        let path = self.root.join(layout::LAYOUT);
        match layout::check(self.root) {
            Ok(true) => Ok(()),
            Ok(false) if self.root.join(blob::FOLDER).is_dir() || self.root.join(layout::INDEX).is_file() => {
                self.faults.push(Fault::Layout { path, cause: "it does not exist".to_owned() });
                Ok(())
            }
            Ok(false) => Err(StoreError::NotALayout { path, source: None }),
            Err(StoreError::NotALayout { source: Some(source), .. }) => {
                self.faults.push(Fault::Layout { path, cause: source.to_string() });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Hashes every blob; answers how many there are, and their bytes.
    fn blobs(&mut self) -> Result<(usize, u64), StoreError> {
        let (mut count, mut bytes) = (0, 0);
        for (digest, path, metadata) in collect::blobs(self.root)? {
            count += 1;
            bytes += metadata.len();
            let cause = match blob::measure(&path) {
                Ok((_, actual)) if actual == digest => continue,
                Ok((size, actual)) => format!("it has {size} bytes with digest {actual}"),
                // Removed by somebody else since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
                Err(error) => {
                    self.faults.push(Fault::Unreadable { path, cause: error.to_string() });
                    continue;
                }
            };
            self.damaged.insert(digest);
            self.faults.push(Fault::Blob { path, cause });
        }
        Ok((count, bytes))
    }

    /// The index as it is, or what is left of it, and whether it is damaged.
    fn index(&mut self) -> Result<(Index, bool), StoreError> {
        let path = self.root.join(layout::INDEX);
        let (left, cause) = match layout::read_index_if_any(self.root) {
            Ok(Some(index)) => return Ok((index, false)),
            Ok(None) => (Vec::new(), "it does not exist".to_owned()),
            Err(error @ (StoreError::BadIndex { .. } | StoreError::TooLarge { .. })) => {
                let cause = match &error {
                    StoreError::BadIndex { source, .. } => source.to_string(),
                    error => error.to_string(),
                };
                (salvage::entries(&layout::read_damaged_index(self.root)?), cause)
            }
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
                (Vec::new(), source.to_string())
            }
            Err(error) => return Err(error),
        };
        let mut index = Index::of(left, Annotations::new());
        let recovered = index.manifests.iter().filter(|entry| entry.ref_name().is_some()).count();
        self.faults.push(Fault::Index { path, cause, recovered });
        let nameless = salvage::complete(self.root, &mut index, self.limits)?;
        self.faults.extend(nameless);
        Ok((index, true))
    }

    /// Finds the entries that lead to nothing usable, and takes them out.
    fn entries(&mut self, index: &mut Index) {
        let mut names = BTreeSet::new();
        let mut kept = Vec::new();
        // The last entry of a name is the one that counts.
        for mut entry in std::mem::take(&mut index.manifests).into_iter().rev() {
            if let Some(name) = entry.ref_name()
                && !names.insert(name.to_owned())
            {
                self.faults
                    .push(Fault::Duplicate { name: graph::clip(name), digest: graph::clip(&entry.digest) });
                entry = super::without_name(&entry);
            } else if let Some(name) = entry.ref_name()
                && super::check_name(name, &entry).is_err()
            {
                self.faults
                    .push(Fault::Misnamed { name: graph::clip(name), digest: graph::clip(&entry.digest) });
                entry = super::without_name(&entry);
            }
            let mut source = Intact { disk: OnDisk(self.root), damaged: &self.damaged };
            let walked = graph::walk(&mut source, &entry, self.limits, &mut BTreeMap::new());
            let Err(error) = walked else {
                kept.push(entry);
                continue;
            };
            let is_usable = self.is_usable_here(&entry);
            let name = entry.ref_name().map(graph::clip);
            let cause = ig_model::chain(&error);
            self.faults.push(Fault::Entry { name, digest: graph::clip(&entry.digest), cause, is_usable });
            if is_usable {
                kept.push(entry);
            }
        }
        kept.reverse();
        index.manifests = kept;
        self.faults.sort_by_key(Fault::order);
    }

    /// Whether the part of an image that this machine runs is complete.
    fn is_usable_here(&self, entry: &Descriptor) -> bool {
        let mut source = Intact { disk: OnDisk(self.root), damaged: &self.damaged };
        let Ok(links) = graph::links(&mut source, entry, self.limits.document) else { return false };
        let here = Arch::host().name();
        links.manifests.iter().any(|manifest| {
            manifest.platform.as_ref().is_some_and(|platform| platform.architecture == here)
                && graph::walk(&mut source, manifest, self.limits, &mut BTreeMap::new()).is_ok()
        })
    }

    fn leftovers(&mut self) -> Result<(), StoreError> {
        let torn = layout::leftovers(self.root)?;
        self.faults.extend(torn.into_iter().map(|path| Fault::Leftover { path }));
        let partial = ingest::stale(self.root)?;
        self.faults.extend(partial.into_iter().map(|stale| Fault::Leftover { path: stale.path }));
        Ok(())
    }

    fn repair(&self, index: &Index, write_index: bool) -> Result<(), StoreError> {
        if write_index {
            layout::write_index(self.root, index)?;
        }
        for fault in &self.faults {
            match fault {
                Fault::Layout { .. } => layout::write_layout(self.root)?,
                Fault::Blob { path, .. } => remove_damaged(path)?,
                Fault::Leftover { path } => remove(path)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Removes a blob unless another process has put it right since it was hashed.
fn remove_damaged(path: &Path) -> Result<(), StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match blob::measure(path) {
        Ok((_, actual)) if actual.hex() == name => Ok(()),
        _ => remove(path),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The blobs that were found to be what their names say.
struct Intact<'a> {
    disk: OnDisk<'a>,
    damaged: &'a BTreeSet<Digest>,
}

impl Source for Intact<'_> {
    fn document(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
        self.disk.document(digest, size, limit)
    }

    fn leaf(&mut self, digest: Digest, size: u64) -> Result<(), BlobError> {
        if self.damaged.contains(&digest) {
            let source = io::Error::new(io::ErrorKind::InvalidData, "its content is damaged");
            return Err(BlobError::Io { path: blob::path(self.disk.0, digest), source });
        }
        self.disk.leaf(digest, size)
    }
}
