//! Walks over every program and map of the kernel, and what the kernel counts of programs while somebody asks it to.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::{FdAttr, InfoAttr, NextIdAttr, ProgInfo};
use super::{bpf, count, owned};

/// Maps that one program can use.
const MAX_MAPS: usize = 64;

/// What kind of object a walk visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Programs.
    Program,
    /// Maps.
    Map,
}

/// What the kernel counts of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgStats {
    /// Number of the program.
    pub id: u32,
    /// Type of the program, a `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// Its name, up to the first NUL.
    pub name: [u8; super::NAME_LEN],
    /// Nanoseconds it ran while counting was on.
    pub run_time_ns: u64,
    /// How often it ran while counting was on.
    pub run_count: u64,
    /// Numbers of the maps it uses.
    pub map_ids: Vec<u32>,
}

/// `struct bpf_prog_info` as far as the counters.
#[repr(C)]
#[derive(Default)]
struct CountedProgInfo {
    plain: ProgInfo,
    /// From `ifindex` to `prog_tags`; zeros ask for nothing.
    between: [u64; 14],
    run_time_ns: u64,
    run_cnt: u64,
}
const _: () = assert!(size_of::<CountedProgInfo>() == 208);

/// The number of the first object after `after`, `None` behind the last one.
///
/// # Errors
/// `errno` of `BPF_PROG_GET_NEXT_ID` or `BPF_MAP_GET_NEXT_ID`; `EPERM` without CAP_SYS_ADMIN.
pub fn next_id(kind: ObjectKind, after: u32) -> io::Result<Option<u32>> {
    let mut attr = NextIdAttr { start_id: after, ..NextIdAttr::default() };
    let command = match kind {
        ObjectKind::Program => 11,
        ObjectKind::Map => 12,
    };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    match unsafe { bpf(command, &mut attr) } {
        Ok(_) => Ok(Some(attr.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the object with this number, `None` if it is gone.
///
/// # Errors
/// `errno` of `BPF_PROG_GET_FD_BY_ID` or `BPF_MAP_GET_FD_BY_ID`.
pub fn open_id(kind: ObjectKind, id: u32) -> io::Result<Option<OwnedFd>> {
    let mut attr = NextIdAttr { start_id: id, ..NextIdAttr::default() };
    let command = match kind {
        ObjectKind::Program => 13,
        ObjectKind::Map => 14,
    };
    // SAFETY: as in `next_id`.
    match unsafe { bpf(command, &mut attr) } {
        Ok(fd) => owned(fd).map(Some),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the kernel count run time and runs of all programs until the descriptor is closed.
///
/// # Errors
/// `errno` of `BPF_ENABLE_STATS`; `EPERM` without CAP_SYS_ADMIN.
///
/// # Kernel
/// 5.8.
pub fn enable_run_time_stats() -> io::Result<OwnedFd> {
    // The first word is the kind of statistics; 0 is the run time.
    let mut attr = FdAttr::default();
    // SAFETY: as in `next_id`.
    let fd = unsafe { bpf(32, &mut attr) }?;
    owned(fd)
}

/// What the kernel counts of a program, and the maps that it uses.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn prog_stats(prog: BorrowedFd<'_>) -> io::Result<ProgStats> {
    let mut maps = [0u32; MAX_MAPS];
    let mut info = CountedProgInfo::default();
    info.plain.nr_map_ids = count(maps.len());
    info.plain.map_ids = maps.as_mut_ptr() as u64;
    let mut attr = InfoAttr {
        fd: prog.as_raw_fd() as u32,
        info_len: count(size_of::<CountedProgInfo>()),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, all plain integers, and at most `nr_map_ids` numbers
    // to `maps`; both live through the call. All other array pointers in `info` are zero with zero counts.
    unsafe { bpf(15, &mut attr) }?;
    let used = (info.plain.nr_map_ids as usize).min(maps.len());
    Ok(ProgStats {
        id: info.plain.id,
        prog_type: info.plain.prog_type,
        name: info.plain.name,
        run_time_ns: info.run_time_ns,
        run_count: info.run_cnt,
        map_ids: maps.get(..used).unwrap_or_default().to_vec(),
    })
}
