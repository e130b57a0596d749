//! What the thread does: reading `/proc`, and the files it points to.

use std::{
    collections::HashSet,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufReader, Cursor, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use tracing::{debug, warn};

use super::Shared;
use crate::{
    cache::{Backing, CachedModule, Jit, Job, Kernel, LOOK_AGAIN, Space, State, next_patience},
    kernel,
    module::{FileId, Module},
    open, perf_map,
    process::Process,
    space::{self, Content, Mapping},
};

/// Bytes of `/proc/PID/status` and `/proc/modules` that are looked at.
const MAX_TEXT: u64 = 1 << 20;
/// Bytes of the code that the kernel gives each process.
const MAX_VDSO: u64 = 1 << 20;

impl Shared {
    pub(super) fn load(&self, job: &Job) {
        match job {
            Job::Kernel => self.load_kernel(),
            Job::User { process, addresses, functions } => self.load_user(process, addresses, *functions),
        }
    }

    fn proc(&self) -> PathBuf {
        self.options.root.join("proc")
    }

    fn load_kernel(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let modules = kernel_modules(&self.options.root);
        let path = self.proc().join("kallsyms");
        let read = File::open(&path).and_then(|file| kernel::read(BufReader::with_capacity(1 << 16, file)));
        let now = Instant::now();
        let kernel = match read {
            Ok(Some(table)) => Kernel::Known { table, used: now, modules },
            other => {
                if !WARNED.swap(true, Ordering::Relaxed) {
                    let reason = other
                        .err()
                        .map_or_else(|| "all addresses are 0".to_owned(), |error| error.to_string());
                    warn!(name: "symbols.kernel.hidden", path = %path.display(), reason,
                        "kernel stacks have no names; hint: they need CAP_SYSLOG, and kernel.kptr_restrict below 2");
                }
                Kernel::Hidden(now)
            }
        };
        self.state().kernel = kernel;
    }

    fn load_user(&self, process: &Process, addresses: &[u64], functions: bool) {
        let folder = self.proc().join(process.pid.to_string());
        self.refresh(process, addresses, &folder);
        // What is wanted of which mapping is decided without I/O, then read without the lock.
        let (wanted, wants_jit) = self.state().wanted(process, addresses, functions);
        let mut roots: Vec<File> = Vec::new();
        if !wanted.is_empty() || wants_jit {
            roots.extend(open::root(&folder.join("root")));
            roots.extend(open::root(&self.options.root));
        }
        let mut exe = fs::metadata(folder.join("exe")).ok().map(|exe| exe.ino());
        for (index, mapping) in wanted {
            let opened = open_mapping(&folder, &mapping, &roots);
            let backing = match opened {
                Ok((id, source)) => {
                    if exe.take_if(|inode| id.is_inode(*inode)).is_some() {
                        self.state().exes.insert(process.exe, id);
                    }
                    self.load_module(id, source, &mapping, &roots, functions)
                }
                Err(cause) => {
                    debug!(name: "symbols.file.unreadable", pid = process.pid, ?mapping, error = &cause as &dyn std::error::Error);
                    Backing::Useless
                }
            };
            self.state().set_backing(process, index, &mapping, backing);
        }
        if wants_jit {
            self.load_jit(process, &folder, &roots);
        }
    }

    /// Reads the mappings if they are not known, or may have changed since an address lay outside of them.
    fn refresh(&self, process: &Process, addresses: &[u64], folder: &Path) {
        let now = Instant::now();
        let is_known = |space: &Space| {
            let is_mapped = |address: &u64| space::find(&space.mappings, *address).is_some();
            !space.is_due(now) || addresses.iter().all(is_mapped)
        };
        if self.state().spaces.get(process).is_some_and(is_known) {
            return;
        }
        let mappings = if is_same(folder, process) {
            File::open(folder.join("maps"))
                .and_then(|file| space::read(BufReader::new(file)))
                .unwrap_or_default()
        } else {
            Vec::new()
        };
        // The process may have become another while its list was read.
        let is_gone = mappings.is_empty() || !is_same(folder, process);
        self.state().set_space(process, if is_gone { Vec::new() } else { mappings }, is_gone);
    }

    fn load_module(
        &self,
        id: FileId,
        source: Source,
        mapping: &Mapping,
        roots: &[File],
        functions: bool,
    ) -> Backing {
        {
            let mut state = self.state();
            if let Some(cached) = state.modules.get_mut(&id)
                && (cached.module.has_looked_for_functions || !functions)
            {
                cached.used = Instant::now();
                return Backing::Known(id);
            }
        }
        let loaded = match source {
            Source::File(file) => {
                let path = match &mapping.content {
                    Content::File(path) => path.as_path(),
                    _ => Path::new(""),
                };
                Module::load(file, path, roots, functions)
            }
            Source::Memory(bytes) => Module::from_memory(Cursor::new(bytes)),
        };
        match loaded {
            Ok(module) => {
                self.state().modules.insert(id, CachedModule { module, used: Instant::now() });
                Backing::Known(id)
            }
            Err(cause) => {
                debug!(name: "symbols.file.refused", ?mapping, error = &cause as &dyn std::error::Error);
                Backing::Useless
            }
        }
    }

    fn load_jit(&self, process: &Process, folder: &Path, roots: &[File]) {
        let known = self
            .state()
            .spaces
            .get(process)
            .and_then(|space| space.jit.as_ref())
            .map(|jit| (jit.size, jit.modified));
        let read = (|| {
            let (pid, uid) = identity(folder)?;
            let root = roots.first()?;
            let file = open::in_root(root, Path::new(&format!("tmp/perf-{pid}.map"))).ok()?;
            let data = file.metadata().ok()?;
            // Anybody can put a file there; only the process itself, or root, knows its code.
            if data.uid() != uid && data.uid() != 0 {
                return None;
            }
            let version = (data.len(), data.modified().ok());
            if known == Some(version) {
                return None;
            }
            let table = perf_map::read(BufReader::with_capacity(1 << 16, file)).ok()?;
            Some(Jit { table, size: version.0, modified: version.1 })
        })();
        if let Some(space) = self.state().spaces.get_mut(process) {
            space.jit_seen = Some(Instant::now());
            space.jit_patience = next_patience(space.jit_patience, read.is_some());
            space.jit = read.or_else(|| space.jit.take());
        }
    }
}

enum Source {
    File(File),
    Memory(Vec<u8>),
}

/// Opens what a mapping shows: the very file that is mapped, even if it has another name by now.
fn open_mapping(folder: &Path, mapping: &Mapping, roots: &[File]) -> io::Result<(FileId, Source)> {
    let path = match &mapping.content {
        Content::File(path) => path,
        Content::Vdso => {
            let size = (mapping.end - mapping.start).min(MAX_VDSO);
            let mut memory = File::open(folder.join("mem"))?;
            memory.seek(SeekFrom::Start(mapping.start))?;
            let mut bytes = Vec::new();
            memory.take(size).read_to_end(&mut bytes)?;
            return Ok((FileId::vdso(size), Source::Memory(bytes)));
        }
        Content::Memory => return Err(io::ErrorKind::NotFound.into()),
    };
    let link = folder.join(format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
    let file = match (open::by_link(&link), roots.first()) {
        (Ok(file), _) => file,
        // The links need CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; a name needs neither.
        (Err(_), Some(root)) => open::in_root(root, path)?,
        (Err(cause), None) => return Err(cause),
    };
    Ok((FileId::of(&file)?, Source::File(file)))
}

/// Whether the process still runs what the stack was taken from. Device and inode of a file differ between the kernel
/// and `stat` on overlay and btrfs; the time of its last change does not.
fn is_same(folder: &Path, process: &Process) -> bool {
    fs::metadata(folder.join("exe")).is_ok_and(|exe| {
        exe.mtime() == process.exe.mtime_sec && exe.mtime_nsec() == i64::from(process.exe.mtime_nsec)
    })
}

/// Process id in its own pid namespace, and the user it runs as.
fn identity(folder: &Path) -> Option<(u32, u32)> {
    let text = text(&folder.join("status"))?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let pid = line("NSpid:")?.split_ascii_whitespace().next_back()?.parse().ok()?;
    let uid = line("Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pid, uid))
}

/// A number that changes with the list of kernel modules.
pub(super) fn kernel_modules(root: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for line in text(&root.join("proc/modules")).unwrap_or_default().lines() {
        // Name and size; use counts come and go.
        line.split(' ').take(2).for_each(|word| word.hash(&mut hasher));
    }
    hasher.finish()
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl State {
    /// Mappings whose files have to be read for these addresses, and whether the perf map has.
    fn wanted(&self, process: &Process, addresses: &[u64], functions: bool) -> (Vec<(usize, Mapping)>, bool) {
        let Some(space) = self.spaces.get(process).filter(|space| !space.is_gone) else {
            return (Vec::new(), false);
        };
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        let mut wants_jit = false;
        // Return addresses may lie behind the end of a mapping.
        for address in addresses.iter().flat_map(|address| [*address, address.saturating_sub(1)]) {
            let Some(mapping) = space::find(&space.mappings, address) else { continue };
            if mapping.content == Content::Memory {
                wants_jit = true;
                continue;
            }
            let index = space.mappings.partition_point(|other| other.start < mapping.start);
            let is_there = match space.files.get(index) {
                Some(Backing::Known(id)) => self
                    .modules
                    .get(id)
                    .is_some_and(|cached| cached.module.has_looked_for_functions || !functions),
                Some(Backing::NotOpened) => false,
                _ => true,
            };
            if !is_there && seen.insert(index) {
                wanted.push((index, mapping.clone()));
            }
        }
        (wanted, wants_jit)
    }

    fn set_space(&mut self, process: &Process, mappings: Vec<Mapping>, is_gone: bool) {
        let now = Instant::now();
        if let Some(known) = self.spaces.get_mut(process)
            && is_gone
        {
            // What was mapped before the process ended is still right.
            known.is_gone = true;
            return;
        }
        let old = self.spaces.remove(process);
        let backing = |mapping: &Mapping| {
            let old = old.as_ref()?;
            let index = old.mappings.iter().position(|other| other == mapping)?;
            old.files.get(index).copied()
        };
        let files = mappings.iter().map(|mapping| backing(mapping).unwrap_or(Backing::NotOpened)).collect();
        let patience = match &old {
            Some(old) => next_patience(old.patience, old.mappings != mappings),
            None => LOOK_AGAIN,
        };
        let (jit, jit_seen, jit_patience) =
            old.map_or((None, None, LOOK_AGAIN), |old| (old.jit, old.jit_seen, old.jit_patience));
        let space =
            Space { mappings, files, jit, jit_seen, jit_patience, read: now, patience, used: now, is_gone };
        self.spaces.insert(*process, space);
    }

    fn set_backing(&mut self, process: &Process, index: usize, mapping: &Mapping, backing: Backing) {
        if let Some(space) = self.spaces.get_mut(process)
            && space.mappings.get(index) == Some(mapping)
            && let Some(file) = space.files.get_mut(index)
        {
            *file = backing;
        }
    }

    /// Forgets the kernel's table if modules came or went since, or long after addresses were hidden.
    pub(super) fn forget_kernel_unless(&mut self, now: u64) {
        if let Kernel::Known { modules, .. } = &self.kernel
            && *modules != now
        {
            self.kernel = Kernel::Missing;
        }
    }
}
