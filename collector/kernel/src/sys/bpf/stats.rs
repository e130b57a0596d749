//! What the kernel counts of programs while somebody asks it to.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::{FdAttr, InfoAttr};
use super::info::ProgInfo;
use super::{Command, ProgramType, call, count, open};

/// Maps that one program can use.
const MAX_MAPS: usize = 64;

/// What the kernel counts of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgStats {
    /// Number of the program.
    pub id: u32,
    /// Type of the program.
    pub prog_type: ProgramType,
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
    // SAFETY: the attribute belongs to the command and holds no pointers; the command gives a descriptor.
    unsafe { open(Command::EnableStats, &mut attr) }
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
    unsafe { call(Command::ObjGetInfoByFd, &mut attr) }?;
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
