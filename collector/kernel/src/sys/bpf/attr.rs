//! Layouts of `union bpf_attr`, one struct per command, with the names of bpf(2).
//!
//! Every byte is a declared field, so that no padding reaches the kernel uninitialised. The kernel takes a shorter
//! attribute than its own and reads the rest as zeros.
//!
//! # Source
//! `union bpf_attr` of
//! [Linux 6.12](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h); lengths are compared by
//! [`bpf_check_uarg_tail_zero`](https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c).

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::NAME_LEN;

/// `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreateAttr {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) inner_map_fd: u32,
    pub(super) numa_node: u32,
    pub(super) map_name: [u8; NAME_LEN],
    pub(super) map_ifindex: u32,
    pub(super) btf_fd: u32,
    pub(super) btf_key_type_id: u32,
    pub(super) btf_value_type_id: u32,
    pub(super) btf_vmlinux_value_type_id: u32,
    pub(super) map_extra: u64,
}
const _: () = assert!(size_of::<MapCreateAttr>() == 72);

/// `BPF_MAP_*_ELEM` and `BPF_MAP_GET_NEXT_KEY`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}
const _: () = assert!(size_of::<ElementAttr>() == 32);

impl ElementAttr {
    pub(super) fn new(map: BorrowedFd<'_>, key: u64, value: u64) -> Self {
        Self { map_fd: map.as_raw_fd() as u32, pad: 0, key, value, flags: 0 }
    }
}

/// `BPF_MAP_*_BATCH`.
#[repr(C)]
#[derive(Default)]
pub(super) struct BatchAttr {
    pub(super) in_batch: u64,
    pub(super) out_batch: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    pub(super) count: u32,
    pub(super) map_fd: u32,
    pub(super) elem_flags: u64,
    pub(super) flags: u64,
}
const _: () = assert!(size_of::<BatchAttr>() == 56);

/// `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgLoadAttr {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) prog_name: [u8; NAME_LEN],
    pub(super) prog_ifindex: u32,
    pub(super) expected_attach_type: u32,
    pub(super) prog_btf_fd: u32,
    pub(super) func_info_rec_size: u32,
    pub(super) func_info: u64,
    pub(super) func_info_cnt: u32,
    pub(super) line_info_rec_size: u32,
    pub(super) line_info: u64,
    pub(super) line_info_cnt: u32,
    pub(super) attach_btf_id: u32,
    pub(super) attach_btf_obj_fd: u32,
    pub(super) core_relo_cnt: u32,
    pub(super) fd_array: u64,
}
const _: () = assert!(size_of::<ProgLoadAttr>() == 128);

/// `BPF_BTF_LOAD`.
#[repr(C)]
#[derive(Default)]
pub(super) struct BtfLoadAttr {
    pub(super) btf: u64,
    pub(super) btf_log_buf: u64,
    pub(super) btf_size: u32,
    pub(super) btf_log_size: u32,
    pub(super) btf_log_level: u32,
    pub(super) btf_log_true_size: u32,
}
const _: () = assert!(size_of::<BtfLoadAttr>() == 32);

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Default)]
pub(super) struct InfoAttr {
    pub(super) fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

/// Commands that take one word: a descriptor, or the kind of `BPF_ENABLE_STATS`.
#[repr(C)]
#[derive(Default)]
pub(super) struct FdAttr {
    pub(super) fd: u32,
    pub(super) pad: u32,
}

/// `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawTracepointAttr {
    pub(super) name: u64,
    pub(super) prog_fd: u32,
    pub(super) pad: u32,
}

/// `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkCreateAttr {
    pub(super) prog_fd: u32,
    pub(super) target_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) iter_info: u64,
    pub(super) iter_info_len: u32,
    pub(super) pad: u32,
}
const _: () = assert!(size_of::<LinkCreateAttr>() == 32);

/// `BPF_LINK_UPDATE`.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkUpdateAttr {
    pub(super) link_fd: u32,
    pub(super) new_prog_fd: u32,
    pub(super) flags: u32,
    pub(super) old_prog_fd: u32,
}

/// `BPF_LINK_CREATE` of `BPF_TRACE_KPROBE_MULTI`.
#[repr(C)]
#[derive(Default)]
pub(super) struct KprobeMultiAttr {
    pub(super) prog_fd: u32,
    pub(super) target_fd: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) multi_flags: u32,
    pub(super) count: u32,
    pub(super) names: u64,
    pub(super) addresses: u64,
    pub(super) cookies: u64,
}
const _: () = assert!(size_of::<KprobeMultiAttr>() == 48);

/// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgAttachAttr {
    pub(super) target_fd: u32,
    pub(super) attach_bpf_fd: u32,
    pub(super) attach_type: u32,
    pub(super) attach_flags: u32,
    pub(super) replace_bpf_fd: u32,
}

/// `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Default)]
pub(super) struct IterCreateAttr {
    pub(super) link_fd: u32,
    pub(super) flags: u32,
}

/// `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ObjectPathAttr {
    pub(super) pathname: u64,
    pub(super) bpf_fd: u32,
    pub(super) file_flags: u32,
}

/// `BPF_*_GET_NEXT_ID` and `BPF_*_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
pub(super) struct NextIdAttr {
    pub(super) start_id: u32,
    pub(super) next_id: u32,
    pub(super) open_flags: u32,
}

/// `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
pub(super) struct TestRunAttr {
    pub(super) prog_fd: u32,
    pub(super) retval: u32,
    pub(super) data_size_in: u32,
    pub(super) data_size_out: u32,
    pub(super) data_in: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) duration: u32,
    pub(super) ctx_size_in: u32,
    pub(super) ctx_size_out: u32,
    pub(super) ctx_in: u64,
    pub(super) ctx_out: u64,
    pub(super) flags: u32,
    pub(super) cpu: u32,
    pub(super) batch_size: u32,
    pub(super) pad: u32,
}
const _: () = assert!(size_of::<TestRunAttr>() == 80);
