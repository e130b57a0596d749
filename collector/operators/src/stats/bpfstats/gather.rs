//! Readings of eBPF programs and maps.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use ig_kernel::{
    map::online_cpus,
    sys::bpf::{
        objects::{ObjectKind, next_id, open_id},
        stats::{enable_run_time_stats, prog_stats},
    },
};
use ig_model::Host;

use super::{Holder, Program, Reading, Sampler, Scope, held_program, map_memory};
use crate::{
    batch::Batch,
    feed::{FeedError, Gather, RunningGadgets},
    stats::{process::Stat, procfs::Procfs},
};

/// How long the list of holders serves when no program comes or goes.
const HOLDERS_KEEP: Duration = Duration::from_secs(30);
/// Objects of one kind that are looked at in one reading.
const MAX_OBJECTS: usize = 1 << 16;

/// Reads every program of the kernel.
pub(super) struct Programs {
    /// While it is open the kernel counts; without it, on kernels before 5.8, counters stand still.
    _counting: OwnedFd,
    procfs: Procfs,
    scope: Scope,
    /// Unknown until the reader tells.
    gadgets: Option<Arc<dyn RunningGadgets>>,
    sampler: Sampler,
    before: Option<Instant>,
    holders: Holders,
}

/// Who holds which program. To find out takes a look at every descriptor of every process.
#[derive(Default)]
struct Holders {
    list: HashMap<u32, Vec<Holder>>,
    /// The programs there were.
    programs: Vec<u32>,
    made: Option<Instant>,
    pids: Vec<i32>,
}

impl Programs {
    pub(super) fn open(scope: Scope, host: &Host) -> Result<Self, FeedError> {
        let counting = enable_run_time_stats();
        Ok(Self {
            _counting: counting.map_err(FeedError::bpf("turn on statistics of eBPF programs"))?,
            procfs: Procfs::open(host)?,
            scope,
            gadgets: None,
            sampler: Sampler::default(),
            before: None,
            holders: Holders::default(),
        })
    }
}

impl Gather for Programs {
    fn meet(&mut self, gadgets: Arc<dyn RunningGadgets>) {
        self.gadgets = Some(gadgets);
    }

    /// Brings a record for each program or gadget to `batch`.
    fn gather(&mut self, batch: &mut Batch) -> Result<(), FeedError> {
        let now = Instant::now();
        let programs = programs()?;
        let ids: Vec<u32> = programs.iter().map(|program| program.id).collect();
        self.holders.refresh(&mut self.procfs, &ids, now)?;
        let reading = Reading {
            maps: maps()?,
            programs,
            holders: std::mem::take(&mut self.holders.list),
            owners: self.gadgets.as_ref().map(|gadgets| gadgets.list()).unwrap_or_default(),
        };
        let elapsed = self.before.map(|before| now.saturating_duration_since(before));
        self.sampler.records(&reading, self.scope, elapsed, online_cpus().len(), |record| batch.push(record));
        self.holders.list = reading.holders;
        self.before = Some(now);
        Ok(())
    }
}

fn programs() -> Result<Vec<Program>, FeedError> {
    walk(ObjectKind::Program, |_id, fd| {
        let stats = prog_stats(fd.as_fd())?;
        Ok(Program {
            id: stats.id,
            kind: stats.prog_type.0,
            name: stats.name,
            run_time_ns: stats.run_time_ns,
            run_count: stats.run_count,
            maps: stats.map_ids,
        })
    })
}

/// Memory of every map.
fn maps() -> Result<HashMap<u32, u64>, FeedError> {
    let maps = walk(ObjectKind::Map, |id, fd| {
        let text = fs::read(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
        Ok((id, map_memory(&text)))
    })?;
    Ok(maps.into_iter().collect())
}

/// Calls `look` for each object of a kind; one that is gone meanwhile, or cannot be looked at, is left out.
fn walk<T>(kind: ObjectKind, look: impl Fn(u32, &OwnedFd) -> io::Result<T>) -> Result<Vec<T>, FeedError> {
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(id) = next_id(kind, last).map_err(FeedError::bpf("list eBPF objects"))? {
        last = id;
        if let Some(fd) = open_id(kind, id).map_err(FeedError::bpf("open eBPF objects by number"))? {
            found.extend(look(id, &fd).ok());
        }
        if found.len() >= MAX_OBJECTS {
            break;
        }
    }
    Ok(found)
}

impl Holders {
    fn refresh(&mut self, procfs: &mut Procfs, programs: &[u32], now: Instant) -> Result<(), FeedError> {
        let is_fresh = self.made.is_some_and(|made| now.saturating_duration_since(made) < HOLDERS_KEEP);
        if is_fresh && self.programs == programs {
            return Ok(());
        }
        self.list.clear();
        procfs.pids(&mut self.pids)?;
        let mut bpf = Vec::new();
        for pid in self.pids.iter().copied() {
            bpf.clear();
            procfs.descriptors(pid, |number, link| {
                if matches!(link, b"anon_inode:bpf-prog" | b"anon_inode:bpf_link") {
                    bpf.push(number);
                }
            });
            if bpf.is_empty() {
                continue;
            }
            let comm = procfs.text(pid, "stat").and_then(Stat::parse).map(|stat| stat.comm.to_vec());
            let Some(comm) = comm else { continue };
            for number in &bpf {
                let held = procfs.text(pid, &format!("fdinfo/{number}")).and_then(held_program);
                let Some(program) = held else { continue };
                let holders = self.list.entry(program).or_default();
                if holders.iter().all(|holder| holder.pid != pid) {
                    holders.push(Holder { pid, comm: comm.clone() });
                }
            }
        }
        programs.clone_into(&mut self.programs);
        self.made = Some(now);
        Ok(())
    }
}
