//! Readings of cgroups.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use ig_model::Host;

use super::{Cgroup, CpuStat, Limit, Mounts, Pressure, Sampler, Version};
use crate::{
    batch::Batch,
    feed::{FeedError, Gather},
    stats::procfs::Procfs,
};

/// Cgroups looked at in one reading.
const MAX_CGROUPS: usize = 1 << 16;
/// Cgroups within each other; longer paths than the kernel takes do not occur.
const MAX_DEPTH: usize = 128;

/// Reads every cgroup that has a processor limit.
///
/// The tree is walked instead of the processes: there are fewer cgroups than processes, and a limit of a cgroup that
/// only holds others throttles as well.
pub(super) struct Cgroups {
    procfs: Procfs,
    version: Version,
    /// Where the limits are.
    root: PathBuf,
    /// Where version 2 is mounted beside version 1: it alone knows of pressure.
    pressure: Option<PathBuf>,
    sampler: Sampler,
}

impl Cgroups {
    pub(super) fn open(host: &Host) -> Result<Self, FeedError> {
        let mut procfs = Procfs::open(host)?;
        let of = if host.is_elsewhere() { "1/mountinfo" } else { "self/mountinfo" };
        let path = procfs.path().join(of);
        let text = fs::read(&path).map_err(FeedError::file(&path))?;
        let Mounts { v1, v2 } = Mounts::parse(&text);
        let (version, root, pressure) = match (v1, v2) {
            (Some(v1), v2) => (Version::V1, v1, v2),
            (None, Some(v2)) => (Version::V2, v2, None),
            (None, None) => return Err(FeedError::NoHierarchy { mounts: path }),
        };
        let visible = |point: PathBuf| host.visible(&point);
        let (root, pressure) = (visible(root), pressure.map(visible));
        // A kernel without procfs has no cgroups to show either.
        procfs.file("meminfo")?;
        Ok(Self { procfs, version, root, pressure, sampler: Sampler::default() })
    }
}

impl Gather for Cgroups {
    /// Brings a record to `batch` for each cgroup that has a limit and ran since the reading before.
    fn gather(&mut self, batch: &mut Batch) -> Result<(), FeedError> {
        let root = fs::metadata(&self.root).map_err(FeedError::file(&self.root))?;
        let mut pending = vec![(self.root.clone(), root.ino(), 0)];
        let mut seen = 0;
        while let Some((folder, inode, depth)) = pending.pop() {
            seen += 1;
            self.sampler.see(inode);
            // A cgroup that is removed meanwhile is left out.
            self.one(&folder, inode, batch);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                if depth < MAX_DEPTH
                    && seen + pending.len() < MAX_CGROUPS
                    && entry.file_type().is_ok_and(|kind| kind.is_dir())
                {
                    pending.push((entry.path(), entry.ino(), depth + 1));
                }
            }
        }
        self.sampler.end();
        Ok(())
    }
}

impl Cgroups {
    fn one(&mut self, folder: &Path, inode: u64, batch: &mut Batch) -> Option<()> {
        let read = |name: &str| fs::read(folder.join(name)).ok();
        let limit = match self.version {
            Version::V1 => Limit::of_v1(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
            Version::V2 => Limit::parse(&read("cpu.max")?),
        }?;
        let stat = CpuStat::parse(&read("cpu.stat")?);
        self.sampler.note(inode, stat);
        if !self.sampler.is_active(inode, stat) {
            return None;
        }
        let below = folder.strip_prefix(&self.root).unwrap_or(folder);
        let pressure = match &self.pressure {
            Some(other) => fs::read(other.join(below).join("cpu.pressure")).ok(),
            None => read("cpu.pressure"),
        };
        let pressure = pressure.map(|text| Pressure::parse(&text)).unwrap_or_default();
        let first = read("cgroup.procs").unwrap_or_default();
        let pid = std::str::from_utf8(&first).ok().and_then(|text| text.lines().next()?.parse::<i32>().ok());
        let mount_namespace = pid.map_or(0, |pid| self.procfs.mount_namespace(pid));
        let path = [b"/".as_slice(), below.as_os_str().as_bytes()].concat();
        let cgroup = Cgroup { path: &path, inode, stat, limit, pressure, mount_namespace };
        batch.push(self.sampler.record(&cgroup));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::ffi::OsStringExt as _, process::Command};

    use super::*;

    /// A cgroup that may use a hundredth of a CPU, which it gets on the busiest machine, with a hostile name; removed when
    /// dropped.
    struct Limited(PathBuf);

    impl Limited {
        fn new(cgroups: &Cgroups) -> Self {
            let name = [format!("ig-{}-", std::process::id()).as_bytes(), b"\x1b[31m \xff"].concat();
            let folder = cgroups.root.join(std::ffi::OsString::from_vec(name));
            fs::create_dir(&folder).unwrap();
            let limited = Self(folder);
            match cgroups.version {
                Version::V1 => {
                    fs::write(limited.0.join("cpu.cfs_period_us"), "100000").unwrap();
                    fs::write(limited.0.join("cpu.cfs_quota_us"), "1000").unwrap();
                }
                Version::V2 => fs::write(limited.0.join("cpu.max"), "1000 100000").unwrap(),
            }
            limited
        }

        fn stat(&self) -> CpuStat {
            CpuStat::parse(&fs::read(self.0.join("cpu.stat")).unwrap())
        }
    }

    impl Drop for Limited {
        fn drop(&mut self) {
            let removed = || fs::remove_dir(&self.0).is_ok();
            assert!((0..3000).any(|_| removed() || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }));
        }
    }

    /// Scenario: a cgroup with a limit and a name of escape sequences is made after the first reading; a loop in it is
    /// throttled; then nothing runs in it.
    /// Guarantees: it shows up at once with all it did, its name byte for byte, and not again while it is idle.
    #[test]
    fn a_throttled_cgroup_shows_up() {
        let mut cgroups = Cgroups::open(&Host::of([])).unwrap();
        let mut batch = Batch::default();
        cgroups.gather(&mut batch).unwrap();
        assert!(batch.is_empty());
        let limited = Limited::new(&cgroups);
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        fs::write(limited.0.join("cgroup.procs"), child.id().to_string()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(3);
        while limited.stat().throttled < 3 {
            assert!(std::time::Instant::now() < deadline, "the limit did not bite: {:?}", limited.stat());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let stat = limited.stat();
        cgroups.gather(&mut batch).unwrap();
        let name = [b"/".as_slice(), limited.0.file_name().unwrap().as_bytes()].concat();
        let own = |batch: &Batch| {
            batch.iter().find(|record| record.starts_with(&name)).map(|record| {
                let number = |at: usize| u64::from_ne_bytes(record[at..at + 8].try_into().unwrap());
                (number(512), number(520), number(528), number(544), number(552))
            })
        };
        let expected = (stat.periods, stat.throttled, stat.throttled_ns, 1_000_000, 100_000_000);
        assert_eq!(own(&batch), Some(expected));
        batch.clear();
        cgroups.gather(&mut batch).unwrap();
        let again = limited.stat();
        if again == stat {
            assert_eq!(own(&batch), None);
        }
    }
}
