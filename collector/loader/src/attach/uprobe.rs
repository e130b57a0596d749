//! Uprobes: from `file:symbol` to a place in a file, whoever's file system it is in.
//!
//! The kernel's probes act on a file, not on a process: two containers that share a layer of an image share its probes.
//! So sites know the identity of their file, and an [`UprobeSet`] attaches once for all owners of one.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ig_kernel::sys::perf::{self, UprobeSite};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat, openat2};

use super::{AttachOptions, Link, probe, usdt};
use crate::error::AttachError;
use crate::loader::{Loaded, Program};
use crate::section::ProgramKind;

pub(super) mod binary;
mod go;
mod library;

use binary::Binary;

const FORM: &str = "/path/to/file:symbol or library:symbol";

/// The identity of a file, as far as probes care: containers that share a layer of an image have equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// Zero on overlay file systems: each mount has a device of its own, the files below are the same.
    device: u64,
    inode: u64,
    /// On overlay file systems, in place of the device.
    size: u64,
    changed: (i64, i64),
}

impl FileId {
    fn of(file: &File) -> io::Result<Self> {
        const OVERLAY: u64 = 0x794c_7630;
        let found = file.metadata()?;
        let overlay = u64::try_from(fstatfs(file)?.f_type).is_ok_and(|kind| kind == OVERLAY);
        Ok(Self {
            device: if overlay { 0 } else { found.dev() },
            inode: found.ino(),
            size: if overlay { found.size() } else { 0 },
            changed: if overlay { (found.ctime(), found.ctime_nsec()) } else { (0, 0) },
        })
    }
}

/// A place in an open file.
pub(super) struct Site {
    file: File,
    id: FileId,
    offset: u64,
    counter: u32,
    /// Layout of the arguments of a static probe.
    pub(super) spec: Option<Vec<u8>>,
}

pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let mut link = program.link(Vec::new(), Vec::new());
    for site in sites(program, options)? {
        link.join(attach_site(program, &site, options.pid, 0)?);
    }
    Ok(link)
}

/// Hangs the program on one place; `cookie` is what it can ask for.
pub(super) fn attach_site(
    program: &Program,
    site: &Site,
    pid: Option<i32>,
    cookie: u64,
) -> Result<Link, AttachError> {
    let hook = || format!("uprobe on `{}`", program.target);
    let on_return = program.kind == ProgramKind::Uretprobe;
    let (pmu, point) = probe::probe_pmu(program, "uprobe", &hook(), on_return)?;
    // The name stands for the open file, whichever root it was found in.
    let path = CString::new(format!("/proc/self/fd/{}", site.file.as_raw_fd()))
        .map_err(|_nul| program.bad_target(FORM))?;
    let place = UprobeSite { path: &path, offset: site.offset, counter: site.counter };
    let event = perf::open_uprobe(pmu, place, point, pid).map_err(|source| program.failed(hook(), source))?;
    program.hang_on_with(event, cookie).map_err(|source| program.failed(hook(), source))
}

/// All places that a program's target names, each file once.
pub(super) fn sites(program: &Program, options: &AttachOptions<'_>) -> Result<Vec<Site>, AttachError> {
    let (path, symbol) = program.target.split_once(':').ok_or_else(|| program.bad_target(FORM))?;
    let hook = || format!("uprobe on `{}`", program.target);
    let failed = |source| program.failed(hook(), source);
    let missing = || AttachError::MissingHook { program: program.name.clone(), hook: hook() };
    let root_path = options.root.unwrap_or(Path::new("/"));
    let root = openat(CWD, root_path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed(error.into()))?;
    let paths = if path.starts_with('/') {
        vec![path.to_owned()]
    } else if path.is_empty() || path.contains('/') {
        return Err(program.bad_target(FORM));
    } else {
        library::paths(root.as_fd(), path).map_err(failed)?
    };

    let mut seen = HashSet::new();
    let mut sites = Vec::new();
    // The error that says most: of a file that is there.
    let mut fault = None;
    for path in paths {
        let opened = open_in_root(root.as_fd(), &path).and_then(|file| Ok((FileId::of(&file)?, file)));
        let (id, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                fault.get_or_insert(failed(error));
                continue;
            }
        };
        if !seen.insert(id) {
            continue;
        }
        let mut binary = Binary::open(&file).map_err(failed)?;
        if program.kind == ProgramKind::Usdt {
            for found in usdt::probes(&mut binary, symbol).map_err(failed)? {
                let file = file.try_clone().map_err(failed)?;
                let spec = Some(found.spec);
                sites.push(Site { file, id, offset: found.offset, counter: found.counter, spec });
            }
        } else {
            let offset = binary.function(symbol).map_err(failed)?;
            let offset = match offset {
                // Return addresses of Go move with its stacks: probes on returns crash the process.
                None if program.kind == ProgramKind::Uprobe => {
                    go::function(&mut binary, symbol).map_err(failed)?
                }
                offset => offset,
            };
            sites.extend(offset.map(|offset| Site { file, id, offset, counter: 0, spec: None }));
        }
    }
    if sites.is_empty() { Err(fault.unwrap_or_else(missing)) } else { Ok(sites) }
}

/// Opens a regular file as a process with that root would, without following links of /proc.
pub(super) fn open_in_root(root: std::os::fd::BorrowedFd<'_>, path: &str) -> io::Result<File> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // Nothing is opened for good before it is known to be no pipe and no device.
    let found = File::from(openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?);
    if !found.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// The uprobes and static probes of a gadget in many containers: each file gets each probe once.
#[derive(Debug)]
pub struct UprobeSet<K> {
    /// By program, file and offset.
    attached: HashMap<(String, FileId, u64), (HashSet<K>, Link)>,
}

impl<K> Default for UprobeSet<K> {
    fn default() -> Self {
        Self { attached: HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone> UprobeSet<K> {
    /// Attaches a program wherever the root directory in `options` has what it names; answers how many places were new.
    ///
    /// # Errors
    /// Any [`AttachError`]; places that were attached before it stay attached.
    pub fn attach(
        &mut self,
        owner: &K,
        loaded: &Loaded,
        program: &str,
        options: &AttachOptions<'_>,
    ) -> Result<usize, AttachError> {
        let program = loaded.enabled(program)?;
        let mut new = 0;
        for site in sites(program, options)? {
            let key = (program.name.clone(), site.id, site.offset);
            if let Some((owners, _)) = self.attached.get_mut(&key) {
                owners.insert(owner.clone());
                continue;
            }
            let link = match site.spec {
                Some(_) => usdt::attach_site(loaded, program, &site, options.pid)?,
                None => attach_site(program, &site, options.pid, 0)?,
            };
            self.attached.insert(key, (HashSet::from([owner.clone()]), link));
            new += 1;
        }
        Ok(new)
    }

    /// Detaches what nobody but this owner used; the links come back to be dropped where nobody waits.
    pub fn detach(&mut self, owner: &K) -> Vec<Link> {
        for (owners, _) in self.attached.values_mut() {
            owners.remove(owner);
        }
        let unused = self.attached.extract_if(|_, (owners, _)| owners.is_empty());
        unused.map(|(_, (_, link))| link).collect()
    }

    /// Places that are attached.
    pub fn len(&self) -> usize {
        self.attached.len()
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.attached.is_empty()
    }
}
