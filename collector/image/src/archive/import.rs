//! Reading an archive into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use serde::Deserialize;

use super::error::ArchiveError;
use super::read::Archive;
use crate::manifest::{Descriptor, Index};
use crate::store::graph::{self, Source};
use crate::store::{BlobError, IngestError, Limits, Store, check_name};
use crate::{Digest, Reference};

/// What an import brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The names that now lead to the images of the archive, sorted; signatures have no name of this kind.
    pub names: Vec<String>,
}

impl Store {
    /// Reads the images of an archive into the store, with their signatures, under the names they have in it. A name
    /// that is in the store already leads to the archive's image from then on.
    ///
    /// Blobs that were read before a fault was found stay held until the process ends; the next collection of garbage
    /// removes them.
    ///
    /// # Errors
    /// [`ArchiveError`] if the archive is not one of images, or any image in it is incomplete, damaged or named by the
    /// digest of another; the store lists what it listed before then.
    pub fn import(&self, from: &Path) -> Result<Imported, ArchiveError> {
        self.check_writable()?;
        let mut archive = Archive::open(from, self.limits())?;
        let index = read_index(&mut archive, self.limits())?;
        let mut blobs = Importing { archive: &mut archive, store: self, left: self.limits().total };
        let mut listed = named_entries(from, &index)?;
        let roots: BTreeSet<String> = listed.iter().map(|(entry, _)| entry.digest.clone()).collect();
        let mut seen = BTreeMap::new();
        for (entry, name) in &listed {
            copy(&mut blobs, entry, name.as_deref(), self.limits(), &mut seen)?;
        }
        let mut waiting: Vec<&Descriptor> = index
            .manifests
            .iter()
            .filter(|entry| entry.ref_name().is_none() && graph::is_document(&entry.media_type))
            .filter(|entry| !roots.contains(&entry.digest))
            .collect();
        // Signatures of signatures come after what they sign.
        loop {
            let (about, others) = split(&mut blobs, waiting, self.limits(), &seen)?;
            if about.is_empty() {
                break;
            }
            for entry in about {
                copy(&mut blobs, entry, None, self.limits(), &mut seen)?;
                listed.push((entry.clone(), None));
            }
            waiting = others;
        }
        self.list_manifests(&listed)?;
        let mut names: Vec<String> =
            listed.into_iter().filter_map(|(_, name)| name).filter(|name| !is_signature_tag(name)).collect();
        names.sort();
        names.dedup();
        Ok(Imported { names })
    }
}

/// Whether a tag is one of those that signatures have in a layout.
fn is_signature_tag(name: &str) -> bool {
    name.strip_prefix("sha256-").is_some_and(|rest| {
        let hex = rest.split('.').next().unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) && !name.contains(['/', ':'])
    })
}

/// The entries with a name, each with the name it gets in the store.
fn named_entries(path: &Path, index: &Index) -> Result<Vec<(Descriptor, Option<String>)>, ArchiveError> {
    let mut found = Vec::new();
    for entry in &index.manifests {
        let Some(name) = entry.ref_name() else { continue };
        let name = if is_signature_tag(name) {
            name.to_owned()
        } else {
            let fault = |source| ArchiveError::Name { path: path.to_owned(), source };
            let name = Reference::parse(name).map_err(fault)?.to_string();
            check_name(&name, entry)?;
            name
        };
        found.push((entry.clone(), Some(name)));
    }
    if found.is_empty() { Err(ArchiveError::NoNames { path: path.to_owned() }) } else { Ok(found) }
}

/// Checks that the archive is a layout and reads its index.
pub(super) fn read_index<R: Read + Seek>(
    archive: &mut Archive<R>,
    limits: &Limits,
) -> Result<Index, ArchiveError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    let path = archive.path().to_owned();
    let fault = |member| {
        let path = path.clone();
        move |source| ArchiveError::Document { path, member, source }
    };
    let layout = archive.document("oci-layout", limits.document)?;
    let layout: Layout = serde_json::from_slice(&layout).map_err(fault("oci-layout"))?;
    if layout.image_layout_version != "1.0.0" {
        let version = graph::clip(&layout.image_layout_version);
        return Err(ArchiveError::Version { path, version });
    }
    let index = archive.document("index.json", limits.document)?;
    serde_json::from_slice(&index).map_err(fault("index.json"))
}

fn copy(
    blobs: &mut Importing<'_>,
    entry: &Descriptor,
    name: Option<&str>,
    limits: &Limits,
    seen: &mut BTreeMap<Digest, u64>,
) -> Result<(), ArchiveError> {
    graph::walk(blobs, entry, limits, seen).map_err(|source| blobs.fault(name, entry, source))
}

/// Those of the entries that are about what was copied, and the others.
fn split<'a>(
    blobs: &mut Importing<'_>,
    entries: Vec<&'a Descriptor>,
    limits: &Limits,
    seen: &BTreeMap<Digest, u64>,
) -> Result<(Vec<&'a Descriptor>, Vec<&'a Descriptor>), ArchiveError> {
    let (mut about, mut others) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.digest.parse().is_ok_and(|digest: Digest| seen.contains_key(&digest)) {
            continue;
        }
        let links = graph::links(&mut Peeking(blobs), entry, limits.document)
            .map_err(|source| blobs.fault(None, entry, source))?;
        let subject = links.subject.and_then(|subject| subject.digest.parse().ok());
        if subject.is_some_and(|subject: Digest| seen.contains_key(&subject)) {
            about.push(entry);
        } else {
            others.push(entry);
        }
    }
    Ok((about, others))
}

/// A walk through an archive that brings what it visits into the store.
struct Importing<'a> {
    archive: &'a mut Archive<BufReader<File>>,
    store: &'a Store,
    /// Bytes that may still come.
    left: u64,
}

impl Importing<'_> {
    fn fault(&self, name: Option<&str>, entry: &Descriptor, source: crate::store::WalkError) -> ArchiveError {
        let name = name.map_or_else(|| graph::clip(&entry.digest), str::to_owned);
        if let crate::store::WalkError::Blob { source: BlobError::Budget { limit }, .. } = source {
            return ArchiveError::TooLarge { path: self.archive.path().to_owned(), limit };
        }
        ArchiveError::Image { name, source: Box::new(source) }
    }

    /// Reads a document without storing it.
    fn peek(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
        let name = member(digest);
        self.check_size(&name, size)?;
        if size > limit {
            return Err(BlobError::TooLarge { size, limit });
        }
        let mut content = Vec::new();
        let read = self.archive.member(&name).and_then(|mut member| member.read_to_end(&mut content));
        read.map_err(|source| BlobError::Io { path: name.clone().into(), source })?;
        let actual = Digest::of(&content);
        if actual == digest { Ok(content) } else { Err(BlobError::Content { path: name.into(), actual }) }
    }

    fn check_size(&self, name: &str, size: u64) -> Result<(), BlobError> {
        match self.archive.size(name) {
            Some(actual) if actual == size => Ok(()),
            Some(actual) => Err(BlobError::Size { path: name.into(), expected: size, actual }),
            None => Err(BlobError::Io { path: name.into(), source: std::io::ErrorKind::NotFound.into() }),
        }
    }

    fn spend(&mut self, size: u64) -> Result<(), BlobError> {
        let limit = self.store.limits().total;
        self.left = self.left.checked_sub(size).ok_or(BlobError::Budget { limit })?;
        Ok(())
    }

    fn stream(&mut self, digest: Digest, size: u64) -> Result<(), IngestError> {
        let name = member(digest);
        let mut writer = self.store.blob_writer(digest, size)?;
        // The archive is as near as what an earlier try left.
        writer.restart()?;
        let fault = |source| {
            let path = Path::new(&name).to_owned();
            IngestError::Source { path, source }
        };
        let mut member = self.archive.member(&name).map_err(fault)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = member.read(&mut buffer).map_err(fault)?;
            if count == 0 {
                return writer.commit();
            }
            writer.write(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

impl Source for Importing<'_> {
    fn document(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
        let content = self.peek(digest, size, limit)?;
        self.spend(size)?;
        self.store.put_blob("", &content).map_err(|error| BlobError::Ingest(Box::new(error.into())))?;
        Ok(content)
    }

    fn leaf(&mut self, digest: Digest, size: u64) -> Result<(), BlobError> {
        self.check_size(&member(digest), size)?;
        self.spend(size)?;
        let there = self.store.has_blob(digest).map_err(|error| BlobError::Ingest(Box::new(error.into())))?;
        if there {
            Ok(())
        } else {
            self.stream(digest, size).map_err(|error| BlobError::Ingest(Box::new(error)))
        }
    }
}

/// A walk through an archive that leaves the store alone.
struct Peeking<'a, 'b>(&'a mut Importing<'b>);

impl Source for Peeking<'_, '_> {
    fn document(&mut self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>, BlobError> {
        self.0.peek(digest, size, limit)
    }

    fn leaf(&mut self, digest: Digest, size: u64) -> Result<(), BlobError> {
        self.0.check_size(&member(digest), size)
    }
}

fn member(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
