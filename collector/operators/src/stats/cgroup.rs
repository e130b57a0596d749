//! Processor limits of cgroups: how often and for how long each was throttled between two readings.
//!
//! # Source
//! The kernel's `cgroup-v2.rst` for `cpu.max`, `cpu.stat` and `cpu.pressure`; `sched-bwc.rst` for the files of version
//! 1, which the reference does not read. Records are increments; a cgroup that was made since the reading before is
//! counted from zero, where the reference leaves out what it did so far.

mod gather;
mod operator;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use ig_datasource::DataSource;
use ig_model::FieldKind;

use super::{
    layout::{self, Spec, Writer},
    text::{decimal, lines, signed, unsigned, value, words},
};
pub(crate) use operator::CgroupOperator;

/// Name of the data source.
pub const NAME: &str = "cgroups";
/// Name of the operator in gadget.yaml.
pub const OPERATOR: &str = "cgroup";

/// Longest path; of longer ones the end is kept, which tells them apart.
const PATH: usize = 512;
const RIGHT: (&str, &str) = ("columns.alignment", "right");
const HUNDREDTHS: (&str, &str) = ("columns.precision", "2");
const WIDTH: (&str, &str) = ("columns.maxwidth", "8");
const DURATION: &[&str] = &["gadget_duration"];

const FIELDS: [Spec; 11] = [
    Spec::text(
        "cgroupPath",
        PATH,
        &[("columns.maxwidth", "60"), ("columns.ellipsis", "start"), ("description", "Path of the cgroup")],
    ),
    Spec::number(
        "nrPeriods",
        FieldKind::Uint64,
        &[
            RIGHT,
            ("columns.maxwidth", "10"),
            ("description", "Periods in which the cgroup ran since the reading before"),
        ],
    ),
    Spec::number(
        "nrThrottled",
        FieldKind::Uint64,
        &[
            RIGHT,
            ("columns.maxwidth", "12"),
            ("description", "Periods in which it used its quota up since the reading before"),
        ],
    ),
    Spec::typed(
        "throttledTime_raw",
        DURATION,
        &[
            RIGHT,
            ("columns.maxwidth", "14"),
            ("description", "Time for which it was throttled since the reading before, in nanoseconds"),
        ],
    ),
    Spec::number(
        "throttleRatio",
        FieldKind::Float64,
        &[RIGHT, HUNDREDTHS, WIDTH, ("description", "Throttled periods in percent of all periods")],
    ),
    Spec::typed(
        "cpuQuota_raw",
        DURATION,
        &[
            RIGHT,
            ("columns.maxwidth", "10"),
            ("description", "Processor time allowed in a period, in nanoseconds"),
        ],
    ),
    Spec::typed(
        "cpuPeriod_raw",
        DURATION,
        &[
            RIGHT,
            ("columns.maxwidth", "10"),
            ("columns.hidden", "true"),
            ("description", "Length of a period, in nanoseconds"),
        ],
    ),
    Spec::number(
        "cpuLimitCores",
        FieldKind::Float64,
        &[RIGHT, HUNDREDTHS, WIDTH, ("description", "The limit as a number of CPUs")],
    ),
    Spec::number(
        "psiSomeAvg10",
        FieldKind::Float64,
        &[
            RIGHT,
            HUNDREDTHS,
            WIDTH,
            ("description", "Share of the last 10 seconds in which some task waited for a CPU, in percent"),
        ],
    ),
    Spec::number(
        "psiSomeAvg60",
        FieldKind::Float64,
        &[
            RIGHT,
            HUNDREDTHS,
            WIDTH,
            ("description", "Share of the last 60 seconds in which some task waited for a CPU, in percent"),
        ],
    ),
    Spec::typed("mountnsid", &["gadget_mntns_id"], &[("template", "mntns_id")]),
];

fn source() -> DataSource {
    layout::source(NAME, OPERATOR, &FIELDS, |_name| true)
}

/// Counters of `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// Periods in which the cgroup ran.
    pub periods: u64,
    /// Periods in which it was throttled.
    pub throttled: u64,
    /// Nanoseconds for which it was throttled.
    pub throttled_ns: u64,
}

impl CpuStat {
    /// Reads the text of either version; lines that are missing are 0.
    pub fn parse(text: &[u8]) -> Self {
        let number = |key: &str| value(text, key).map(unsigned);
        let throttled_ns = number("throttled_usec ").map(|us| us.saturating_mul(1000));
        Self {
            periods: number("nr_periods ").unwrap_or(0),
            throttled: number("nr_throttled ").unwrap_or(0),
            throttled_ns: throttled_ns.or_else(|| number("throttled_time ")).unwrap_or(0),
        }
    }

    /// What was added since `before`; a counter that went back began anew.
    fn since(self, before: Self) -> Self {
        if self.periods < before.periods || self.throttled < before.throttled {
            return self;
        }
        Self {
            periods: self.periods - before.periods,
            throttled: self.throttled - before.throttled,
            throttled_ns: self.throttled_ns.saturating_sub(before.throttled_ns),
        }
    }
}

/// A limit that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Microseconds of processor time in a period.
    pub quota_us: u64,
    /// Microseconds of a period, never 0.
    pub period_us: u64,
}

impl Limit {
    /// From the text of `cpu.max` (version 2); `None` without a limit.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = words(text);
        let (quota, period) = (words.next()?, words.next()?);
        Self::new(signed(quota), unsigned(period))
    }

    /// From the texts of `cpu.cfs_quota_us` and `cpu.cfs_period_us` (version 1); `None` without a limit.
    pub fn of_v1(quota: &[u8], period: &[u8]) -> Option<Self> {
        Self::new(signed(quota), unsigned(period))
    }

    fn new(quota: i64, period_us: u64) -> Option<Self> {
        // `max` reads as 0, and -1 is how version 1 says it.
        let quota_us = u64::try_from(quota).ok().filter(|quota| *quota > 0)?;
        (period_us > 0).then_some(Self { quota_us, period_us })
    }
}

/// Averages of `cpu.pressure`, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Over 10 seconds.
    pub some_avg10: f64,
    /// Over 60 seconds.
    pub some_avg60: f64,
}

impl Pressure {
    /// Reads the text; what is missing is 0.
    pub fn parse(text: &[u8]) -> Self {
        let some = value(text, "some ").unwrap_or_default();
        let average = |key: &[u8]| words(some).find_map(|word| word.strip_prefix(key)).map_or(0.0, decimal);
        Self { some_avg10: average(b"avg10="), some_avg60: average(b"avg60=") }
    }
}

/// Which files a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `cpu.cfs_quota_us`, `cpu.cfs_period_us`.
    V1,
    /// `cpu.max`, `cpu.pressure`.
    V2,
}

/// Where the hierarchies are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The hierarchy of version 1 with the processor controller.
    pub v1: Option<PathBuf>,
    /// The hierarchy of version 2.
    pub v2: Option<PathBuf>,
}

impl Mounts {
    /// Reads the text of a `mountinfo`; the first mount of each kind counts.
    pub fn parse(mountinfo: &[u8]) -> Self {
        let mut mounts = Self::default();
        for line in lines(mountinfo) {
            let mut before = words(line);
            let Some(point) = before.nth(4) else { continue };
            let mut after = words(line).skip_while(|word| *word != b"-").skip(1);
            let (kind, options) = (after.next().unwrap_or_default(), after.nth(1).unwrap_or_default());
            let is_cpu = || options.split(|byte| *byte == b',').any(|option| option == b"cpu");
            let place = match kind {
                b"cgroup2" => &mut mounts.v2,
                b"cgroup" if is_cpu() => &mut mounts.v1,
                _ => continue,
            };
            place.get_or_insert_with(|| path(point));
        }
        mounts
    }
}

/// A mount point, in which blanks and the like are written as `\040`.
fn path(escaped: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;

    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let byte =
            octal.map(|digits| digits.iter().fold(0_u32, |byte, digit| byte * 8 + u32::from(digit - b'0')));
        if let Some(byte) = byte.and_then(|byte| u8::try_from(byte).ok()) {
            bytes.push(byte);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// One cgroup with a limit at one reading.
#[derive(Clone, Copy, Debug)]
pub struct Cgroup<'a> {
    /// Its path in the hierarchy; any bytes, as names of cgroups are.
    pub path: &'a [u8],
    /// Its inode, never used again.
    pub inode: u64,
    /// Its counters.
    pub stat: CpuStat,
    /// Its limit.
    pub limit: Limit,
    /// How its tasks wait.
    pub pressure: Pressure,
    /// Mount namespace of one of its processes.
    pub mount_namespace: u64,
}

/// Makes records of cgroups and remembers their counters until the next reading.
#[derive(Debug, Default)]
pub struct Sampler {
    before: Reading,
    now: Reading,
    record: Vec<u8>,
}

#[derive(Debug, Default)]
struct Reading {
    /// All cgroups there were, with a limit or without.
    seen: HashSet<u64>,
    counters: HashMap<u64, CpuStat>,
    is_done: bool,
}

impl Sampler {
    /// Notes that a cgroup is there.
    pub fn see(&mut self, inode: u64) {
        self.now.seen.insert(inode);
    }

    /// Whether the counters of a cgroup have moved since the reading before, so that it is worth a record.
    pub fn is_active(&self, inode: u64, stat: CpuStat) -> bool {
        self.increment(inode, stat).is_some_and(|added| added.periods > 0 || added.throttled > 0)
    }

    /// Notes the counters of a cgroup.
    pub fn note(&mut self, inode: u64, stat: CpuStat) {
        self.now.counters.insert(inode, stat);
    }

    /// What was added since the reading before; `None` where that cannot be told.
    fn increment(&self, inode: u64, stat: CpuStat) -> Option<CpuStat> {
        match self.before.counters.get(&inode) {
            Some(before) => Some(stat.since(*before)),
            // Made since; one that was there without a limit may have counted under an earlier one.
            None if self.before.is_done && !self.before.seen.contains(&inode) => Some(stat),
            None => None,
        }
    }

    /// The record of a cgroup; valid until the next one.
    pub fn record(&mut self, cgroup: &Cgroup<'_>) -> &[u8] {
        let Cgroup { path, inode, stat, limit, pressure, mount_namespace } = cgroup;
        let added = self.increment(*inode, *stat).unwrap_or_default();
        let ratio =
            if added.periods == 0 { 0.0 } else { 100.0 * added.throttled as f64 / added.periods as f64 };
        let start = path.len().saturating_sub(PATH);
        Writer::new(&mut self.record)
            .text(path.get(start..).unwrap_or_default(), PATH)
            .number(added.periods.to_ne_bytes())
            .number(added.throttled.to_ne_bytes())
            .number(added.throttled_ns.to_ne_bytes())
            .number(ratio.to_ne_bytes())
            .number(limit.quota_us.saturating_mul(1000).to_ne_bytes())
            .number(limit.period_us.saturating_mul(1000).to_ne_bytes())
            .number((limit.quota_us as f64 / limit.period_us.max(1) as f64).to_ne_bytes())
            .number(pressure.some_avg10.to_ne_bytes())
            .number(pressure.some_avg60.to_ne_bytes())
            .number(mount_namespace.to_ne_bytes());
        &self.record
    }

    /// Ends a reading: what it saw is what the next one is compared with.
    pub fn end(&mut self) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.before.is_done = true;
        self.now = Reading::default();
    }
}

#[cfg(test)]
mod tests;
