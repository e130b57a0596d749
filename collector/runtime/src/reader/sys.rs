//! The one place of this crate that needs `unsafe`: telling the event loop about a buffer's descriptor.

#![expect(unsafe_code, reason = "the event loop takes a descriptor it cannot prove to stay open")]

use std::io;

use tokio::io::{Interest, unix::AsyncFd};

use super::stream::Stream;

/// Watches a buffer for records.
///
/// # Errors
/// When the event loop has no place for another descriptor.
///
/// JUSTIFICATION: the safe constructors are deprecated as unsound, and none takes a type by its `AsFd` alone.
pub(super) fn watch<S: Stream>(stream: S) -> io::Result<AsyncFd<S>> {
    // SAFETY: a `Stream` owns its descriptor, never closes or replaces it before it is dropped, and always answers
    // `as_raw_fd` with it; the `AsyncFd` owns the `Stream`.
    unsafe { AsyncFd::register_with_interest(stream, Interest::READABLE) }.map_err(io::Error::from)
}
