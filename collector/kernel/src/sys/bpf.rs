//! bpf(2): named commands behind safe functions, one module for each kind of object.
//!
//! What the numbers mean stands in `kinds`, what the kernel reads in `attr`, what it writes in `info`. Objects own their descriptors;
//! a [`Map`] knows its sizes from the kernel, once, so that every call can be checked without asking again.
//!
//! # Source
//! `bpf(2)` and
//! [`include/uapi/linux/bpf.h`](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h) of Linux 6.12,
//! handled in [`kernel/bpf/syscall.c`](https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

mod attachment;
mod attr;
pub mod btf;
mod info;
mod kinds;
mod link;
mod map;
pub mod objects;
pub mod pin;
mod program;
pub mod stats;

pub use attachment::Attachment;
pub use kinds::{AttachFlags, AttachType, MapFlags, MapType, ProgramFlags, ProgramType};
pub use link::{Link, LinkInfo, LinkTarget};
pub use map::{BatchBuffersMut, BatchMode, EntrySizes, Map, MapCreate};
pub use program::{ProgInfo, ProgLoad, prog_info, prog_instructions, prog_load, prog_test_run};

/// Length of an object name in the kernel, the final NUL included.
pub const NAME_LEN: usize = 16;

/// The kernel's own `ENOTSUPP`, which has no name in user space: what was asked for does not exist in this kernel.
pub const ENOTSUPP: i32 = 524;

/// `enum bpf_cmd`, as far as it is used.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Command {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgAttach = 8,
    ProgDetach = 9,
    ProgTestRun = 10,
    ProgGetNextId = 11,
    MapGetNextId = 12,
    ProgGetFdById = 13,
    MapGetFdById = 14,
    ObjGetInfoByFd = 15,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    BtfGetFdById = 19,
    MapFreeze = 22,
    BtfGetNextId = 23,
    MapLookupBatch = 24,
    MapLookupAndDeleteBatch = 25,
    LinkCreate = 28,
    LinkUpdate = 29,
    EnableStats = 32,
    IterCreate = 33,
}

/// Issues one command, again when a signal or (for loads) memory pressure cut it short.
///
/// # Safety
/// `T` must be the attribute layout of `command`, and each pointer in it must be valid for what the command does.
unsafe fn call<T>(command: Command, attr: &mut T) -> io::Result<i64> {
    const TRIES: usize = 5;
    let mut tries = 0;
    loop {
        // SAFETY: the caller vouches for layout and pointers; the size is that of the live attribute.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command as u32, std::ptr::from_mut(attr), size_of::<T>()) };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        tries += 1;
        match error.raw_os_error() {
            // The verifier answers EAGAIN when a signal is pending.
            Some(libc::EINTR | libc::EAGAIN) if tries < TRIES => {}
            _ => return Err(error),
        }
    }
}

/// Issues a command that answers with a new descriptor.
///
/// # Safety
/// As for [`call`], and `command` must be one that gives a descriptor.
unsafe fn open<T>(command: Command, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for it.
    let fd = unsafe { call(command, attr) }?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: by the caller's word the command gave a descriptor that is new and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Object names may hold letters, digits, `_` and `.`; others are replaced, and the rest is cut.
fn object_name(name: &str) -> [u8; NAME_LEN] {
    let mut out = [0; NAME_LEN];
    for (place, byte) in out.iter_mut().take(NAME_LEN - 1).zip(name.bytes()) {
        *place = if byte.is_ascii_alphanumeric() || byte == b'.' { byte } else { b'_' };
    }
    out
}

fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A descriptor as attributes have it; 0 for none.
fn raw(fd: Option<BorrowedFd<'_>>) -> u32 {
    fd.map_or(0, |fd| fd.as_raw_fd() as u32)
}
