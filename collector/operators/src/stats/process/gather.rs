//! Readings of processes.

use std::time::Instant;

use ig_kernel::map::online_cpus;
use ig_model::Host;

use super::{Process, Sampler, Scale, Shown, Stat, Status, total_memory};
use crate::{
    batch::Batch,
    feed::{FeedError, Gather},
    stats::procfs::Procfs,
};

/// Reads every process.
pub(super) struct Processes {
    procfs: Procfs,
    ticks_per_second: u64,
    page_size: u64,
    sampler: Sampler,
    needs_status: bool,
    pids: Vec<i32>,
    /// `/proc/PID/stat` of the process at hand.
    stat: Vec<u8>,
    before: Option<Instant>,
}

impl Processes {
    pub(super) fn open(shown: &Shown, host: &Host) -> Result<Self, FeedError> {
        Ok(Self {
            procfs: Procfs::open(host)?,
            ticks_per_second: host.ticks_per_second,
            page_size: host.page_size,
            sampler: Sampler::default(),
            needs_status: shown.needs_status(),
            pids: Vec::new(),
            stat: Vec::new(),
            before: None,
        })
    }
}

impl Gather for Processes {
    /// Brings a record for each process to `batch`. A process that ends during the reading is left out.
    fn gather(&mut self, batch: &mut Batch) -> Result<(), FeedError> {
        let now = Instant::now();
        let scale = Scale {
            ticks_per_second: self.ticks_per_second,
            page_size: self.page_size,
            cpus: online_cpus().len(),
            memory: total_memory(self.procfs.file("meminfo")?).unwrap_or(0),
            elapsed: self.before.map(|before| now.saturating_duration_since(before)),
        };
        self.procfs.pids(&mut self.pids)?;
        for pid in self.pids.iter().copied() {
            let Some(text) = self.procfs.text(pid, "stat") else { continue };
            self.stat.clear();
            self.stat.extend_from_slice(text);
            let Some(stat) = Stat::parse(&self.stat) else { continue };
            // Threads of the kernel are root's and have no memory of their own.
            let needs_status = self.needs_status && !stat.is_kernel_thread;
            let status = if needs_status { self.procfs.text(pid, "status").map(Status::parse) } else { None };
            let process = Process {
                pid,
                stat,
                status: status.unwrap_or_default(),
                mount_namespace: self.procfs.mount_namespace(pid),
            };
            batch.push(self.sampler.record(&process, &scale));
        }
        self.sampler.end();
        self.before = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn gathered(processes: &mut Processes) -> Vec<(i32, Vec<u8>)> {
        let mut batch = Batch::default();
        processes.gather(&mut batch).unwrap();
        let pid = |record: &[u8]| i32::from_ne_bytes(record[..4].try_into().unwrap());
        batch.iter().map(|record| (pid(record), record.to_vec())).collect()
    }

    /// Scenario: two readings, a child with an odd name in between that ends before the third.
    /// Guarantees: each reading has every process once, this one and the child among them, and none that is gone.
    #[test]
    fn every_process_is_there_once() {
        let mut processes = Processes::open(&Shown::default(), &Host::of([])).unwrap();
        gathered(&mut processes);
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a) R (b c");
        ig_test_kit::executable::copy(std::path::Path::new("/bin/sleep"), &odd);
        let mut child = Command::new(&odd).arg("60").stdout(Stdio::null()).spawn().unwrap();
        let with = gathered(&mut processes);
        let me = i32::try_from(std::process::id()).unwrap();
        let theirs = i32::try_from(child.id()).unwrap();
        let mut pids: Vec<i32> = with.iter().map(|(pid, _)| *pid).collect();
        assert!(pids.contains(&me) && pids.contains(&theirs));
        pids.sort_unstable();
        let all = pids.len();
        pids.dedup();
        assert_eq!(pids.len(), all);
        let (_, record) = with.iter().find(|(pid, _)| *pid == theirs).unwrap();
        assert_eq!(&record[4..8], me.to_ne_bytes());
        assert_eq!(&record[8..18], b"a) R (b c\0");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(gathered(&mut processes).iter().all(|(pid, _)| *pid != theirs));
    }

    /// Scenario: a thousand readings of a process; run on purpose with `--ignored`, for its number.
    /// Guarantees: nothing but a number: milliseconds for 1,000 processes.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_thousand_processes() {
        for fields in [vec![], vec!["comm".to_owned(), "cpuUsage".to_owned(), "memoryRSS".to_owned()]] {
            let mut processes = Processes::open(&Shown::parse(&fields).0, &Host::of([])).unwrap();
            let mut batch = Batch::default();
            let (mut seen, start) = (0, Instant::now());
            while seen < 20_000 {
                batch.clear();
                processes.gather(&mut batch).unwrap();
                seen += batch.len();
            }
            let ms = start.elapsed().as_secs_f64() * 1000.0 * 1000.0 / seen as f64;
            println!("fields {fields:?}: {ms:.2} ms for 1,000 processes, {} at once", batch.len());
        }
    }
}
