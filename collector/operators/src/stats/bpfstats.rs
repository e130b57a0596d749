//! eBPF programs: run time, runs, memory of maps, whose they are and who holds them.
//!
//! # Source
//! Fields and metric annotations are those of Inspektor Gadget, data source `bpfstats`. Its first report shows
//! everything since a program was loaded as if it had happened in one interval; here the first reading is what the
//! first report is compared with, and the share of CPUs is of the time that really passed.

mod gather;
mod operator;

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use ig_datasource::{DataSource, annotate::BASE};
use ig_model::{FieldKind, Host};

use super::{
    layout::{self, Spec, Writer},
    push_beside,
    text::{unsigned, value},
};
use crate::column::{Column, ColumnClash, Columns, Render};
pub(crate) use operator::BpfOperator;

/// Name of the data source.
pub const NAME: &str = "bpfstats";
/// Name of the operator in gadget.yaml.
pub const OPERATOR: &str = "ebpf";

const GADGET: usize = 64;
const IMAGE: usize = 128;
const PROGRAM: usize = 16;
const KIND: usize = 24;
/// Bytes of a list of processes; one that is longer ends in `…`.
const LIST: usize = 128;
/// The time a program ran in all; part of records, but shown only as text.
const TOTAL: &str = "";

const RIGHT: (&str, &str) = ("columns.alignment", "right");
const HUNDREDTHS: (&str, &str) = ("columns.precision", "2");
const WIDE: (&str, &str) = ("columns.width", "16");
const MIDDLE: (&str, &str) = ("columns.width", "12");
const NARROW: (&str, &str) = ("columns.width", "8");
const KEY: (&str, &str) = ("metrics.type", "key");
const COUNTER: (&str, &str) = ("metrics.type", "counter");
const GAUGE: (&str, &str) = ("metrics.type", "gauge");

const FIELDS: [Spec; 15] = [
    Spec::text("gadgetID", GADGET, &[NARROW, ("description", "Identity of the gadget instance")]),
    Spec::text("gadgetName", GADGET, &[WIDE, KEY, ("description", "Name of the gadget instance")]),
    Spec::text("gadgetImage", IMAGE, &[WIDE, KEY, ("description", "Image of the gadget")]),
    Spec::number(
        "progID",
        FieldKind::Uint32,
        &[RIGHT, ("columns.width", "5"), ("description", "Number of the program in the kernel")],
    ),
    Spec::text(
        "progName",
        PROGRAM,
        &[
            KEY,
            ("columns.fixed", "true"),
            WIDE,
            ("description", "Name of the program, as far as the kernel keeps it"),
        ],
    ),
    Spec::text("progType", KIND, &[WIDE, ("description", "Type of the program")]),
    Spec::number(
        "cpuUsage",
        FieldKind::Float64,
        &[
            ("columns.alias", "%CPU"),
            HUNDREDTHS,
            RIGHT,
            NARROW,
            ("description", "Time the program ran since the reading before, in percent of one CPU"),
        ],
    ),
    Spec::number(
        "cpuUsageRelative",
        FieldKind::Float64,
        &[
            ("columns.alias", "%RELCPU"),
            HUNDREDTHS,
            RIGHT,
            NARROW,
            ("description", "Time the program ran since the reading before, in percent of all CPUs"),
        ],
    ),
    Spec::number(TOTAL, FieldKind::Uint64, &[]),
    Spec::typed(
        "runtime_raw",
        &["gadget_duration"],
        &[
            MIDDLE,
            RIGHT,
            COUNTER,
            ("description", "Time the program or gadget ran since the reading before, in nanoseconds"),
        ],
    ),
    Spec::number(
        "runcount",
        FieldKind::Uint64,
        &[MIDDLE, RIGHT, COUNTER, ("description", "How often it ran since the reading before")],
    ),
    Spec::typed(
        "mapMemory_raw",
        &["gadget_bytes"],
        &[MIDDLE, RIGHT, GAUGE, ("description", "Memory of the maps that it uses, in bytes")],
    ),
    Spec::number(
        "mapCount",
        FieldKind::Uint64,
        &[("columns.width", "5"), RIGHT, GAUGE, ("description", "Maps that it uses")],
    ),
    Spec::text("comms", LIST, &[WIDE, ("description", "Names of the processes that hold the program")]),
    Spec::text("pids", LIST, &[WIDE, ("description", "Numbers of the processes that hold the program")]),
];

/// What records stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// A record for each program in the kernel.
    #[default]
    Programs,
    /// A record for each gadget, its programs taken together.
    Gadgets,
}

fn source() -> DataSource {
    let mut source = layout::source(NAME, OPERATOR, &FIELDS, |name| name != TOTAL);
    source.annotations.insert("cli.clear-screen-before".to_owned(), "true".to_owned());
    source
}

fn complete(source: &DataSource, host: &Host, columns: &mut Columns) -> Result<(), ColumnClash> {
    let column = Column::new("cpuTimeStr", vec![layout::place(&FIELDS, TOTAL)], Render::Duration);
    let column = column.annotated(&BASE).annotated(&[
        ("columns.alias", "TIME+"),
        RIGHT,
        MIDDLE,
        ("description", "Time that the program ran in all"),
    ]);
    push_beside(source, "cpuUsageRelative", column, columns)?;
    if let Some(node) = &host.node {
        let column = Column::new("nodeName", Vec::new(), Render::Constant(node.as_str().into()));
        let column = column.annotated(&BASE).annotated(&[("template", "node"), KEY]);
        columns.push(Column { order: -1, ..column })?;
    }
    Ok(())
}

/// Names of program types from 0 on, as people write them.
const KINDS: [&str; 33] = [
    "UnspecifiedProgram",
    "SocketFilter",
    "Kprobe",
    "SchedCLS",
    "SchedACT",
    "TracePoint",
    "XDP",
    "PerfEvent",
    "CGroupSKB",
    "CGroupSock",
    "LWTIn",
    "LWTOut",
    "LWTXmit",
    "SockOps",
    "SkSKB",
    "CGroupDevice",
    "SkMsg",
    "RawTracepoint",
    "CGroupSockAddr",
    "LWTSeg6Local",
    "LircMode2",
    "SkReuseport",
    "FlowDissector",
    "CGroupSysctl",
    "RawTracepointWritable",
    "CGroupSockopt",
    "Tracing",
    "StructOps",
    "Extension",
    "LSM",
    "SkLookup",
    "Syscall",
    "Netfilter",
];

/// The name of a program type, `ProgramType(40)` if it is newer than this list.
fn kind_name(kind: u32) -> String {
    let known = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
    known.map_or_else(|| format!("ProgramType({kind})"), |name| (*name).to_owned())
}

/// Bytes of memory of a map, from the text of its `fdinfo`.
pub fn map_memory(fdinfo: &[u8]) -> u64 {
    value(fdinfo, "memlock:").map_or(0, unsigned)
}

/// Number of the program that a descriptor holds, directly or through a link, from the text of its `fdinfo`.
pub fn held_program(fdinfo: &[u8]) -> Option<u32> {
    value(fdinfo, "prog_id:").and_then(|id| u32::try_from(unsigned(id)).ok())
}

/// A gadget with programs in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Identity of the instance; empty for those that only have a name.
    pub id: String,
    /// Name of the instance.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Numbers of its programs.
    pub programs: Vec<u32>,
    /// Numbers of its maps.
    pub maps: Vec<u32>,
}

/// A program at one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub id: u32,
    /// Its type.
    pub kind: u32,
    /// Its name, up to the first NUL.
    pub name: [u8; 16],
    /// Nanoseconds it ran so far.
    pub run_time_ns: u64,
    /// How often it ran so far.
    pub run_count: u64,
    /// Numbers of its maps.
    pub maps: Vec<u32>,
}

/// A process that holds a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// Its name.
    pub comm: Vec<u8>,
}

/// All of one reading.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Programs in order of their numbers.
    pub programs: Vec<Program>,
    /// Memory of each map.
    pub maps: HashMap<u32, u64>,
    /// Who holds which program.
    pub holders: HashMap<u32, Vec<Holder>>,
    /// Gadgets of this process.
    pub owners: Vec<Owner>,
}

/// Counters that grew, and the maps behind them.
#[derive(Debug, Default)]
struct Sum {
    added_ns: u64,
    added_runs: u64,
    total_ns: u64,
    map_bytes: u64,
    map_count: u64,
}

/// Makes records and remembers counters until the next reading.
#[derive(Debug, Default)]
pub struct Sampler {
    before: HashMap<u32, (u64, u64)>,
    record: Vec<u8>,
}

impl Sampler {
    /// Gives `take` a record for each program or gadget of `reading`; `elapsed` is the time since the reading before,
    /// `None` for the first one, which gives none.
    pub fn records(
        &mut self,
        reading: &Reading,
        scope: Scope,
        elapsed: Option<Duration>,
        cpus: usize,
        mut take: impl FnMut(&[u8]),
    ) {
        if let Some(elapsed) = elapsed {
            let scale = (elapsed, cpus);
            match scope {
                Scope::Programs => {
                    for program in &reading.programs {
                        let owner = reading.owners.iter().find(|owner| owner.programs.contains(&program.id));
                        let sum = self.sum(reading, &[program], &program.maps);
                        take(self.record(
                            owner,
                            Some(program),
                            &sum,
                            &holders(reading, &[program.id]),
                            scale,
                        ));
                    }
                }
                Scope::Gadgets => {
                    for owner in &reading.owners {
                        let own = |program: &&Program| owner.programs.contains(&program.id);
                        let programs: Vec<&Program> = reading.programs.iter().filter(own).collect();
                        let sum = self.sum(reading, &programs, &owner.maps);
                        take(self.record(Some(owner), None, &sum, &holders(reading, &owner.programs), scale));
                    }
                }
            }
        }
        self.before.clear();
        let counters = |program: &Program| (program.id, (program.run_time_ns, program.run_count));
        self.before.extend(reading.programs.iter().map(counters));
    }

    fn sum(&self, reading: &Reading, programs: &[&Program], maps: &[u32]) -> Sum {
        let mut sum = Sum::default();
        for program in programs {
            let (ns, runs) = self.before.get(&program.id).copied().unwrap_or_default();
            sum.added_ns += program.run_time_ns.saturating_sub(ns);
            sum.added_runs += program.run_count.saturating_sub(runs);
            sum.total_ns += program.run_time_ns;
        }
        for map in maps {
            sum.map_bytes += reading.maps.get(map).copied().unwrap_or(0);
            sum.map_count += 1;
        }
        sum
    }

    fn record(
        &mut self,
        owner: Option<&Owner>,
        program: Option<&Program>,
        sum: &Sum,
        (comms, pids): &(Vec<u8>, Vec<u8>),
        (elapsed, cpus): (Duration, usize),
    ) -> &[u8] {
        let of_owner = |text: fn(&Owner) -> &str| owner.map_or("", text).as_bytes();
        let usage =
            if elapsed.is_zero() { 0.0 } else { 100.0 * sum.added_ns as f64 / elapsed.as_nanos() as f64 };
        let kind = program.map(|program| kind_name(program.kind)).unwrap_or_default();
        Writer::new(&mut self.record)
            .text(of_owner(|owner| &owner.id), GADGET)
            .text(of_owner(|owner| &owner.name), GADGET)
            .text(of_owner(|owner| &owner.image), IMAGE)
            .number(program.map_or(0, |program| program.id).to_ne_bytes())
            .text(program.map_or(&[], |program| program.name.as_slice()), PROGRAM)
            .text(kind.as_bytes(), KIND)
            .number(usage.to_ne_bytes())
            .number((usage / cpus.max(1) as f64).to_ne_bytes())
            .number(sum.total_ns.to_ne_bytes())
            .number(sum.added_ns.to_ne_bytes())
            .number(sum.added_runs.to_ne_bytes())
            .number(sum.map_bytes.to_ne_bytes())
            .number(sum.map_count.to_ne_bytes())
            .text(comms, LIST)
            .text(pids, LIST);
        &self.record
    }
}

/// Names and numbers of the processes that hold any of `programs`, each process once.
fn holders(reading: &Reading, programs: &[u32]) -> (Vec<u8>, Vec<u8>) {
    let (mut comms, mut pids) = (List::default(), List::default());
    let mut known = Vec::new();
    for holder in programs.iter().filter_map(|id| reading.holders.get(id)).flatten() {
        if !known.contains(&holder.pid) {
            known.push(holder.pid);
            comms.push(&holder.comm);
            let mut pid = String::new();
            // Writing to a string cannot fail.
            write!(pid, "{}", holder.pid).unwrap_or_default();
            pids.push(pid.as_bytes());
        }
    }
    (comms.text, pids.text)
}

/// Parts joined by commas, cut between two parts.
#[derive(Default)]
struct List {
    text: Vec<u8>,
    is_full: bool,
}

impl List {
    fn push(&mut self, part: &[u8]) {
        const MORE: &[u8] = "…".as_bytes();
        if self.is_full {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        // Room for a comma and the mark must be left.
        if self.text.len() + part.len() + 1 + MORE.len() > LIST {
            self.is_full = true;
            return self.text.extend_from_slice(MORE);
        }
        self.text.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
