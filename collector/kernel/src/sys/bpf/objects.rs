//! Walks over all objects of one kind that the kernel has.

use std::io;
use std::os::fd::OwnedFd;

use super::attr::NextIdAttr;
use super::{Command, call, open};

/// What kind of object a walk visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Programs.
    Program,
    /// Maps.
    Map,
    /// BTF, of the kernel, of modules and of programs.
    Btf,
}

/// The number of the first object after `after`, `None` behind the last one.
///
/// # Errors
/// `errno` of `BPF_*_GET_NEXT_ID`; `EPERM` without CAP_SYS_ADMIN.
pub fn next_id(kind: ObjectKind, after: u32) -> io::Result<Option<u32>> {
    let mut attr = NextIdAttr { start_id: after, ..NextIdAttr::default() };
    let command = match kind {
        ObjectKind::Program => Command::ProgGetNextId,
        ObjectKind::Map => Command::MapGetNextId,
        ObjectKind::Btf => Command::BtfGetNextId,
    };
    // SAFETY: the attribute belongs to the command and holds no pointers.
    present(unsafe { call(command, &mut attr) }.map(|_zero| attr.next_id))
}

/// Opens the object with this number, `None` if it is gone.
///
/// # Errors
/// `errno` of `BPF_*_GET_FD_BY_ID`.
pub fn open_id(kind: ObjectKind, id: u32) -> io::Result<Option<OwnedFd>> {
    let mut attr = NextIdAttr { start_id: id, ..NextIdAttr::default() };
    let command = match kind {
        ObjectKind::Program => Command::ProgGetFdById,
        ObjectKind::Map => Command::MapGetFdById,
        ObjectKind::Btf => Command::BtfGetFdById,
    };
    // SAFETY: as in `next_id`; the commands give descriptors.
    present(unsafe { open(command, &mut attr) })
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
