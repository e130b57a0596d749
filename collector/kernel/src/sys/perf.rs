//! perf_event_open(2), as far as eBPF programs attach to it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

const FLAG_FREQUENCY: u64 = 1 << 10;
const SAMPLE_RAW: u64 = 1 << 10;
const OPEN_CLOEXEC: libc::c_ulong = 8;
const IOC_ENABLE: libc::c_ulong = 0x2400;
const IOC_DISABLE: libc::c_ulong = 0x2401;
const IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// `struct perf_event_attr` up to the second version, which has all that is used here.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period_or_freq: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
}
const _: () = assert!(size_of::<PerfEventAttr>() == 72);

/// Where a probe sits on a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbePoint {
    /// When it is entered.
    Entry,
    /// When it returns; `bit` is the number of the PMU's `retprobe` flag.
    Return {
        /// Bit of `config`.
        bit: u8,
    },
}

impl ProbePoint {
    fn config(self) -> u64 {
        match self {
            Self::Entry => 0,
            Self::Return { bit } => 1u64.checked_shl(u32::from(bit)).unwrap_or(0),
        }
    }
}

/// Opens a tracepoint by its id.
///
/// # Errors
/// `errno` of perf_event_open(2).
pub fn open_tracepoint(id: u64) -> io::Result<OwnedFd> {
    const TYPE_TRACEPOINT: u32 = 2;
    let attr = PerfEventAttr {
        kind: TYPE_TRACEPOINT,
        config: id,
        sample_period_or_freq: 1,
        sample_type: SAMPLE_RAW,
        wakeup_events: 1,
        ..PerfEventAttr::default()
    };
    open(attr, -1, 0)
}

/// Opens a kprobe on a kernel function, through the PMU of number `pmu`.
///
/// # Errors
/// `errno` of perf_event_open(2).
pub fn open_kprobe(pmu: u32, function: &CStr, offset: u64, point: ProbePoint) -> io::Result<OwnedFd> {
    let attr = PerfEventAttr {
        kind: pmu,
        config: point.config(),
        config1: function.as_ptr() as u64,
        config2: offset,
        ..PerfEventAttr::default()
    };
    open(attr, -1, 0)
}

/// Where a uprobe goes.
#[derive(Clone, Copy, Debug)]
pub struct UprobeSite<'a> {
    /// The file.
    pub path: &'a CStr,
    /// Byte of the file.
    pub offset: u64,
    /// Byte of the file that holds the 16-bit counter of users (`SDT` semaphore); zero for none.
    pub counter: u32,
}

/// Opens a uprobe at an offset of a file, for one process or (`None`) all.
///
/// # Errors
/// `errno` of perf_event_open(2).
pub fn open_uprobe(
    pmu: u32,
    site: UprobeSite<'_>,
    point: ProbePoint,
    pid: Option<i32>,
) -> io::Result<OwnedFd> {
    // Bits 32 and up of the uprobe PMU's configuration are its `ref_ctr_offset`.
    let attr = PerfEventAttr {
        kind: pmu,
        config: point.config() | u64::from(site.counter) << 32,
        config1: site.path.as_ptr() as u64,
        config2: site.offset,
        ..PerfEventAttr::default()
    };
    open(attr, pid.unwrap_or(-1), if pid.is_some() { -1 } else { 0 })
}

/// Opens the software clock of one CPU that fires `frequency` times a second.
///
/// # Errors
/// `errno` of perf_event_open(2).
pub fn open_cpu_clock(cpu: u32, frequency: u64) -> io::Result<OwnedFd> {
    const TYPE_SOFTWARE: u32 = 1;
    let attr = PerfEventAttr {
        kind: TYPE_SOFTWARE,
        config: 0,
        sample_period_or_freq: frequency,
        sample_type: SAMPLE_RAW,
        flags: FLAG_FREQUENCY,
        ..PerfEventAttr::default()
    };
    open(attr, -1, cpu as i32)
}

/// Attaches a program to a perf event the old way, without a link.
///
/// # Errors
/// `errno` of ioctl(2).
pub fn set_bpf(event: BorrowedFd<'_>, prog: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_SET_BPF, prog.as_raw_fd())
}

/// Starts a perf event.
///
/// # Errors
/// `errno` of ioctl(2).
pub fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_ENABLE, 0)
}

/// Stops a perf event.
///
/// # Errors
/// `errno` of ioctl(2).
pub fn disable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_DISABLE, 0)
}

fn ioctl(event: BorrowedFd<'_>, request: libc::c_ulong, argument: RawFd) -> io::Result<()> {
    // SAFETY: the three requests in use take an integer, not a pointer; the descriptor is open.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn open(mut attr: PerfEventAttr, pid: i32, cpu: i32) -> io::Result<OwnedFd> {
    attr.size = u32::try_from(size_of::<PerfEventAttr>()).map_err(io::Error::other)?;
    // SAFETY: `attr` lives through the call and states its own size; strings it points to are borrowed by the
    // callers for at least as long and end with NUL.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, pid, cpu, -1, OPEN_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call returned a new descriptor that is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
