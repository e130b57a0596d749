//! procfs, read by way of one descriptor that is kept, into buffers that are used again.

use std::{
    fmt::Write as _,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use ig_model::Host;
use rustix::{
    fs::{FileType, Mode, OFlags, RawDir, SeekFrom, openat, readlinkat_raw, seek},
    io::{Errno, read},
};

use super::process::namespace_inode;
use crate::feed::FeedError;

/// Bytes of a directory read at once: a thousand processes.
const LISTING: usize = 32 * 1024;
/// Longest text of a process that is read; all that matters stands in the first kilobytes.
const TEXT: usize = 16 * 1024;
/// Open descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 4096;

/// The mount of procfs.
pub(super) struct Procfs {
    root: OwnedFd,
    path: PathBuf,
    listing: Vec<u8>,
    text: Vec<u8>,
    name: String,
}

impl Procfs {
    /// Opens that of the host.
    pub(super) fn open(host: &Host) -> Result<Self, FeedError> {
        let path = host.proc.clone();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(io::Error::from);
        Ok(Self {
            root: root.map_err(FeedError::file(&path))?,
            path,
            listing: Vec::with_capacity(LISTING),
            text: vec![0; TEXT],
            name: String::new(),
        })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the processes.
    pub(super) fn pids(&mut self, pids: &mut Vec<i32>) -> Result<(), FeedError> {
        pids.clear();
        let listed = seek(&self.root, SeekFrom::Start(0)).and_then(|_start| {
            let mut entries = RawDir::new(&self.root, self.listing.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let entry = entry?;
                if entry.file_type() == FileType::Directory {
                    pids.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
                }
            }
            Ok(())
        });
        listed.map_err(|errno| FeedError::File { path: self.path.clone(), cause: errno.into() })
    }

    /// The text of a file by its path below the mount.
    pub(super) fn file(&mut self, name: &str) -> Result<&[u8], FeedError> {
        let path = self.path.join(name);
        let len =
            fill(&self.root, name, &mut self.text).map_err(io::Error::from).map_err(FeedError::file(path))?;
        Ok(self.text.get(..len).unwrap_or_default())
    }

    /// The text of a file of a process, cut to [`TEXT`]; `None` once it is gone or is not ours to read.
    pub(super) fn text(&mut self, pid: i32, file: &str) -> Option<&[u8]> {
        self.name_of(pid, file);
        let len = fill(&self.root, &self.name, &mut self.text).ok()?;
        self.text.get(..len)
    }

    /// The inode of a process's mount namespace; 0 once it is gone.
    pub(super) fn mount_namespace(&mut self, pid: i32) -> u64 {
        self.name_of(pid, "ns/mnt");
        let mut link = [0_u8; 64];
        let len = readlinkat_raw(&self.root, self.name.as_str(), link.as_mut_slice()).unwrap_or(0);
        namespace_inode(link.get(..len).unwrap_or_default())
    }

    /// Calls `take` with the number of each open descriptor of a process and what it is a link to.
    pub(super) fn descriptors(&mut self, pid: i32, mut take: impl FnMut(i32, &[u8])) {
        self.name_of(pid, "fd");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(&self.root, self.name.as_str(), flags, Mode::empty()) else { return };
        let mut entries = RawDir::new(&folder, self.listing.spare_capacity_mut());
        let mut looked_at = 0;
        // An error means that the process is gone.
        while let Some(Ok(entry)) = entries.next() {
            let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            looked_at += 1;
            if looked_at > MAX_DESCRIPTORS {
                return;
            }
            let mut link = [0_u8; 32];
            let len = readlinkat_raw(&folder, entry.file_name(), link.as_mut_slice()).unwrap_or(0);
            take(number, link.get(..len).unwrap_or_default());
        }
    }

    fn name_of(&mut self, pid: i32, file: &str) {
        self.name.clear();
        // Writing to a string cannot fail.
        write!(self.name, "{pid}/{file}").unwrap_or_default();
    }
}

/// Reads a file of procfs. These give all they have at once, or as much as fits.
fn fill(root: &OwnedFd, name: &str, text: &mut [u8]) -> Result<usize, Errno> {
    let file = openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        match read(&file, &mut *text) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
