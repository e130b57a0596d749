//! The only door to the kernel: raw calls behind safe functions.
//!
//! Why it exists: bpf(2) and perf_event_open(2) have no wrapper in libc, and unsafe code belongs in one place that can be
//! read as a whole. Functions here check lengths, own the descriptors they return and report `errno` as
//! [`std::io::Error`]; what a failure *means* is decided by the callers.
#![expect(unsafe_code, reason = "system calls that no safe wrapper offers")]

pub mod bpf;
pub mod mapping;
pub mod memory;
pub mod net;
pub mod perf;
