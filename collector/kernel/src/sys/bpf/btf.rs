//! BTF in the kernel: loaded for our own objects, or opened where a module brought it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::attr::{BtfLoadAttr, InfoAttr};
use super::info::BtfInfo;
use super::objects::{ObjectKind, next_id, open_id};
use super::{Command, address, call, count, open};

/// Loads BTF. With `log`, the kernel says there what it dislikes.
///
/// # Errors
/// `errno` of `BPF_BTF_LOAD`.
pub fn load(btf: &[u8], log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
    let log = log.unwrap_or_default();
    let mut attr = BtfLoadAttr {
        btf: address(btf),
        btf_log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        btf_size: count(btf.len()),
        btf_log_size: count(log.len()),
        btf_log_level: u32::from(!log.is_empty()),
        ..BtfLoadAttr::default()
    };
    // SAFETY: both pointers are to slices that live through the call; the kernel writes only to the log. The command
    // gives a descriptor.
    unsafe { open(Command::BtfLoad, &mut attr) }
}

/// Opens the BTF that the kernel holds for one of its modules.
///
/// # Errors
/// `NotFound` when no module of that name has BTF, else `errno` of the three commands it takes.
///
/// # Kernel
/// 5.11.
pub fn of_module(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    while let Some(next) = next_id(ObjectKind::Btf, id)? {
        id = next;
        // Gone since its number was read.
        let Some(fd) = open_id(ObjectKind::Btf, id)? else { continue };
        // Module names have at most 55 bytes.
        let mut text = [0u8; 64];
        let mut info =
            BtfInfo { name: text.as_mut_ptr() as u64, name_len: count(text.len()), ..BtfInfo::default() };
        let mut attr = InfoAttr {
            fd: fd.as_raw_fd() as u32,
            info_len: count(size_of::<BtfInfo>()),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes at most `info_len` bytes to `info` and `name_len` bytes to `text`, both alive.
        match unsafe { call(Command::ObjGetInfoByFd, &mut attr) } {
            // The name is too long to be ours.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => continue,
            result => result?,
        };
        let found = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if info.kernel_btf != 0 && found == name.as_bytes() {
            return Ok(fd);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOENT))
}
