//! Layouts of `union bpf_attr`, one struct per command, with the names of bpf(2).
//!
//! Every byte is a declared field, so that no padding reaches the kernel uninitialised.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::NAME_LEN;
use crate::map::possible_cpus;

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
    pub(super) fn new(map: BorrowedFd<'_>, key: u64, value: u64, flags: u64) -> Self {
        Self { map_fd: map.as_raw_fd() as u32, pad: 0, key, value, flags }
    }
}

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

#[repr(C)]
#[derive(Default)]
pub(super) struct InfoAttr {
    pub(super) fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct FdAttr {
    pub(super) fd: u32,
    pub(super) pad: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct RawTracepointAttr {
    pub(super) name: u64,
    pub(super) prog_fd: u32,
    pub(super) pad: u32,
}

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

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgAttachAttr {
    pub(super) target_fd: u32,
    pub(super) attach_bpf_fd: u32,
    pub(super) attach_type: u32,
    pub(super) attach_flags: u32,
    pub(super) replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct IterCreateAttr {
    pub(super) link_fd: u32,
    pub(super) flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ObjectPathAttr {
    pub(super) pathname: u64,
    pub(super) bpf_fd: u32,
    pub(super) file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct NextIdAttr {
    pub(super) start_id: u32,
    pub(super) next_id: u32,
    pub(super) open_flags: u32,
}

/// `struct bpf_btf_info`.
#[repr(C)]
#[derive(Default)]
pub(super) struct BtfInfo {
    pub(super) btf: u64,
    pub(super) btf_size: u32,
    pub(super) id: u32,
    pub(super) name: u64,
    pub(super) name_len: u32,
    pub(super) kernel_btf: u32,
}
const _: () = assert!(size_of::<BtfInfo>() == 32);

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

/// `struct bpf_map_info`, as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct MapInfo {
    pub map_type: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub name: [u8; NAME_LEN],
}
const _: () = assert!(size_of::<MapInfo>() == 40);

impl MapInfo {
    /// Whether each CPU has its own value.
    pub fn is_per_cpu(&self) -> bool {
        // PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE.
        matches!(self.map_type, 5 | 6 | 10 | 21)
    }

    /// Bytes that the kernel copies for one value.
    ///
    /// # Errors
    /// As [`possible_cpus`], for per-CPU maps.
    pub fn copied_value_size(&self) -> io::Result<u32> {
        if self.is_per_cpu() {
            Ok(self.value_size.div_ceil(8).saturating_mul(8).saturating_mul(possible_cpus()?))
        } else {
            Ok(self.value_size)
        }
    }
}

/// `struct bpf_prog_info`, as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct ProgInfo {
    pub prog_type: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    pub jited_prog_insns: u64,
    pub xlated_prog_insns: u64,
    pub load_time: u64,
    pub created_by_uid: u32,
    pub nr_map_ids: u32,
    pub map_ids: u64,
    pub name: [u8; NAME_LEN],
}
const _: () = assert!(size_of::<ProgInfo>() == 80);
