//! The entries of a store's index: names, and what has none.
//!
//! Each name is an entry of its own, also where several lead to one digest; a document without a name is listed once.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ResolveError, WalkError};
use super::graph::{self, OnDisk};
use super::{ImageDescriptor, Store, StoreError, layout};
use crate::manifest::{Descriptor, Index, REF_NAME};
use crate::{Digest, Reference};

impl Store {
    /// Looks up a name that is not an image's, such as `sha256-<hex>.sig`: it is compared as it is written.
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be read.
    pub fn resolve_tag(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        let index = self.index()?;
        Ok(index.manifests.iter().rev().find(|entry| entry.ref_name() == Some(name)).map(without_name))
    }

    /// Lists an index or manifest whose blobs are stored, under `tag` as it is written, or without a name.
    ///
    /// The manifests of an index are listed too, each without a name, as other programs do. What had the name before
    /// stays in the store without it.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if any blob that it leads to, other than its subject, is missing or of another size:
    /// another process may have removed it since, so pulling it again can help. [`StoreError::Misnamed`] if `tag` is
    /// the name of an image with another digest in it.
    pub fn list_manifest(&self, descriptor: &Descriptor, tag: Option<&str>) -> Result<(), StoreError> {
        self.list_manifests(&[(descriptor.clone(), tag.map(str::to_owned))])
    }

    /// Lists several documents, all of them or none.
    pub(crate) fn list_manifests(&self, listed: &[(Descriptor, Option<String>)]) -> Result<(), StoreError> {
        self.check_writable()?;
        let incomplete = |descriptor: &Descriptor, source| StoreError::Incomplete {
            path: self.path().to_owned(),
            digest: graph::clip(&descriptor.digest),
            source: Box::new(source),
        };
        self.update(|index| {
            let mut seen = BTreeMap::new();
            for (descriptor, tag) in listed {
                let source = &mut OnDisk(self.path());
                graph::walk(source, descriptor, self.limits(), &mut seen)
                    .map_err(|error| incomplete(descriptor, error))?;
                if graph::is_document(&descriptor.media_type) {
                    let links = graph::links(source, descriptor, self.limits().document)
                        .map_err(|error| incomplete(descriptor, error))?;
                    for entry in links.manifests {
                        list_nameless(index, without_name(&entry));
                    }
                }
                list_entry(index, without_name(descriptor), tag.as_deref())?;
            }
            Ok(seen.into_keys().collect())
        })
    }

    /// The entry of an image under its full name, or under its digest, with those of its signatures: what has it as
    /// subject, what is about those, and what has it in its tag.
    pub(crate) fn with_signatures(&self, image: &Reference) -> Result<Vec<Descriptor>, ResolveError> {
        let resolved = self.resolve(image)?;
        let index = self.index()?;
        let name = image.to_string();
        let mut root = Descriptor {
            media_type: resolved.media_type,
            digest: resolved.digest.to_string(),
            size: resolved.size,
            annotations: resolved.annotations,
            ..Descriptor::default()
        };
        root.annotations.insert(REF_NAME.to_owned(), name);
        let mut about = BTreeMap::<String, Vec<&Descriptor>>::new();
        for referrer in
            graph::all_referrers(self.path(), &index, self.limits()).flatten().take(self.limits().count)
        {
            about.entry(referrer.subject.digest).or_default().push(referrer.entry);
        }
        let mut found = vec![root];
        let mut seen = BTreeSet::new();
        let mut at = 0;
        while let Some(digest) = found.get(at).map(|entry| entry.digest.clone()) {
            at += 1;
            if !seen.insert(digest.clone()) {
                continue;
            }
            found.extend(about.get(&digest).into_iter().flatten().copied().cloned());
            if let Ok(digest) = digest.parse() {
                let tags = signature_tags(digest);
                let is_tagged = |entry: &&Descriptor| {
                    entry.ref_name().is_some_and(|name| tags.iter().any(|tag| tag == name))
                };
                found.extend(index.manifests.iter().filter(is_tagged).cloned());
            }
        }
        Ok(found)
    }

    /// Adds the blobs that `entry` leads to, and keeps them from being collected while they are read.
    pub(crate) fn gather(
        &self,
        entry: &Descriptor,
        blobs: &mut BTreeMap<Digest, u64>,
    ) -> Result<(), WalkError> {
        graph::walk(&mut OnDisk(self.path()), entry, self.limits(), blobs)?;
        for digest in blobs.keys() {
            // Who may not write a lease reads on without one.
            if self.hold(*digest).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The manifests of an image, as the index lists them.
    pub(crate) fn manifests_of(&self, entry: &Descriptor) -> Vec<Descriptor> {
        if !graph::is_document(&entry.media_type) {
            return Vec::new();
        }
        let links = graph::links(&mut OnDisk(self.path()), entry, self.limits().document);
        links.map(|links| links.manifests.iter().map(without_name).collect()).unwrap_or_default()
    }

    /// Edits the index; `change` says which blobs it leads to from now on.
    pub(super) fn update(
        &self,
        change: impl FnOnce(&mut Index) -> Result<BTreeSet<Digest>, StoreError>,
    ) -> Result<(), StoreError> {
        let listed = layout::try_update_index(self.path(), change)?;
        self.lease().release(self.path(), &listed)
    }
}

/// The names under which programs keep signatures and the like of a digest in the same store.
pub(super) fn signature_tags(digest: Digest) -> [String; 4] {
    ["", ".sig", ".att", ".sbom"].map(|suffix| format!("sha256-{}{suffix}", digest.hex()))
}

/// The descriptor without the name that an index gave it.
pub(super) fn without_name(entry: &Descriptor) -> Descriptor {
    let mut entry = entry.clone();
    entry.annotations.remove(REF_NAME);
    entry
}

pub(super) fn describe(reference: &Reference, entry: &Descriptor) -> Result<ImageDescriptor, ResolveError> {
    let digest = entry
        .digest
        .parse()
        .map_err(|source| ResolveError::Digest { reference: Box::new(reference.clone()), source })?;
    Ok(ImageDescriptor {
        reference: reference.clone(),
        media_type: entry.media_type.clone(),
        digest,
        size: entry.size,
        annotations: without_name(entry).annotations,
    })
}

/// Whether the name has a digest in it that is not the entry's.
pub(super) fn is_misnamed(name: &Reference, entry: &Descriptor) -> bool {
    name.digest().is_some_and(|digest| digest.to_string() != entry.digest)
}

/// Refuses a name as it is written, of an image or a signature, that has another digest in it than the entry's.
pub(crate) fn check_name(name: &str, entry: &Descriptor) -> Result<(), StoreError> {
    match Reference::parse(name) {
        Ok(reference) if is_misnamed(&reference, entry) => {
            Err(StoreError::Misnamed { name: name.to_owned(), digest: graph::clip(&entry.digest) })
        }
        _ => Ok(()),
    }
}

/// Adds an entry to a store's index, under a name or without one. A name with another digest in it is refused.
pub(super) fn list_entry(index: &mut Index, entry: Descriptor, tag: Option<&str>) -> Result<(), StoreError> {
    match tag {
        Some(name) => {
            check_name(name, &entry)?;
            list_named(index, entry, name);
        }
        None => list_nameless(index, entry),
    }
    Ok(())
}

/// Adds an entry without a name, if there is none of its digest.
pub(super) fn list_nameless(index: &mut Index, entry: Descriptor) {
    if !index.manifests.iter().any(|other| other.digest == entry.digest) {
        index.manifests.push(entry);
    }
}

fn list_named(index: &mut Index, mut entry: Descriptor, name: &str) {
    let is_named = |other: &Descriptor| other.ref_name() == Some(name);
    let renamed: Vec<_> = index.manifests.extract_if(.., |other| is_named(other)).collect();
    index.manifests.retain(|other| other.digest != entry.digest || other.ref_name().is_some());
    for mut old in renamed {
        old.annotations.remove(REF_NAME);
        if old.digest != entry.digest {
            list_nameless(index, old);
        }
    }
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    index.manifests.push(entry);
}
