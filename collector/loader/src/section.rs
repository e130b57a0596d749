//! What a section name says about its programs.
//!
//! The table follows libbpf's, so that every form found in the wild classifies: `kind/target` names, names that only
//! begin with a kind (`socket1`, `classifier/ingress/x`, `perf_event/y`), sleepable variants and a leading `?` for
//! programs that an object can do without.

/// The type number of a program in bpf(2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProgramType(pub u32);

/// What a program is, as far as attaching cares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the field's words")]
pub enum ProgramKind {
    SocketFilter,
    Kprobe,
    Kretprobe,
    KprobeMulti,
    KretprobeMulti,
    Ksyscall,
    Kretsyscall,
    Uprobe,
    Uretprobe,
    Usdt,
    Tracepoint,
    RawTracepoint,
    TracepointBtf,
    Fentry,
    Fexit,
    FmodRet,
    Freplace,
    Lsm,
    LsmCgroup,
    Iter,
    PerfEvent,
    Classifier,
    Action,
    Tcx,
    Xdp,
    SockOps,
    SkSkb,
    SkMsg,
    SkLookup,
    SkReuseport,
    Cgroup,
    Lwt,
    LircMode2,
    FlowDissector,
    Netfilter,
    Netkit,
    Syscall,
    /// The section name fits no kind: such a program cannot be loaded.
    Unknown,
}

/// What [`classify`] finds in a section name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Classified<'a> {
    pub(crate) kind: ProgramKind,
    pub(crate) program_type: ProgramType,
    pub(crate) attach_type: u32,
    pub(crate) sleepable: bool,
    /// Text after the kind, such as `syscalls/sys_enter_openat`.
    pub(crate) target: &'a str,
    /// Whether the name begins with `?`.
    pub(crate) optional: bool,
}

/// How a row of the table compares with a name.
#[derive(Clone, Copy)]
enum Form {
    /// The text before the first `/` is the pattern.
    Kind,
    /// The name begins with the pattern.
    Prefix,
}
use Form::{Kind, Prefix};

type Row = (&'static str, Form, ProgramKind, u32, u32);

/// What the kernel puts before the names of its system calls' functions.
pub(crate) const SYSCALL_PREFIX: &str = if cfg!(target_arch = "x86_64") { "__x64_" } else { "__arm64_" };

const KPROBE: u32 = 2;
const TRACING: u32 = 26;
const LSM: u32 = 29;
const CGROUP_ADDR: u32 = 18;

/// Pattern, form, kind, program type, expected attach type. The first row that fits counts: longer names before their
/// own beginnings.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("sk_reuseport/migrate", Prefix, ProgramKind::SkReuseport, 21, 40),
    ("sk_reuseport", Prefix, ProgramKind::SkReuseport, 21, 39),
    ("socket", Prefix, ProgramKind::SocketFilter, 1, 0),
    ("kprobe", Kind, ProgramKind::Kprobe, KPROBE, 0),
    ("kretprobe", Kind, ProgramKind::Kretprobe, KPROBE, 0),
    ("kprobe.multi", Kind, ProgramKind::KprobeMulti, KPROBE, 42),
    ("kretprobe.multi", Kind, ProgramKind::KretprobeMulti, KPROBE, 42),
    ("kprobe.session", Kind, ProgramKind::KprobeMulti, KPROBE, 56),
    ("ksyscall", Kind, ProgramKind::Ksyscall, KPROBE, 0),
    ("kretsyscall", Kind, ProgramKind::Kretsyscall, KPROBE, 0),
    ("uprobe", Kind, ProgramKind::Uprobe, KPROBE, 0),
    ("uretprobe", Kind, ProgramKind::Uretprobe, KPROBE, 0),
    // Attached one by one through perf events, which programs of the attach type for many at once refuse.
    ("uprobe.multi", Kind, ProgramKind::Uprobe, KPROBE, 0),
    ("uretprobe.multi", Kind, ProgramKind::Uretprobe, KPROBE, 0),
    ("usdt", Kind, ProgramKind::Usdt, KPROBE, 0),
    ("tcx/ingress", Prefix, ProgramKind::Tcx, 3, 46),
    ("tcx/egress", Prefix, ProgramKind::Tcx, 3, 47),
    ("classifier", Prefix, ProgramKind::Classifier, 3, 0),
    ("tc", Prefix, ProgramKind::Classifier, 3, 0),
    ("action", Prefix, ProgramKind::Action, 4, 0),
    ("tracepoint", Kind, ProgramKind::Tracepoint, 5, 0),
    ("tp", Kind, ProgramKind::Tracepoint, 5, 0),
    ("raw_tracepoint", Kind, ProgramKind::RawTracepoint, 17, 0),
    ("raw_tp", Kind, ProgramKind::RawTracepoint, 17, 0),
    ("raw_tracepoint.w", Kind, ProgramKind::RawTracepoint, 24, 0),
    ("raw_tp.w", Kind, ProgramKind::RawTracepoint, 24, 0),
    ("tp_btf", Kind, ProgramKind::TracepointBtf, TRACING, 23),
    ("fentry", Kind, ProgramKind::Fentry, TRACING, 24),
    ("fexit", Kind, ProgramKind::Fexit, TRACING, 25),
    ("fmod_ret", Kind, ProgramKind::FmodRet, TRACING, 26),
    ("iter", Kind, ProgramKind::Iter, TRACING, 28),
    ("freplace", Kind, ProgramKind::Freplace, 28, 0),
    ("lsm_cgroup", Kind, ProgramKind::LsmCgroup, LSM, 43),
    ("lsm", Kind, ProgramKind::Lsm, LSM, 27),
    ("syscall", Prefix, ProgramKind::Syscall, 31, 0),
    ("xdp.frags/devmap", Prefix, ProgramKind::Xdp, 6, 33),
    ("xdp.frags/cpumap", Prefix, ProgramKind::Xdp, 6, 35),
    ("xdp/devmap", Prefix, ProgramKind::Xdp, 6, 33),
    ("xdp/cpumap", Prefix, ProgramKind::Xdp, 6, 35),
    ("xdp", Prefix, ProgramKind::Xdp, 6, 37),
    ("perf_event", Prefix, ProgramKind::PerfEvent, 7, 0),
    ("lwt_in", Prefix, ProgramKind::Lwt, 10, 0),
    ("lwt_out", Prefix, ProgramKind::Lwt, 11, 0),
    ("lwt_xmit", Prefix, ProgramKind::Lwt, 12, 0),
    ("lwt_seg6local", Prefix, ProgramKind::Lwt, 19, 0),
    ("sockops", Prefix, ProgramKind::SockOps, 13, 3),
    ("sk_skb/stream_parser", Prefix, ProgramKind::SkSkb, 14, 4),
    ("sk_skb/stream_verdict", Prefix, ProgramKind::SkSkb, 14, 5),
    ("sk_skb/verdict", Prefix, ProgramKind::SkSkb, 14, 38),
    ("sk_skb", Prefix, ProgramKind::SkSkb, 14, 0),
    ("sk_msg", Prefix, ProgramKind::SkMsg, 16, 7),
    ("sk_lookup", Prefix, ProgramKind::SkLookup, 30, 36),
    ("lirc_mode2", Prefix, ProgramKind::LircMode2, 20, 16),
    ("flow_dissector", Prefix, ProgramKind::FlowDissector, 22, 17),
    ("cgroup_skb/ingress", Prefix, ProgramKind::Cgroup, 8, 0),
    ("cgroup_skb/egress", Prefix, ProgramKind::Cgroup, 8, 1),
    ("cgroup/skb", Prefix, ProgramKind::Cgroup, 8, 0),
    ("cgroup/sock_create", Prefix, ProgramKind::Cgroup, 9, 2),
    ("cgroup/sock_release", Prefix, ProgramKind::Cgroup, 9, 34),
    ("cgroup/sock", Prefix, ProgramKind::Cgroup, 9, 2),
    ("cgroup/post_bind4", Prefix, ProgramKind::Cgroup, 9, 12),
    ("cgroup/post_bind6", Prefix, ProgramKind::Cgroup, 9, 13),
    ("cgroup/bind4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 8),
    ("cgroup/bind6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 9),
    ("cgroup/connect4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 10),
    ("cgroup/connect6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 11),
    ("cgroup/sendmsg4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 14),
    ("cgroup/sendmsg6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 15),
    ("cgroup/recvmsg4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 19),
    ("cgroup/recvmsg6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 20),
    ("cgroup/getpeername4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 29),
    ("cgroup/getpeername6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 30),
    ("cgroup/getsockname4", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 31),
    ("cgroup/getsockname6", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 32),
    ("cgroup/connect_unix", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 49),
    ("cgroup/sendmsg_unix", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 50),
    ("cgroup/recvmsg_unix", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 51),
    ("cgroup/getpeername_unix", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 52),
    ("cgroup/getsockname_unix", Prefix, ProgramKind::Cgroup, CGROUP_ADDR, 53),
    ("cgroup/sysctl", Prefix, ProgramKind::Cgroup, 23, 18),
    ("cgroup/getsockopt", Prefix, ProgramKind::Cgroup, 25, 21),
    ("cgroup/setsockopt", Prefix, ProgramKind::Cgroup, 25, 22),
    ("cgroup/dev", Prefix, ProgramKind::Cgroup, 15, 6),
    ("netfilter", Prefix, ProgramKind::Netfilter, 32, 45),
    ("netkit/primary", Prefix, ProgramKind::Netkit, 3, 54),
    ("netkit/peer", Prefix, ProgramKind::Netkit, 3, 55),
];

pub(crate) fn classify(section: &str) -> Classified<'_> {
    let (optional, name) = section.strip_prefix('?').map_or((false, section), |name| (true, name));
    let (before, target) = name.split_once('/').unwrap_or((name, ""));
    let (plain, sleepable) = match before.strip_suffix(".s") {
        Some(plain) => (plain, true),
        None => (before, false),
    };
    // Programs of this type are called from tasks only and may always sleep.
    let sleepable = sleepable || name == "syscall";
    let row = TABLE.iter().find(|(pattern, form, ..)| match form {
        Kind => plain == *pattern,
        Prefix => name.starts_with(pattern),
    });
    let (kind, program_type, attach_type) =
        row.map_or((ProgramKind::Unknown, 0, 0), |(_, _, kind, program, attach)| (*kind, *program, *attach));
    Classified { kind, program_type: ProgramType(program_type), attach_type, sleepable, target, optional }
}

impl ProgramKind {
    /// The names under which a kernel may have the function that such a kernel probe means; none for other kinds.
    /// System calls are named after their architecture since Linux 4.17.
    pub fn kernel_functions(self, target: &str) -> Vec<String> {
        let target = match self {
            Self::Kprobe | Self::Kretprobe => target.to_owned(),
            Self::Ksyscall | Self::Kretsyscall => format!("sys_{target}"),
            _ => return Vec::new(),
        };
        // `module:function+offset`
        let symbol = target.split('+').next().unwrap_or_default();
        let symbol = symbol.rsplit(':').next().unwrap_or_default();
        vec![symbol.to_owned(), format!("{SYSCALL_PREFIX}{symbol}")]
    }

    /// The name in the kernel's BTF of what such a program attaches to; `None` where BTF is not involved.
    pub(crate) fn btf_hook(self, target: &str) -> Option<(String, ig_kernel::btf::Kind)> {
        use ig_kernel::btf::Kind as BtfKind;
        Some(match self {
            Self::TracepointBtf => (format!("btf_trace_{target}"), BtfKind::Typedef),
            Self::Iter => (format!("bpf_iter_{target}"), BtfKind::Func),
            Self::Lsm | Self::LsmCgroup => (format!("bpf_lsm_{target}"), BtfKind::Func),
            Self::Fentry | Self::Fexit | Self::FmodRet => (target.to_owned(), BtfKind::Func),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ProgramKind, classify};

    #[test]
    fn sections_of_every_form_are_classified() {
        for (section, kind, target) in [
            ("tracepoint/syscalls/sys_enter_openat", ProgramKind::Tracepoint, "syscalls/sys_enter_openat"),
            ("tp/sched/sched_switch", ProgramKind::Tracepoint, "sched/sched_switch"),
            ("raw_tp/sched_switch", ProgramKind::RawTracepoint, "sched_switch"),
            ("tp_btf/block_io_start", ProgramKind::TracepointBtf, "block_io_start"),
            ("iter/task", ProgramKind::Iter, "task"),
            ("iter.s/task", ProgramKind::Iter, "task"),
            ("socket1", ProgramKind::SocketFilter, ""),
            ("classifier/ingress/main", ProgramKind::Classifier, "ingress/main"),
            ("perf_event/profiler", ProgramKind::PerfEvent, "profiler"),
            ("uprobe//usr/lib/x.so:f", ProgramKind::Uprobe, "/usr/lib/x.so:f"),
            ("usdt/libc:libc:memory_x", ProgramKind::Usdt, "libc:libc:memory_x"),
            ("kprobe.multi/tcp_*", ProgramKind::KprobeMulti, "tcp_*"),
            ("lsm/file_open", ProgramKind::Lsm, "file_open"),
            ("sockops", ProgramKind::SockOps, ""),
            ("sk_skb/stream_verdict", ProgramKind::SkSkb, "stream_verdict"),
            ("tracepointx/a/b", ProgramKind::Unknown, "a/b"),
        ] {
            let found = classify(section);
            assert_eq!((found.kind, found.target), (kind, target), "{section}");
        }
        assert!(classify("lsm.s/file_open").sleepable);
        assert!(classify("?tp_btf/x").optional);
        assert_eq!(classify("sk_skb/verdict").attach_type, 38);
    }
}
