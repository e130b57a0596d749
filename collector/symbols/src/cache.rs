//! What was read, bounded in bytes, given back when nobody asks for it.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    module::{FileId, Module, SEPARATOR},
    name::readable,
    process::{ExeId, Process},
    space::{Content, Mapping, find},
    symbols::{Found, Method},
    table::SymbolTable,
};

/// Time after which the mappings of a process are worth another look; twice as long after each that told nothing new.
/// Stacks of code without frame pointers are full of addresses that are nowhere.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longest time between two looks.
const LOOK_SELDOM: Duration = Duration::from_secs(16);
/// Time after which hidden kernel addresses are worth another look.
const HIDDEN_AGAIN: Duration = Duration::from_secs(60);

/// What symbols may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all that is kept.
    pub bytes: usize,
    /// Time after which what nobody asked for is given back.
    pub idle: Duration,
    /// Longest time that callers wait in a row.
    pub burst: Duration,
    /// Time that callers may wait within a second, in the long run.
    pub per_second: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            idle: Duration::from_secs(60),
            burst: Duration::from_millis(500),
            per_second: Duration::from_millis(100),
        }
    }
}

/// Something to be loaded.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// The kernel's table.
    Kernel,
    /// What the addresses of a process need.
    User { process: Process, addresses: Vec<u64>, functions: bool },
}

/// For which of two jobs one is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JobKey {
    Kernel,
    User(Process),
}

impl Job {
    pub(crate) fn key(&self) -> JobKey {
        match self {
            Self::Kernel => JobKey::Kernel,
            Self::User { process, .. } => JobKey::User(*process),
        }
    }
}

/// The kernel's table.
#[derive(Debug, Default)]
pub(crate) enum Kernel {
    #[default]
    Missing,
    /// The kernel does not tell.
    Hidden(Instant),
    Known {
        table: SymbolTable,
        used: Instant,
        /// The list of modules it was read with.
        modules: u64,
    },
}

/// The mappings of a process.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) mappings: Vec<Mapping>,
    /// The file behind each mapping.
    pub(crate) files: Vec<Backing>,
    pub(crate) jit: Option<Jit>,
    /// When its perf map was looked for.
    pub(crate) jit_seen: Option<Instant>,
    /// Time until it is looked for again.
    pub(crate) jit_patience: Duration,
    pub(crate) read: Instant,
    /// Time until the mappings are read again.
    pub(crate) patience: Duration,
    pub(crate) used: Instant,
    /// The process is gone, or is another by now.
    pub(crate) is_gone: bool,
}

/// A perf map.
#[derive(Debug)]
pub(crate) struct Jit {
    pub(crate) table: SymbolTable,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// What is known of the file behind a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    NotOpened,
    Known(FileId),
    /// There is nothing to be had from it.
    Useless,
}

#[derive(Debug)]
pub(crate) struct CachedModule {
    pub(crate) module: Module,
    pub(crate) used: Instant,
}

/// Everything behind the lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) kernel: Kernel,
    pub(crate) spaces: HashMap<Process, Space>,
    pub(crate) modules: HashMap<FileId, CachedModule>,
    pub(crate) exes: HashMap<ExeId, FileId>,
    pub(crate) jobs: VecDeque<(u64, Job)>,
    /// Jobs that wait or are being done.
    pub(crate) pending: HashMap<JobKey, u64>,
    /// Number of the last job that was asked for.
    pub(crate) asked: u64,
    /// Number of the last job that was done.
    pub(crate) done: u64,
    pub(crate) is_working: bool,
    pub(crate) is_closed: bool,
}

impl State {
    /// Appends the names of kernel addresses; whether something had to be loaded first.
    pub(crate) fn kernel(&mut self, addresses: &[u64], out: &mut String, found: &mut Found) -> bool {
        let (table, missing) = match &mut self.kernel {
            Kernel::Known { table, used, .. } => {
                *used = Instant::now();
                (Some(&*table), false)
            }
            Kernel::Hidden(since) => (None, since.elapsed() > HIDDEN_AGAIN),
            Kernel::Missing => (None, true),
        };
        for address in addresses {
            found.frames += 1;
            if let Some(name) = table.and_then(|table| table.find(*address)) {
                out.push_str(&String::from_utf8_lossy(name));
            } else {
                found.unknown += 1;
                out.push_str("[unknown]");
            }
            out.push_str(SEPARATOR);
        }
        missing
    }

    /// Appends the names of a process's addresses; whether something had to be loaded first.
    pub(crate) fn user(
        &mut self,
        process: &Process,
        addresses: &[u64],
        method: Method,
        out: &mut String,
        found: &mut Found,
    ) -> bool {
        let now = Instant::now();
        let mut missing = false;
        for (index, address) in addresses.iter().enumerate() {
            // All but the innermost frame are return addresses, which may lie behind the end of the caller.
            let place = if index == 0 { *address } else { address.saturating_sub(1) };
            found.frames += 1;
            match self.place(process, place, method == Method::Full, now) {
                Answer::Name(names) => out.push_str(names),
                Answer::Text(names) => out.push_str(&names),
                answer => {
                    missing |= matches!(answer, Answer::Missing);
                    found.unknown += 1;
                    out.push_str(&format!("0x{address:x}{SEPARATOR}"));
                }
            }
        }
        missing
    }

    fn place(&mut self, process: &Process, address: u64, functions: bool, now: Instant) -> Answer<'_> {
        let Some(space) = self.spaces.get_mut(process) else { return Answer::Missing };
        space.used = now;
        let mapping = find(&space.mappings, address);
        let may_change = space.is_due(now);
        let unknown = if may_change { Answer::Missing } else { Answer::Unknown };
        let Some(mapping) = mapping else {
            // A file of a process that is gone still has its fixed addresses.
            let id = self.exes.get(&process.exe).filter(|_| space.is_gone);
            let Some(cached) = id.and_then(|id| self.modules.get_mut(id)) else { return unknown };
            cached.used = now;
            return cached.module.at_fixed(address, functions).map_or(Answer::Unknown, Answer::Name);
        };
        if mapping.content == Content::Memory {
            let looked =
                space.jit_seen.is_some_and(|seen| now.saturating_duration_since(seen) <= space.jit_patience);
            return match space.jit.as_ref().and_then(|jit| jit.table.find(address)) {
                Some(name) => Answer::Text(readable(name) + SEPARATOR),
                None if looked || space.is_gone => Answer::Unknown,
                None => Answer::Missing,
            };
        }
        let offset = address - mapping.start + mapping.offset;
        let index = space.mappings.partition_point(|mapping| mapping.start <= address).saturating_sub(1);
        match space.files.get(index).copied() {
            Some(Backing::Known(id)) => match self.modules.get_mut(&id) {
                Some(cached) if cached.module.has_looked_for_functions || !functions || space.is_gone => {
                    cached.used = now;
                    cached.module.at_offset(offset, functions).map_or(Answer::Unknown, Answer::Name)
                }
                None if space.is_gone => Answer::Unknown,
                _ => Answer::Missing,
            },
            Some(Backing::NotOpened) if !space.is_gone => Answer::Missing,
            _ => Answer::Unknown,
        }
    }
}

/// What is known of an address.
enum Answer<'a> {
    /// Names, each with what stands behind it.
    Name(&'a str),
    /// The same, made for this answer.
    Text(String),
    /// There is no name.
    Unknown,
    /// Something has to be read first.
    Missing,
}

/// What can be given back.
#[derive(Clone, Copy)]
enum Part {
    Kernel,
    Space(Process),
    Module(FileId),
}

/// Time until another look after one that told something new, or nothing.
pub(crate) fn next_patience(last: Duration, is_new: bool) -> Duration {
    if is_new { LOOK_AGAIN } else { (last * 2).min(LOOK_SELDOM) }
}

impl Space {
    /// Whether the mappings are worth another look.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.is_gone && now.saturating_duration_since(self.read) > self.patience
    }

    fn bytes(&self) -> usize {
        let path = |mapping: &Mapping| match &mapping.content {
            Content::File(path) => path.as_os_str().len(),
            _ => 0,
        };
        let paths: usize = self.mappings.iter().map(path).sum();
        let entry = size_of::<Mapping>() + size_of::<Backing>();
        let jit = self.jit.as_ref().map_or(0, |jit| jit.table.bytes());
        size_of::<Self>() + size_of::<Process>() + paths + self.mappings.len() * entry + jit
    }
}

impl State {
    /// Everything that can be given back, with the time it was last used and its bytes.
    fn parts(&self) -> Vec<(Instant, usize, Part)> {
        let spaces =
            self.spaces.iter().map(|(process, space)| (space.used, space.bytes(), Part::Space(*process)));
        let modules =
            self.modules.iter().map(|(id, cached)| (cached.used, cached.module.bytes(), Part::Module(*id)));
        let kernel = match &self.kernel {
            Kernel::Known { table, used, .. } => Some((*used, table.bytes(), Part::Kernel)),
            _ => None,
        };
        spaces.chain(modules).chain(kernel).collect()
    }

    /// Bytes of all that is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.parts().into_iter().map(|(_, bytes, _)| bytes).sum()
    }

    /// Gives back what was not used for a while, and of the rest what was used longest ago until it is small enough.
    pub(crate) fn shrink(&mut self, limits: &Limits) {
        let now = Instant::now();
        let mut parts = self.parts();
        parts.sort_by_key(|(used, ..)| *used);
        let mut bytes: usize = parts.iter().map(|(_, bytes, _)| bytes).sum();
        for (used, size, part) in parts {
            if bytes <= limits.bytes && now.duration_since(used) < limits.idle {
                break;
            }
            bytes = bytes.saturating_sub(size);
            match part {
                Part::Kernel => self.kernel = Kernel::Missing,
                Part::Space(process) => drop(self.spaces.remove(&process)),
                Part::Module(id) => drop(self.modules.remove(&id)),
            }
        }
        let modules = &self.modules;
        self.exes.retain(|_, id| modules.contains_key(id));
    }

    /// Whether there is nothing to give back.
    pub(crate) fn is_empty(&self) -> bool {
        self.spaces.is_empty() && self.modules.is_empty() && !matches!(self.kernel, Kernel::Known { .. })
    }
}
