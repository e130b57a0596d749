//! Processes: what /proc says of each, and the processor time between two readings.
//!
//! # Source
//! proc(5) for `/proc/PID/stat`, `/proc/PID/status` and `/proc/meminfo`. A process that was not there at the reading
//! before has used all its processor time since, where the reference shows 0 for it.

mod gather;
mod operator;

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use ig_datasource::{DataSource, annotate::BASE, template::HIDDEN};
use ig_model::{BootClock, FieldKind, Host, KtimeNs, nearest};

use super::{
    layout::{self, Spec, Writer},
    push_beside,
    text::{signed, unsigned, value, words},
};
use crate::column::{Column, ColumnClash, Columns, Render, Resolver};
pub(crate) use operator::ProcessOperator;

/// Name of the data source.
pub const NAME: &str = "processes";
/// Name of the operator in gadget.yaml.
pub const OPERATOR: &str = "process";

/// Longest name; kernel threads have longer ones than the 15 bytes of others.
const COMM: usize = 64;
/// `PF_KTHREAD`
const KERNEL_THREAD: u64 = 0x0020_0000;
const RIGHT: (&str, &str) = ("columns.alignment", "right");
const TENTHS: (&str, &str) = ("columns.precision", "1");
const HIDE: (&str, &str) = (HIDDEN, "true");
const BYTES: &[&str] = &["gadget_bytes"];

const FIELDS: [Spec; 17] = [
    Spec::number("pid", FieldKind::Int32, &[("template", "pid")]),
    Spec::number("ppid", FieldKind::Int32, &[("template", "ppid")]),
    Spec::text("comm", COMM, &[("template", "comm")]),
    Spec::number(
        "priority",
        FieldKind::Int8,
        &[RIGHT, ("description", "Priority, as the scheduler sees it")],
    ),
    Spec::number("nice", FieldKind::Int8, &[RIGHT, ("description", "Nice value, -20 to 19")]),
    Spec::number(
        "cpuUsage",
        FieldKind::Float64,
        &[
            TENTHS,
            RIGHT,
            ("columns.maxwidth", "8"),
            ("description", "Processor time since the reading before, in percent of one CPU"),
        ],
    ),
    Spec::number(
        "cpuUsageRelative",
        FieldKind::Float64,
        &[
            TENTHS,
            RIGHT,
            ("columns.maxwidth", "8"),
            ("description", "Processor time since the reading before, in percent of all CPUs"),
        ],
    ),
    Spec::typed("memoryRSS_raw", BYTES, &[RIGHT, ("description", "Memory that is resident, in bytes")]),
    Spec::typed("memoryVirtual_raw", BYTES, &[RIGHT, ("description", "Address space in use, in bytes")]),
    Spec::typed(
        "memoryShared_raw",
        BYTES,
        &[RIGHT, ("description", "Resident memory of files and shared memory, in bytes")],
    ),
    Spec::number(
        "memoryRelative",
        FieldKind::Float64,
        &[
            RIGHT,
            TENTHS,
            ("columns.maxwidth", "8"),
            ("description", "Resident memory in percent of the machine's"),
        ],
    ),
    Spec::number(
        "threadCount",
        FieldKind::Int32,
        &[RIGHT, ("columns.maxwidth", "11"), ("description", "Threads of the process")],
    ),
    Spec::text(
        "state",
        2,
        &[
            ("columns.maxwidth", "5"),
            ("value.one-of", "R,S,D,Z,T,t,W,X,x,K,W,P,I"),
            (
                "description",
                "State: R running, S sleeping, D waiting for a device, Z zombie, T stopped, I idle",
            ),
        ],
    ),
    Spec::number("uid", FieldKind::Uint32, &[("template", "uid")]),
    Spec::number(
        "startTime",
        FieldKind::Uint64,
        &[HIDE, ("description", "Start, in clock ticks since boot")],
    ),
    Spec::number(
        "cpuTime",
        FieldKind::Int64,
        &[HIDE, ("description", "Processor time in all, in clock ticks")],
    ),
    Spec::typed("mountnsid", &["gadget_mntns_id"], &[("template", "mntns_id")]),
];

/// Names of fields in gadget.yaml that stand for fields of other names.
const WORDS: [(&str, &str); 4] = [
    ("memoryRSS", "memoryRSS_raw"),
    ("memoryVirtual", "memoryVirtual_raw"),
    ("memoryShared", "memoryShared_raw"),
    ("startTimeStr", "startTime"),
];

/// Which fields there are; the process id and the mount namespace are always among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Names of fields in the layout; all of them if there are none.
    fields: Vec<&'static str>,
}

impl Shown {
    /// The fields that gadget.yaml lists, and the words that are no field, with a hint; an empty list is all of them.
    pub fn parse(listed: &[String]) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        let mut shown = Self::default();
        for word in listed {
            let meant = WORDS.iter().find(|(short, _)| short == word).map_or(word.as_str(), |(_, name)| name);
            match FIELDS.iter().find(|spec| spec.name == meant) {
                Some(spec) => shown.fields.push(spec.name),
                None => unknown.push(unknown_field(word)),
            }
        }
        if !listed.is_empty() {
            shown.fields.extend(["pid", "mountnsid"]);
        }
        (shown, unknown)
    }

    /// Whether the field of this name is shown.
    pub fn has(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.contains(&name)
    }

    /// Whether `/proc/PID/status` is needed, which costs as much as all else together.
    pub fn needs_status(&self) -> bool {
        self.has("uid") || self.has("memoryShared_raw")
    }
}

fn unknown_field(word: &str) -> String {
    let names = FIELDS.iter().map(|spec| spec.name).chain(WORDS.iter().map(|(short, _)| *short));
    let hint = nearest(word, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("operator.process.fields: processes have no field `{word}`{hint}")
}

fn source(shown: &Shown) -> DataSource {
    layout::source(NAME, OPERATOR, &FIELDS, |name| shown.has(name))
}

fn complete(source: &DataSource, host: &Host, columns: &mut Columns) -> Result<(), ColumnClash> {
    let ticks = host.ticks_per_second.max(1);
    if source.field("startTime").is_some() {
        let render = Render::Resolved(Arc::new(StartTime { clock: host.clock, ticks }));
        let column = Column::new("startTimeStr", vec![layout::place(&FIELDS, "startTime")], render);
        let column = column.annotated(&BASE).annotated(&[
            ("columns.ellipsis", "start"),
            ("columns.maxwidth", "25"),
            ("description", "Start, as date and time (RFC 3339)"),
        ]);
        push_beside(source, "startTime", column, columns)?;
    }
    if source.field("cpuTime").is_some() {
        let render = Render::Resolved(Arc::new(CpuTime { ticks }));
        let column = Column::new("cpuTimeStr", vec![layout::place(&FIELDS, "cpuTime")], render);
        let column = column.annotated(&BASE).annotated(&[
            RIGHT,
            ("columns.maxwidth", "12"),
            ("description", "Processor time in all, as minutes:seconds"),
        ]);
        push_beside(source, "cpuTime", column, columns)?;
    }
    Ok(())
}

#[derive(Debug)]
struct StartTime {
    clock: BootClock,
    ticks: u64,
}

impl Resolver for StartTime {
    fn text(&self, input: &[u8], out: &mut String) {
        let ticks = input.try_into().map_or(0, u64::from_ne_bytes);
        let since_boot = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks);
        // The clock takes 0 for "now".
        let since_boot = u64::try_from(since_boot).unwrap_or(u64::MAX);
        let seconds = self.clock.wall(KtimeNs::of_own(since_boot).max(KtimeNs(1))).0 / 1_000_000_000;
        out.push_str(&ig_model::text::rfc3339_utc(i64::try_from(seconds).unwrap_or(i64::MAX)));
    }
}

#[derive(Debug)]
struct CpuTime {
    ticks: u64,
}

impl Resolver for CpuTime {
    fn text(&self, input: &[u8], out: &mut String) {
        let ticks = input.try_into().map_or(0, u64::from_ne_bytes);
        let (seconds, rest) = (ticks / self.ticks, ticks % self.ticks);
        let milliseconds = u128::from(rest) * 1000 / u128::from(self.ticks);
        // Writing to a string cannot fail.
        write!(out, "{}:{:02}.{milliseconds:03}", seconds / 60, seconds % 60).unwrap_or_default();
    }
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Name, as the process chose it: any bytes but NUL.
    pub comm: &'a [u8],
    /// State, one letter.
    pub state: u8,
    /// Parent.
    pub ppid: i64,
    /// Whether it is a thread of the kernel.
    pub is_kernel_thread: bool,
    /// Processor time in clock ticks.
    pub cpu_ticks: u64,
    /// Priority.
    pub priority: i64,
    /// Nice value.
    pub nice: i64,
    /// Threads.
    pub threads: i64,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Resident pages.
    pub resident_pages: u64,
}

impl<'a> Stat<'a> {
    /// Reads the text; `None` if it is none. A name may hold blanks, parentheses and line breaks.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let comm = text.get(open + 1..close)?;
        // Counted from the state on, which is the third field.
        let mut fields = [b"".as_slice(); 22];
        let mut found = 0;
        for (field, word) in fields.iter_mut().zip(words(text.get(close + 1..)?)) {
            *field = word;
            found += 1;
        }
        if found < fields.len() {
            return None;
        }
        let [
            state,
            ppid,
            _,
            _,
            _,
            _,
            flags,
            _,
            _,
            _,
            _,
            user,
            system,
            _,
            _,
            priority,
            nice,
            threads,
            _,
            start,
            size,
            resident,
        ] = fields;
        Some(Self {
            comm,
            state: *state.first()?,
            ppid: signed(ppid),
            is_kernel_thread: unsigned(flags) & KERNEL_THREAD != 0,
            cpu_ticks: unsigned(user).saturating_add(unsigned(system)),
            priority: signed(priority),
            nice: signed(nice),
            threads: signed(threads),
            start_ticks: unsigned(start),
            virtual_bytes: unsigned(size),
            resident_pages: unsigned(resident),
        })
    }
}

/// What `/proc/PID/status` says beyond that; zeros for threads of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Real user.
    pub uid: u32,
    /// Resident bytes of files and shared memory.
    pub shared_bytes: u64,
}

impl Status {
    /// Reads the text; what is missing is 0, as for zombies.
    pub fn parse(text: &[u8]) -> Self {
        let kilobytes = |key| value(text, key).map_or(0, unsigned).saturating_mul(1024);
        Self {
            uid: value(text, "Uid:").and_then(|ids| u32::try_from(unsigned(ids)).ok()).unwrap_or(0),
            shared_bytes: kilobytes("RssFile:").saturating_add(kilobytes("RssShmem:")),
        }
    }
}

/// Bytes of memory the machine has, from the text of `/proc/meminfo`.
pub fn total_memory(meminfo: &[u8]) -> Option<u64> {
    value(meminfo, "MemTotal:").map(|text| unsigned(text).saturating_mul(1024))
}

/// Inode of a namespace, from the text of its link: `mnt:[4026531841]`.
pub fn namespace_inode(link: &[u8]) -> u64 {
    link.iter().position(|byte| *byte == b'[').and_then(|at| link.get(at + 1..)).map_or(0, unsigned)
}

/// What does not change from process to process.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Clock ticks per second.
    pub ticks_per_second: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// CPUs that are online.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Time since the reading before; `None` for the first one.
    pub elapsed: Option<Duration>,
}

/// One process at one reading.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Its number.
    pub pid: i32,
    /// What `stat` says.
    pub stat: Stat<'a>,
    /// What `status` says.
    pub status: Status,
    /// Its mount namespace.
    pub mount_namespace: u64,
}

/// Makes records of processes and remembers their processor time until the next reading.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Start and processor time of each process at the reading before; the start tells a reused number.
    before: HashMap<i32, (u64, u64)>,
    now: HashMap<i32, (u64, u64)>,
    record: Vec<u8>,
}

impl Sampler {
    /// The record of a process; valid until the next one.
    pub fn record(&mut self, process: &Process<'_>, scale: &Scale) -> &[u8] {
        let Process { pid, stat, status, mount_namespace } = process;
        let before = self.before.get(pid).filter(|(start, _)| *start == stat.start_ticks);
        let used = stat.cpu_ticks.saturating_sub(before.map_or(0, |(_, ticks)| *ticks));
        self.now.insert(*pid, (stat.start_ticks, stat.cpu_ticks));
        let usage = match scale.elapsed {
            Some(elapsed) if !elapsed.is_zero() => {
                100.0 * used as f64 / scale.ticks_per_second.max(1) as f64 / elapsed.as_secs_f64()
            }
            _ => 0.0,
        };
        let resident = stat.resident_pages.saturating_mul(scale.page_size);
        let relative = if scale.memory == 0 { 0.0 } else { 100.0 * resident as f64 / scale.memory as f64 };
        Writer::new(&mut self.record)
            .number(pid.to_ne_bytes())
            .number(clamped::<i32>(stat.ppid).to_ne_bytes())
            .text(stat.comm, COMM)
            .number(clamped::<i8>(stat.priority).to_ne_bytes())
            .number(clamped::<i8>(stat.nice).to_ne_bytes())
            .number(usage.to_ne_bytes())
            .number((usage / scale.cpus.max(1) as f64).to_ne_bytes())
            .number(resident.to_ne_bytes())
            .number(stat.virtual_bytes.to_ne_bytes())
            .number(status.shared_bytes.to_ne_bytes())
            .number(relative.to_ne_bytes())
            .number(clamped::<i32>(stat.threads).to_ne_bytes())
            .text(&[stat.state], 2)
            .number(status.uid.to_ne_bytes())
            .number(stat.start_ticks.to_ne_bytes())
            .number(stat.cpu_ticks.to_ne_bytes())
            .number(mount_namespace.to_ne_bytes());
        &self.record
    }

    /// Ends a reading: what it saw is what the next one is compared with.
    pub fn end(&mut self) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
    }
}

/// A number in a smaller type; 0 where it does not fit, which no kernel makes.
fn clamped<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
