//! What a section name says about its programs.
//!
//! The table follows libbpf's, so that every form found in the wild classifies: `kind/target` names, names that only
//! begin with a kind (`socket1`, `classifier/ingress/x`, `perf_event/y`), sleepable variants and a leading `?` for
//! programs that an object can do without.

use ig_kernel::sys::bpf::{AttachType, ProgramType};

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
    pub(crate) attach_type: AttachType,
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

type Row = (&'static str, Form, ProgramKind, ProgramType, AttachType);

/// What the kernel puts before the names of its system calls' functions.
pub(crate) const SYSCALL_PREFIX: &str = if cfg!(target_arch = "x86_64") { "__x64_" } else { "__arm64_" };

/// Pattern, form, kind, program type, expected attach type. The first row that fits counts: longer names before their
/// own beginnings.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("sk_reuseport/migrate", Prefix, ProgramKind::SkReuseport, ProgramType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE),
    ("sk_reuseport", Prefix, ProgramKind::SkReuseport, ProgramType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT),
    ("socket", Prefix, ProgramKind::SocketFilter, ProgramType::SOCKET_FILTER, AttachType::UNSPEC),
    ("kprobe", Kind, ProgramKind::Kprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    ("kretprobe", Kind, ProgramKind::Kretprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    ("kprobe.multi", Kind, ProgramKind::KprobeMulti, ProgramType::KPROBE, AttachType::TRACE_KPROBE_MULTI),
    ("kretprobe.multi", Kind, ProgramKind::KretprobeMulti, ProgramType::KPROBE, AttachType::TRACE_KPROBE_MULTI),
    ("kprobe.session", Kind, ProgramKind::KprobeMulti, ProgramType::KPROBE, AttachType::TRACE_KPROBE_SESSION),
    ("ksyscall", Kind, ProgramKind::Ksyscall, ProgramType::KPROBE, AttachType::UNSPEC),
    ("kretsyscall", Kind, ProgramKind::Kretsyscall, ProgramType::KPROBE, AttachType::UNSPEC),
    ("uprobe", Kind, ProgramKind::Uprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    ("uretprobe", Kind, ProgramKind::Uretprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    // Attached one by one through perf events, which programs of the attach type for many at once refuse.
    ("uprobe.multi", Kind, ProgramKind::Uprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    ("uretprobe.multi", Kind, ProgramKind::Uretprobe, ProgramType::KPROBE, AttachType::UNSPEC),
    ("usdt", Kind, ProgramKind::Usdt, ProgramType::KPROBE, AttachType::UNSPEC),
    ("tcx/ingress", Prefix, ProgramKind::Tcx, ProgramType::SCHED_CLS, AttachType::TCX_INGRESS),
    ("tcx/egress", Prefix, ProgramKind::Tcx, ProgramType::SCHED_CLS, AttachType::TCX_EGRESS),
    ("classifier", Prefix, ProgramKind::Classifier, ProgramType::SCHED_CLS, AttachType::UNSPEC),
    ("tc", Prefix, ProgramKind::Classifier, ProgramType::SCHED_CLS, AttachType::UNSPEC),
    ("action", Prefix, ProgramKind::Action, ProgramType::SCHED_ACT, AttachType::UNSPEC),
    ("tracepoint", Kind, ProgramKind::Tracepoint, ProgramType::TRACEPOINT, AttachType::UNSPEC),
    ("tp", Kind, ProgramKind::Tracepoint, ProgramType::TRACEPOINT, AttachType::UNSPEC),
    ("raw_tracepoint", Kind, ProgramKind::RawTracepoint, ProgramType::RAW_TRACEPOINT, AttachType::UNSPEC),
    ("raw_tp", Kind, ProgramKind::RawTracepoint, ProgramType::RAW_TRACEPOINT, AttachType::UNSPEC),
    ("raw_tracepoint.w", Kind, ProgramKind::RawTracepoint, ProgramType::RAW_TRACEPOINT_WRITABLE, AttachType::UNSPEC),
    ("raw_tp.w", Kind, ProgramKind::RawTracepoint, ProgramType::RAW_TRACEPOINT_WRITABLE, AttachType::UNSPEC),
    ("tp_btf", Kind, ProgramKind::TracepointBtf, ProgramType::TRACING, AttachType::TRACE_RAW_TP),
    ("fentry", Kind, ProgramKind::Fentry, ProgramType::TRACING, AttachType::TRACE_FENTRY),
    ("fexit", Kind, ProgramKind::Fexit, ProgramType::TRACING, AttachType::TRACE_FEXIT),
    ("fmod_ret", Kind, ProgramKind::FmodRet, ProgramType::TRACING, AttachType::MODIFY_RETURN),
    ("iter", Kind, ProgramKind::Iter, ProgramType::TRACING, AttachType::TRACE_ITER),
    ("freplace", Kind, ProgramKind::Freplace, ProgramType::EXT, AttachType::UNSPEC),
    ("lsm_cgroup", Kind, ProgramKind::LsmCgroup, ProgramType::LSM, AttachType::LSM_CGROUP),
    ("lsm", Kind, ProgramKind::Lsm, ProgramType::LSM, AttachType::LSM_MAC),
    ("syscall", Prefix, ProgramKind::Syscall, ProgramType::SYSCALL, AttachType::UNSPEC),
    ("xdp.frags/devmap", Prefix, ProgramKind::Xdp, ProgramType::XDP, AttachType::XDP_DEVMAP),
    ("xdp.frags/cpumap", Prefix, ProgramKind::Xdp, ProgramType::XDP, AttachType::XDP_CPUMAP),
    ("xdp/devmap", Prefix, ProgramKind::Xdp, ProgramType::XDP, AttachType::XDP_DEVMAP),
    ("xdp/cpumap", Prefix, ProgramKind::Xdp, ProgramType::XDP, AttachType::XDP_CPUMAP),
    ("xdp", Prefix, ProgramKind::Xdp, ProgramType::XDP, AttachType::XDP),
    ("perf_event", Prefix, ProgramKind::PerfEvent, ProgramType::PERF_EVENT, AttachType::UNSPEC),
    ("lwt_in", Prefix, ProgramKind::Lwt, ProgramType::LWT_IN, AttachType::UNSPEC),
    ("lwt_out", Prefix, ProgramKind::Lwt, ProgramType::LWT_OUT, AttachType::UNSPEC),
    ("lwt_xmit", Prefix, ProgramKind::Lwt, ProgramType::LWT_XMIT, AttachType::UNSPEC),
    ("lwt_seg6local", Prefix, ProgramKind::Lwt, ProgramType::LWT_SEG6LOCAL, AttachType::UNSPEC),
    ("sockops", Prefix, ProgramKind::SockOps, ProgramType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS),
    ("sk_skb/stream_parser", Prefix, ProgramKind::SkSkb, ProgramType::SK_SKB, AttachType::SK_SKB_STREAM_PARSER),
    ("sk_skb/stream_verdict", Prefix, ProgramKind::SkSkb, ProgramType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT),
    ("sk_skb/verdict", Prefix, ProgramKind::SkSkb, ProgramType::SK_SKB, AttachType::SK_SKB_VERDICT),
    ("sk_skb", Prefix, ProgramKind::SkSkb, ProgramType::SK_SKB, AttachType::UNSPEC),
    ("sk_msg", Prefix, ProgramKind::SkMsg, ProgramType::SK_MSG, AttachType::SK_MSG_VERDICT),
    ("sk_lookup", Prefix, ProgramKind::SkLookup, ProgramType::SK_LOOKUP, AttachType::SK_LOOKUP),
    ("lirc_mode2", Prefix, ProgramKind::LircMode2, ProgramType::LIRC_MODE2, AttachType::LIRC_MODE2),
    ("flow_dissector", Prefix, ProgramKind::FlowDissector, ProgramType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR),
    ("cgroup_skb/ingress", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS),
    ("cgroup_skb/egress", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS),
    ("cgroup/skb", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS),
    ("cgroup/sock_create", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE),
    ("cgroup/sock_release", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE),
    ("cgroup/sock", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE),
    ("cgroup/post_bind4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND),
    ("cgroup/post_bind6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND),
    ("cgroup/bind4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND),
    ("cgroup/bind6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND),
    ("cgroup/connect4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT),
    ("cgroup/connect6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT),
    ("cgroup/sendmsg4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG),
    ("cgroup/sendmsg6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG),
    ("cgroup/recvmsg4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG),
    ("cgroup/recvmsg6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG),
    ("cgroup/getpeername4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME),
    ("cgroup/getpeername6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME),
    ("cgroup/getsockname4", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME),
    ("cgroup/getsockname6", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME),
    ("cgroup/connect_unix", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT),
    ("cgroup/sendmsg_unix", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG),
    ("cgroup/recvmsg_unix", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_RECVMSG),
    ("cgroup/getpeername_unix", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETPEERNAME),
    ("cgroup/getsockname_unix", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETSOCKNAME),
    ("cgroup/sysctl", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL),
    ("cgroup/getsockopt", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT),
    ("cgroup/setsockopt", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT),
    ("cgroup/dev", Prefix, ProgramKind::Cgroup, ProgramType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE),
    ("netfilter", Prefix, ProgramKind::Netfilter, ProgramType::NETFILTER, AttachType::NETFILTER),
    ("netkit/primary", Prefix, ProgramKind::Netkit, ProgramType::SCHED_CLS, AttachType::NETKIT_PRIMARY),
    ("netkit/peer", Prefix, ProgramKind::Netkit, ProgramType::SCHED_CLS, AttachType::NETKIT_PEER),
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
    let (kind, program_type, attach_type) = row.map_or(
        (ProgramKind::Unknown, ProgramType::UNSPEC, AttachType::UNSPEC),
        |(_, _, kind, program, attach)| (*kind, *program, *attach),
    );
    Classified { kind, program_type, attach_type, sleepable, target, optional }
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
    use super::{AttachType, ProgramKind, classify};

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
        assert_eq!(classify("sk_skb/verdict").attach_type, AttachType::SK_SKB_VERDICT);
    }
}
