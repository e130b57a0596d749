//! Pins: objects that stay under a path of a BPF file system.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::attr::ObjectPathAttr;
use super::{Command, call, open};

/// Pins an object.
///
/// # Errors
/// `errno` of `BPF_OBJ_PIN`.
pub fn pin(path: &CStr, object: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = ObjectPathAttr {
        pathname: path.as_ptr() as u64,
        bpf_fd: object.as_raw_fd() as u32,
        ..ObjectPathAttr::default()
    };
    // SAFETY: the path ends with NUL by its type and lives through the call.
    unsafe { call(Command::ObjPin, &mut attr) }.map(drop)
}

/// Opens a pinned object.
///
/// # Errors
/// `errno` of `BPF_OBJ_GET`.
pub fn get(path: &CStr) -> io::Result<OwnedFd> {
    let mut attr = ObjectPathAttr { pathname: path.as_ptr() as u64, ..ObjectPathAttr::default() };
    // SAFETY: as in `pin`; the command gives a descriptor.
    unsafe { open(Command::ObjGet, &mut attr) }
}
