//! Layouts of what `BPF_OBJ_GET_INFO_BY_FD` answers, as far as they are used, with the names of bpf(2).
//!
//! The kernel fills as much of an answer as it is given room for. Every byte is a declared field; pointers that are zero
//! with counts of zero ask for nothing.
//!
//! # Source
//! `struct bpf_map_info`, `bpf_prog_info`, `bpf_btf_info` and `bpf_link_info` of
//! [Linux 6.12](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h).

use super::{MapFlags, MapType, NAME_LEN, ProgramType};

/// `struct bpf_map_info`, as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MapInfo {
    pub(super) map_type: MapType,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: MapFlags,
}
const _: () = assert!(size_of::<MapInfo>() == 24);

/// `struct bpf_prog_info`, as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "fields of bpf(2)")]
pub struct ProgInfo {
    pub prog_type: ProgramType,
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

/// `struct bpf_link_info` before what differs from kind to kind; the rest is room for it, and asks for nothing.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkInfoAnswer {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) prog_id: u32,
    pub(super) pad: u32,
}
const _: () = assert!(size_of::<LinkInfoAnswer>() == 16);
