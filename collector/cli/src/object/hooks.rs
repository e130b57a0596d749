//! Where programs attach, whether this kernel has it, and what a process needs to get there.

use std::collections::HashMap;

use ig_kernel::btf::Kind;
use ig_kernel::probe::{Feature, Probe, probe};
use ig_kernel::symbols::{self, Symbol};
use ig_kernel::tracefs::{self, TracefsError};
use ig_loader::{ProgramKind, ProgramSpec};
use ig_model::chain;

use super::Target;

/// Where a program attaches.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// In words, such as "tracepoint sched:sched_switch".
    pub(crate) name: String,
    pub(crate) answer: Answer,
}

/// Whether a kernel has a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has.
    There,
    /// It has not; the text says what would.
    Missing(String),
    /// The question could not be put, or is answered only when the program is attached.
    Unknown(String),
}

/// Answers about one kernel, each asked for at most once.
pub(crate) struct Answers<'a> {
    target: &'a Target,
    probes: HashMap<Feature, Answer>,
    symbols: Result<HashMap<String, Symbol>, String>,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(target: &'a Target, programs: &[ProgramSpec]) -> Self {
        let names: Vec<String> = programs.iter().flat_map(functions).collect();
        let symbols = symbols::lookup(names.iter().map(String::as_str))
            .map(|found| found.into_iter().map(|(name, symbol)| (name.to_owned(), symbol)).collect())
            .map_err(|error| error.to_string());
        Self { target, probes: HashMap::new(), symbols }
    }

    /// Where a program attaches, and whether the kernel has it.
    pub(crate) fn hook(&mut self, program: &ProgramSpec) -> Hook {
        let on = &program.target;
        let (name, answer) = match program.kind {
            ProgramKind::Tracepoint => {
                (format!("tracepoint {}", on.replacen('/', ":", 1)), self.tracepoint(on))
            }
            ProgramKind::RawTracepoint => {
                let answer = self.named(&format!("btf_trace_{on}"), Kind::Typedef, "tracepoint", on);
                (format!("raw tracepoint {on}"), answer)
            }
            ProgramKind::TracepointBtf => {
                let answer = self.named(&format!("btf_trace_{on}"), Kind::Typedef, "tracepoint", on);
                (format!("typed tracepoint {on}"), answer)
            }
            ProgramKind::Iter => {
                let answer = self.named(&format!("bpf_iter_{on}"), Kind::Func, "iterator", on);
                (format!("iterator over {on}"), answer)
            }
            ProgramKind::Lsm => {
                let answer = self.named(&format!("bpf_lsm_{on}"), Kind::Func, "LSM hook", on);
                (format!("LSM hook {on}"), self.also(answer, Feature::Lsm))
            }
            ProgramKind::Fentry | ProgramKind::Fexit | ProgramKind::FmodRet => {
                let answer = self.named(on, Kind::Func, "function", on);
                (format!("function {on}"), self.also(answer, Feature::Fentry))
            }
            ProgramKind::Kprobe
            | ProgramKind::Kretprobe
            | ProgramKind::Ksyscall
            | ProgramKind::Kretsyscall => {
                let answer = self.kernel_function(program);
                let kind = if program.kind == ProgramKind::Kprobe { "entry" } else { "probe" };
                (format!("{kind} of kernel function {on}"), self.also(answer, Feature::Kprobe))
            }
            ProgramKind::Uprobe | ProgramKind::Uretprobe | ProgramKind::Usdt => {
                let open = Answer::Unknown("the file is found when the program is attached".to_owned());
                (format!("user function {on}"), self.also(open, Feature::Uprobe))
            }
            ProgramKind::PerfEvent => ("CPU clock".to_owned(), Answer::There),
            ProgramKind::Unknown => (
                "none".to_owned(),
                Answer::Missing("a section name that says what the program is".to_owned()),
            ),
            _ => (
                place(program.kind).to_owned(),
                Answer::Unknown("it is named when the program is attached".to_owned()),
            ),
        };
        Hook { name, answer }
    }

    /// A hook that the kernel's types name.
    fn named(&self, symbol: &str, kind: Kind, word: &str, on: &str) -> Answer {
        match self.target.btf.type_by_name(symbol, kind) {
            Some(_) => Answer::There,
            None => Answer::Missing(format!("a kernel with the {word} `{on}`")),
        }
    }

    fn tracepoint(&self, on: &str) -> Answer {
        if !self.target.running {
            return elsewhere();
        }
        let mut parts = on.split('/');
        let (Some(group), Some(name)) = (parts.next(), parts.next()) else {
            return Answer::Missing("a section of the form tracepoint/group/name".to_owned());
        };
        match tracefs::event_id(group, name) {
            Ok(_) => Answer::There,
            Err(TracefsError::NoEvent { .. }) => {
                Answer::Missing(format!("a kernel with the tracepoint `{group}:{name}`"))
            }
            Err(error) => Answer::Unknown(chain(&error)),
        }
    }

    fn kernel_function(&self, program: &ProgramSpec) -> Answer {
        if !self.target.running {
            return elsewhere();
        }
        let symbols = match &self.symbols {
            Ok(symbols) => symbols,
            Err(error) => return Answer::Unknown(format!("/proc/kallsyms cannot be read: {error}")),
        };
        let known = |name: &String| symbols.get(name).is_some_and(|found| *found != Symbol::Absent);
        if functions(program).iter().any(known) {
            Answer::There
        } else {
            Answer::Missing(format!("a kernel with the function `{}`", program.target))
        }
    }

    /// Both the hook and the kind of hook have to be there.
    fn also(&mut self, answer: Answer, feature: Feature) -> Answer {
        if matches!(answer, Answer::Missing(_)) {
            return answer;
        }
        let kind = if self.target.running {
            self.probes.entry(feature).or_insert_with(|| ask(feature)).clone()
        } else {
            elsewhere()
        };
        if kind == Answer::There { answer } else { kind }
    }
}

fn functions(program: &ProgramSpec) -> Vec<String> {
    program.kind.kernel_functions(&program.target)
}

fn ask(feature: Feature) -> Answer {
    match probe(feature) {
        Probe::Supported => Answer::There,
        Probe::Unsupported { needs } => Answer::Missing(needs.to_owned()),
        Probe::Inconclusive(error) => Answer::Unknown(error.to_string()),
    }
}

fn elsewhere() -> Answer {
    Answer::Unknown("only the kernel itself can tell".to_owned())
}

/// What kind of thing a program attaches to that its section does not name.
fn place(kind: ProgramKind) -> &'static str {
    match kind {
        ProgramKind::SocketFilter | ProgramKind::SkReuseport => "socket",
        ProgramKind::Classifier | ProgramKind::Action | ProgramKind::Tcx | ProgramKind::Xdp => {
            "network interface"
        }
        ProgramKind::SockOps | ProgramKind::Cgroup | ProgramKind::LsmCgroup => "cgroup",
        ProgramKind::SkSkb | ProgramKind::SkMsg => "map of sockets",
        ProgramKind::SkLookup | ProgramKind::FlowDissector => "network namespace",
        ProgramKind::KprobeMulti | ProgramKind::KretprobeMulti => "kernel functions",
        ProgramKind::Lwt => "route",
        ProgramKind::Freplace => "function of another program",
        ProgramKind::LircMode2 => "infrared receiver",
        _ => "nothing",
    }
}

/// The capabilities that loading such a program takes since Linux 5.8; before, it is CAP_SYS_ADMIN for all.
///
/// # Source
/// `is_net_admin_prog_type` and `is_perfmon_prog_type` in the kernel's `kernel/bpf/syscall.c`.
pub(crate) fn capabilities(program: &ProgramSpec) -> &'static [&'static str] {
    match program.program_type.0 {
        // kprobe, tracepoint, perf_event, raw_tracepoint (writable), tracing, struct_ops, lsm.
        2 | 5 | 7 | 17 | 24 | 26 | 27 | 29 => &["CAP_BPF", "CAP_PERFMON"],
        // sched_cls, sched_act, xdp, lwt_*, sock_ops, sk_skb, cgroup_*, sk_msg, flow_dissector, sk_lookup.
        3 | 4 | 6 | 9..=16 | 18 | 19 | 22 | 23 | 25 | 30 => &["CAP_BPF", "CAP_NET_ADMIN"],
        // ext.
        28 => &["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"],
        _ => &["CAP_BPF"],
    }
}
