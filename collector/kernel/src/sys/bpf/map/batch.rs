//! Many entries in one call.

use std::io;
use std::os::fd::AsRawFd as _;

use super::Map;
use crate::sys::bpf::attr::BatchAttr;
use crate::sys::bpf::{Command, address, call};

/// Whether [`Map::batch`] leaves the entries or takes them out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchMode {
    /// `BPF_MAP_LOOKUP_BATCH`.
    Read,
    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`.
    Drain,
}

/// Buffers of one batch call; [`Map::batch`] compares their lengths with `capacity`.
#[derive(Debug)]
pub struct BatchBuffersMut<'a> {
    /// Position after the previous call; `None` for the first.
    pub position: Option<&'a [u8]>,
    /// Receives the position after this call.
    pub next_position: &'a mut [u8],
    /// Receives the keys.
    pub keys: &'a mut [u8],
    /// Receives the values.
    pub values: &'a mut [u8],
    /// Most entries to read.
    pub capacity: u32,
}

/// Sizes of one entry as the kernel copies it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntrySizes {
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value; in per-CPU maps of all possible CPUs together, each rounded up to eight.
    pub value: u32,
}

impl EntrySizes {
    /// Bytes of a position in a walk: a key in arrays and a 32-bit number in hashes.
    pub fn position(self) -> usize {
        (self.key as usize).max(4)
    }
}

impl Map {
    /// Reads a batch of entries. Returns how many arrived and how the call ended: the count is right on `NotFound` (the
    /// end of the map) too, zero on all other errors, among them `InvalidInput` for short buffers.
    ///
    /// # Kernel
    /// 5.6 for hashes and arrays.
    pub fn batch(&self, mode: BatchMode, buffers: BatchBuffersMut<'_>) -> (usize, io::Result<()>) {
        let BatchBuffersMut { position, next_position, keys, values, capacity } = buffers;
        let sizes = match self.entry_sizes() {
            Ok(sizes) => sizes,
            Err(error) => return (0, Err(error)),
        };
        let needs = |size: u32| capacity as usize * size as usize;
        let fits = keys.len() >= needs(sizes.key)
            && values.len() >= needs(sizes.value)
            && next_position.len() >= sizes.position()
            && position.is_none_or(|position| position.len() >= sizes.position());
        if !fits {
            return (0, Err(io::ErrorKind::InvalidInput.into()));
        }
        let mut attr = BatchAttr {
            in_batch: position.map_or(0, address),
            out_batch: next_position.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: capacity,
            map_fd: self.fd.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        let command = match mode {
            BatchMode::Read => Command::MapLookupBatch,
            BatchMode::Drain => Command::MapLookupAndDeleteBatch,
        };
        // SAFETY: the four buffers live through the call and were compared above with `capacity` entries of the sizes
        // that the kernel told of this map; it writes at most `count` entries and one position.
        let result = unsafe { call(command, &mut attr) }.map(drop);
        let valid = match &result {
            Ok(()) => true,
            Err(error) => error.raw_os_error() == Some(libc::ENOENT),
        };
        (if valid { attr.count.min(capacity) as usize } else { 0 }, result)
    }
}
