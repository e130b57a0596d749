//! Removal of images, and of blobs that nothing leads to any more.
//!
//! What stays: all that a name leads to, what refers to it (signatures), what a live process pins, and what one is
//! storing. Programs that take no part in pins and leases are protected by time: what nothing leads to is removed only
//! once it has been so for a while, except for the blobs of the very image that is being removed.
//!
//! The index is replaced before the first blob goes, so that whoever is killed on the way leaves nothing but garbage
//! for the next collection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::entries::{list_nameless, signature_tags, without_name};
use super::error::{BlobError, ResolveError, WalkError};
use super::graph::{self, OnDisk, Referrer};
use super::hold::{self, Held};
use super::{Limits, Store, StoreError, blob, ingest, layout, lock};
use crate::manifest::{Descriptor, Index};
use crate::{Digest, Reference};

/// How long a blob that nothing leads to is left alone by default: another program may be about to list it.
pub const GRACE: Duration = Duration::from_secs(10 * 60);

/// What became of an image that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The name is gone; another name leads to the same image.
    Name,
    /// The name is gone; a running collector uses the image, or may go back to it, so it stays without a name.
    KeptInUse,
    /// The image is gone.
    Image(Collected),
}

/// What a collection of garbage removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that were removed: blobs, and partial ones that nobody came back to.
    pub files: usize,
    /// The bytes they had.
    pub bytes: u64,
    /// Blobs that nothing leads to but that are too young to be removed.
    pub kept: usize,
}

/// Whether garbage is removed or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// Removed.
    Remove,
    /// Counted.
    DryRun,
}

impl Store {
    /// Removes a name and, if no other leads to the image, the image with its signatures. Blobs that other images or
    /// live processes need stay.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] if there is no such image, [`ResolveError::Named`] if `reference` is a digest that
    /// names lead to; others if the store cannot be read or written.
    pub fn remove(&self, reference: &Reference) -> Result<Removed, ResolveError> {
        self.check_writable()?;
        let _lock = lock::lock(self.path())?;
        let before = layout::read_index_locked(self.path())?;
        let (digest, names) = self.find(&before, reference)?;
        let name = reference.to_string();
        let held = hold::held(self.path())?;
        let mut after = before.clone();
        let is_removed = |entry: &Descriptor| entry.ref_name() == Some(&name);
        let listed = after.manifests.extract_if(.., |entry| is_removed(entry)).last();
        if !names.is_empty() {
            layout::write_index(self.path(), &after)?;
            return Ok(Removed::Name);
        }
        if digest.is_some_and(|digest| held.pinned.contains(&digest)) {
            if let Some(entry) = listed {
                list_nameless(&mut after, without_name(&entry));
                layout::write_index(self.path(), &after)?;
            }
            return Ok(Removed::KeptInUse);
        }
        let mut gone = BTreeSet::new();
        if let Some(digest) = digest {
            let tags = signature_tags(digest);
            after
                .manifests
                .retain(|entry| !entry.ref_name().is_some_and(|name| tags.iter().any(|tag| tag == name)));
            gone = self.was_listed(&before, &after)?;
        }
        Ok(Removed::Image(self.sweep(after, &before, &held, GRACE, &gone, Collect::Remove)?))
    }

    /// Removes what no name leads to and no live process needs, once it is older than `grace` (normally [`GRACE`]).
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or written; [`StoreError::Unreadable`] if the disk fails on a
    /// document, in which case nothing is removed.
    pub fn collect(&self, grace: Duration, collect: Collect) -> Result<Collected, StoreError> {
        self.check_writable()?;
        let _lock = lock::lock(self.path())?;
        let index = layout::read_index_locked(self.path())?;
        let held = hold::held(self.path())?;
        self.sweep(index.clone(), &index, &held, grace, &BTreeSet::new(), collect)
    }

    /// The image's digest, and its names other than `reference`.
    fn find(
        &self,
        index: &Index,
        reference: &Reference,
    ) -> Result<(Option<Digest>, Vec<String>), ResolveError> {
        let name = reference.to_string();
        let by_name = index.manifests.iter().rev().find(|entry| entry.ref_name() == Some(&name));
        let by_digest = || {
            let digest = reference.digest()?.to_string();
            index.manifests.iter().find(|entry| entry.digest == digest)
        };
        let entry = by_name.or_else(by_digest).ok_or_else(|| ResolveError::NotFound {
            reference: Box::new(reference.clone()),
            store: self.path().to_owned(),
        })?;
        let names: Vec<String> = index
            .manifests
            .iter()
            .filter(|other| other.digest == entry.digest)
            .filter_map(|other| other.ref_name())
            .filter(|other| *other != name)
            .map(str::to_owned)
            .collect();
        if by_name.is_none() && !names.is_empty() {
            return Err(ResolveError::Named { reference: Box::new(reference.clone()), names });
        }
        Ok((entry.digest.parse().ok(), names))
    }

    /// What names led to in `before` and do not in `after`.
    fn was_listed(&self, before: &Index, after: &Index) -> Result<BTreeSet<Digest>, StoreError> {
        let nothing = Held::default();
        let kept = mark(self.path(), after, &nothing, self.limits())?;
        Ok(mark(self.path(), before, &nothing, self.limits())?.difference(&kept).copied().collect())
    }

    /// Replaces the index and removes the blobs that it does not lead to: those in `gone` at once, others if old.
    fn sweep(
        &self,
        mut index: Index,
        before: &Index,
        held: &Held,
        grace: Duration,
        gone: &BTreeSet<Digest>,
        collect: Collect,
    ) -> Result<Collected, StoreError> {
        let root = self.path();
        let marked = mark(root, &index, held, self.limits())?;
        let mut garbage = Vec::new();
        let mut removed = BTreeSet::new();
        let mut done = Collected::default();
        for (digest, path, metadata) in blobs(root)? {
            if marked.contains(&digest) || held.leased.contains(&digest) {
                continue;
            }
            if gone.contains(&digest) || age(&metadata) >= grace {
                removed.insert(digest);
                garbage.push((path, metadata.len()));
            } else {
                done.kept += 1;
            }
        }
        garbage.extend(ingest::stale(root)?.into_iter().map(|stale| (stale.path, stale.size)));
        if collect == Collect::Remove {
            index.manifests.retain(|entry| match entry.digest.parse() {
                Ok(digest) => entry.ref_name().is_some() || !removed.contains(&digest),
                Err(_) => true,
            });
            if index != *before {
                layout::write_index(root, &index)?;
            }
            layout::remove_leftovers(root)?;
        }
        for (path, size) in garbage {
            if collect == Collect::Remove {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(StoreError::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
            done.files += 1;
            done.bytes += size;
        }
        Ok(done)
    }
}

/// All blobs that names and pins lead to, with what refers to any of them.
pub(super) fn mark(
    root: &Path,
    index: &Index,
    held: &Held,
    limits: &Limits,
) -> Result<BTreeSet<Digest>, StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: root.to_owned(), source: Box::new(source) };
    let mut about: BTreeMap<String, Vec<&Descriptor>> = BTreeMap::new();
    for referrer in graph::all_referrers(root, index, limits) {
        match referrer {
            Ok(Referrer { entry, subject, .. }) => about.entry(subject.digest).or_default().push(entry),
            Err(error) if error.is_of_disk() => return Err(unreadable(error)),
            Err(_) => {} // what is damaged refers to nothing
        }
    }
    let mut todo: Vec<Descriptor> =
        index.manifests.iter().filter(|entry| entry.ref_name().is_some()).cloned().collect();
    for digest in &held.pinned {
        let text = digest.to_string();
        let entry = index.manifests.iter().find(|entry| entry.digest == text).cloned();
        todo.push(entry.unwrap_or_else(|| Descriptor { digest: text, ..Descriptor::default() }));
    }
    let mut marked = BTreeSet::new();
    while let Some(next) = todo.pop() {
        let Ok(digest) = next.digest.parse::<Digest>() else { continue };
        // Digests of blobs that are not there are not kept: a document may list as many as it likes.
        if marked.contains(&digest) || fs::symlink_metadata(blob::path(root, digest)).is_err() {
            continue;
        }
        marked.insert(digest);
        todo.extend(about.get(&next.digest).into_iter().flatten().copied().cloned());
        match children(root, &next, digest, limits) {
            Ok(children) => todo.extend(children),
            Err(error) if error.is_of_disk() => return Err(unreadable(error)),
            Err(_) => {} // what is damaged leads nowhere
        }
    }
    Ok(marked)
}

fn children(
    root: &Path,
    descriptor: &Descriptor,
    digest: Digest,
    limits: &Limits,
) -> Result<Vec<Descriptor>, WalkError> {
    if graph::is_document(&descriptor.media_type) {
        let links = graph::links(&mut OnDisk(root), descriptor, limits.document)?;
        return Ok(links.children().cloned().collect());
    }
    if !descriptor.media_type.is_empty() {
        return Ok(Vec::new());
    }
    match blob::read_any(root, digest, limits.document) {
        Ok(content) => {
            let links = graph::sniff(&content).map(|(_, links)| links).unwrap_or_default();
            Ok(links.children().cloned().collect())
        }
        Err(BlobError::TooLarge { .. }) => Ok(Vec::new()),
        Err(source) => {
            Err(WalkError::Blob { media_type: "blob".to_owned(), digest: digest.to_string(), source })
        }
    }
}

/// The files among the blobs that are named as blobs are.
pub(super) fn blobs(root: &Path) -> Result<Vec<(Digest, PathBuf, fs::Metadata)>, StoreError> {
    let mut found = Vec::new();
    for path in layout::files(&root.join(blob::FOLDER))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Ok(digest) = format!("sha256:{name}").parse() else { continue };
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => found.push((digest, path, metadata)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        }
    }
    found.sort_by_key(|(digest, ..)| *digest);
    Ok(found)
}

/// How long ago a file was last written or moved; nothing for times to come.
fn age(metadata: &fs::Metadata) -> Duration {
    let changed = Duration::from_secs(metadata.ctime().max(metadata.mtime()).unsigned_abs());
    SystemTime::now().duration_since(UNIX_EPOCH + changed).unwrap_or_default()
}
