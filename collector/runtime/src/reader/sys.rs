//! The one place of this crate that needs `unsafe`: telling the event loop about a descriptor.

#![expect(unsafe_code, reason = "the event loop takes a descriptor it cannot prove to stay open")]

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

/// What owns a descriptor that stays the same and open for as long as the value lives.
pub(super) trait Descriptor: AsRawFd {}

/// Watches a descriptor until it is readable.
///
/// # Errors
/// When the event loop has no place for another descriptor.
///
/// JUSTIFICATION: the safe constructors are deprecated as unsound, and none takes a type by its `AsFd` alone.
pub(super) fn watch<D: Descriptor>(owner: D) -> io::Result<AsyncFd<D>> {
    // SAFETY: a `Descriptor` owns its descriptor, never closes or replaces it before it is dropped, and always answers
    // `as_raw_fd` with it; the `AsyncFd` owns the `Descriptor`.
    unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }.map_err(io::Error::from)
}
