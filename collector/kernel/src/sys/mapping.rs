//! Read-only file mappings.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;

/// A file's pages, mapped read-only for as long as this value lives.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages are read-only and the pointer is owned by this value alone.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared reads of read-only pages do not race.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a whole file. Only for files that nobody can truncate or write: callers use it for sysfs.
    pub(crate) fn read_only(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a fresh private read-only mapping at an address of the kernel's choice; `file` is open for the call
        // and the length is not zero.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is a live mapping of `len` readable bytes until drop, and its pages do not change: the
        // caller of `read_only` vouched for the file.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `read_only` with this length and no borrow outlives `self`. It cannot fail
        // for such a range, so the result says nothing.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
