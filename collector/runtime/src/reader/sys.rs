//! The one place of this crate that needs `unsafe`: telling the event loop about a ring buffer's descriptor.

#![expect(unsafe_code, reason = "the event loop takes a descriptor it cannot prove to stay open")]

use std::io;

use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

/// Watches a ring buffer for records.
///
/// # Errors
/// When the event loop has no place for another descriptor.
///
/// JUSTIFICATION: the safe constructors are deprecated as unsound, and none takes a type by its `AsFd` alone.
pub(super) fn watch(ring: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: `RingBuf` owns its map's descriptor, never closes or replaces it before it is dropped, and always
    // answers `as_raw_fd` with it; the `AsyncFd` owns the `RingBuf`.
    unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(io::Error::from)
}
