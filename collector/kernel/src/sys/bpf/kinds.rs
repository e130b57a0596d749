//! The numbers of bpf(2) by name: types of maps and programs, attach types, flags.
//!
//! They are open: an object may ask for a type that is newer than this list, and it is for the kernel to say no.
//!
//! # Source
//! `enum bpf_map_type`, `bpf_prog_type`, `bpf_attach_type` and the `BPF_F_*` of
//! [Linux 6.12](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h).

use std::ops::BitOr;

/// The type of a map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
#[doc(alias = "bpf_map_type")]
#[repr(transparent)]
pub struct MapType(pub u32);

#[expect(missing_docs, reason = "BPF_MAP_TYPE_*")]
impl MapType {
    pub const HASH: Self = Self(1);
    pub const ARRAY: Self = Self(2);
    pub const PROG_ARRAY: Self = Self(3);
    pub const PERF_EVENT_ARRAY: Self = Self(4);
    pub const PERCPU_HASH: Self = Self(5);
    pub const PERCPU_ARRAY: Self = Self(6);
    pub const STACK_TRACE: Self = Self(7);
    pub const CGROUP_ARRAY: Self = Self(8);
    pub const LRU_HASH: Self = Self(9);
    pub const LRU_PERCPU_HASH: Self = Self(10);
    pub const ARRAY_OF_MAPS: Self = Self(12);
    pub const HASH_OF_MAPS: Self = Self(13);
    pub const DEVMAP: Self = Self(14);
    pub const SOCKMAP: Self = Self(15);
    pub const CPUMAP: Self = Self(16);
    pub const XSKMAP: Self = Self(17);
    pub const SOCKHASH: Self = Self(18);
    pub const PERCPU_CGROUP_STORAGE: Self = Self(21);
    pub const DEVMAP_HASH: Self = Self(25);
    pub const RINGBUF: Self = Self(27);
    pub const USER_RINGBUF: Self = Self(31);

    /// Whether the values are other maps.
    pub fn holds_maps(self) -> bool {
        matches!(self, Self::ARRAY_OF_MAPS | Self::HASH_OF_MAPS)
    }

    /// Whether each CPU has its own value.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            Self::PERCPU_HASH | Self::PERCPU_ARRAY | Self::LRU_PERCPU_HASH | Self::PERCPU_CGROUP_STORAGE
        )
    }

    /// Whether the kernel refuses BTF for key and value of this type of map.
    pub fn refuses_btf(self) -> bool {
        self.holds_maps()
            || matches!(
                self,
                Self::PROG_ARRAY
                    | Self::PERF_EVENT_ARRAY
                    | Self::STACK_TRACE
                    | Self::CGROUP_ARRAY
                    | Self::DEVMAP
                    | Self::SOCKMAP
                    | Self::CPUMAP
                    | Self::XSKMAP
                    | Self::SOCKHASH
                    | Self::DEVMAP_HASH
                    | Self::RINGBUF
                    | Self::USER_RINGBUF
            )
    }
}

/// The type of a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "bpf_prog_type")]
#[repr(transparent)]
pub struct ProgramType(pub u32);

#[expect(missing_docs, reason = "BPF_PROG_TYPE_*")]
impl ProgramType {
    /// No program has it.
    pub const UNSPEC: Self = Self(0);
    pub const SOCKET_FILTER: Self = Self(1);
    pub const KPROBE: Self = Self(2);
    pub const SCHED_CLS: Self = Self(3);
    pub const SCHED_ACT: Self = Self(4);
    pub const TRACEPOINT: Self = Self(5);
    pub const XDP: Self = Self(6);
    pub const PERF_EVENT: Self = Self(7);
    pub const CGROUP_SKB: Self = Self(8);
    pub const CGROUP_SOCK: Self = Self(9);
    pub const LWT_IN: Self = Self(10);
    pub const LWT_OUT: Self = Self(11);
    pub const LWT_XMIT: Self = Self(12);
    pub const SOCK_OPS: Self = Self(13);
    pub const SK_SKB: Self = Self(14);
    pub const CGROUP_DEVICE: Self = Self(15);
    pub const SK_MSG: Self = Self(16);
    pub const RAW_TRACEPOINT: Self = Self(17);
    pub const CGROUP_SOCK_ADDR: Self = Self(18);
    pub const LWT_SEG6LOCAL: Self = Self(19);
    pub const LIRC_MODE2: Self = Self(20);
    pub const SK_REUSEPORT: Self = Self(21);
    pub const FLOW_DISSECTOR: Self = Self(22);
    pub const CGROUP_SYSCTL: Self = Self(23);
    pub const RAW_TRACEPOINT_WRITABLE: Self = Self(24);
    pub const CGROUP_SOCKOPT: Self = Self(25);
    pub const TRACING: Self = Self(26);
    pub const EXT: Self = Self(28);
    pub const LSM: Self = Self(29);
    pub const SK_LOOKUP: Self = Self(30);
    pub const SYSCALL: Self = Self(31);
    pub const NETFILTER: Self = Self(32);
}

/// Where a program of a type attaches; programs of other types have zero, which is also [`Self::CGROUP_INET_INGRESS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "bpf_attach_type")]
pub struct AttachType(pub u32);

#[expect(missing_docs, reason = "enum bpf_attach_type")]
impl AttachType {
    /// What programs have whose type says it all.
    pub const UNSPEC: Self = Self(0);
    pub const CGROUP_INET_INGRESS: Self = Self(0);
    pub const CGROUP_INET_EGRESS: Self = Self(1);
    pub const CGROUP_INET_SOCK_CREATE: Self = Self(2);
    pub const CGROUP_SOCK_OPS: Self = Self(3);
    pub const SK_SKB_STREAM_PARSER: Self = Self(4);
    pub const SK_SKB_STREAM_VERDICT: Self = Self(5);
    pub const CGROUP_DEVICE: Self = Self(6);
    pub const SK_MSG_VERDICT: Self = Self(7);
    pub const CGROUP_INET4_BIND: Self = Self(8);
    pub const CGROUP_INET6_BIND: Self = Self(9);
    pub const CGROUP_INET4_CONNECT: Self = Self(10);
    pub const CGROUP_INET6_CONNECT: Self = Self(11);
    pub const CGROUP_INET4_POST_BIND: Self = Self(12);
    pub const CGROUP_INET6_POST_BIND: Self = Self(13);
    pub const CGROUP_UDP4_SENDMSG: Self = Self(14);
    pub const CGROUP_UDP6_SENDMSG: Self = Self(15);
    pub const LIRC_MODE2: Self = Self(16);
    pub const FLOW_DISSECTOR: Self = Self(17);
    pub const CGROUP_SYSCTL: Self = Self(18);
    pub const CGROUP_UDP4_RECVMSG: Self = Self(19);
    pub const CGROUP_UDP6_RECVMSG: Self = Self(20);
    pub const CGROUP_GETSOCKOPT: Self = Self(21);
    pub const CGROUP_SETSOCKOPT: Self = Self(22);
    pub const TRACE_RAW_TP: Self = Self(23);
    pub const TRACE_FENTRY: Self = Self(24);
    pub const TRACE_FEXIT: Self = Self(25);
    pub const MODIFY_RETURN: Self = Self(26);
    pub const LSM_MAC: Self = Self(27);
    pub const TRACE_ITER: Self = Self(28);
    pub const CGROUP_INET4_GETPEERNAME: Self = Self(29);
    pub const CGROUP_INET6_GETPEERNAME: Self = Self(30);
    pub const CGROUP_INET4_GETSOCKNAME: Self = Self(31);
    pub const CGROUP_INET6_GETSOCKNAME: Self = Self(32);
    pub const XDP_DEVMAP: Self = Self(33);
    pub const CGROUP_INET_SOCK_RELEASE: Self = Self(34);
    pub const XDP_CPUMAP: Self = Self(35);
    pub const SK_LOOKUP: Self = Self(36);
    pub const XDP: Self = Self(37);
    pub const SK_SKB_VERDICT: Self = Self(38);
    pub const SK_REUSEPORT_SELECT: Self = Self(39);
    pub const SK_REUSEPORT_SELECT_OR_MIGRATE: Self = Self(40);
    pub const PERF_EVENT: Self = Self(41);
    pub const TRACE_KPROBE_MULTI: Self = Self(42);
    pub const LSM_CGROUP: Self = Self(43);
    pub const NETFILTER: Self = Self(45);
    pub const TCX_INGRESS: Self = Self(46);
    pub const TCX_EGRESS: Self = Self(47);
    pub const CGROUP_UNIX_CONNECT: Self = Self(49);
    pub const CGROUP_UNIX_SENDMSG: Self = Self(50);
    pub const CGROUP_UNIX_RECVMSG: Self = Self(51);
    pub const CGROUP_UNIX_GETPEERNAME: Self = Self(52);
    pub const CGROUP_UNIX_GETSOCKNAME: Self = Self(53);
    pub const NETKIT_PRIMARY: Self = Self(54);
    pub const NETKIT_PEER: Self = Self(55);
    pub const TRACE_KPROBE_SESSION: Self = Self(56);
}

/// How a map is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct MapFlags(pub u32);

impl MapFlags {
    /// `BPF_F_NUMA_NODE`: memory comes from the given node.
    pub const NUMA_NODE: Self = Self(1 << 2);
    /// `BPF_F_RDONLY_PROG`: programs may only read the map.
    pub const RDONLY_PROG: Self = Self(1 << 7);
    /// `BPF_F_MMAPABLE`: the map can be mapped by processes.
    pub const MMAPABLE: Self = Self(1 << 10);

    /// Whether all of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same without `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for MapFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How a program is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ProgramFlags(pub u32);

impl ProgramFlags {
    /// `BPF_F_SLEEPABLE`: the program may sleep.
    pub const SLEEPABLE: Self = Self(1 << 4);
    /// `BPF_F_XDP_HAS_FRAGS`: the program can deal with packets of several buffers.
    pub const XDP_HAS_FRAGS: Self = Self(1 << 5);
}

impl BitOr for ProgramFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How a program is attached beside others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct AttachFlags(pub u32);

impl AttachFlags {
    /// As the kind of hook has it.
    pub const NONE: Self = Self(0);
    /// `BPF_F_ALLOW_MULTI`: a cgroup keeps the programs it has.
    pub const ALLOW_MULTI: Self = Self(1 << 1);
    /// `BPF_F_BEFORE`: ahead of the programs that are there.
    pub const BEFORE: Self = Self(1 << 3);
}
