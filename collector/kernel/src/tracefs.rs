//! Ids of tracepoints, read from tracefs, and kernel probes defined there.
//!
//! Containers and minimal machines often have no tracefs mounted. Then a private instance is opened for the moment of
//! the read, which needs no place in anybody's file tree and leaves nothing behind.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use ig_model::{Hint, Shortage};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

mod kprobe;

pub use kprobe::{KprobeEvent, has_kprobe_events};

/// Where tracefs is mounted by convention.
pub const MOUNT_POINTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Why a tracepoint's id could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TracefsError {
    /// Tracefs is mounted nowhere and could not be opened without a mount.
    #[error(
        "tracefs is not mounted on /sys/kernel/tracing or /sys/kernel/debug/tracing and cannot be opened"
    )]
    NotMounted(#[source] io::Error),
    /// Tracefs may be there, but it could not be read for want of descriptors or memory.
    #[error("failed to read tracefs")]
    Open(#[source] io::Error),
    /// The kernel has no such tracepoint.
    #[error("this kernel has no tracepoint `{group}:{name}`")]
    NoEvent {
        /// Group, such as `syscalls`.
        group: String,
        /// Name within the group.
        name: String,
    },
    /// The kernel has no such function, or none that may be probed.
    #[error("this kernel has no function `{0}` that can be probed")]
    NoFunction(String),
    /// The kernel was built without probes in tracefs.
    #[error("this kernel has no kprobe_events in tracefs")]
    NoKprobes,
    /// A kernel probe could not be defined.
    #[error("failed to define a probe on kernel function `{function}` in kprobe_events")]
    Define {
        /// The function.
        function: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The tracepoint's files could not be read.
    #[error("failed to read the id of tracepoint `{group}:{name}`")]
    Read {
        /// Group, such as `syscalls`.
        group: String,
        /// Name within the group.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Hint for TracefsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        matches!(self, Self::NotMounted(_))
            .then_some("mount it: mount -t tracefs nodev /sys/kernel/tracing".into())
    }
}

/// The id of a tracepoint.
///
/// # Errors
/// [`TracefsError`].
///
/// # Kernel
/// Opening without a mount: 5.2, `CAP_SYS_ADMIN`.
pub fn event_id(group: &str, name: &str) -> Result<u64, TracefsError> {
    let failed = |source| TracefsError::Read { group: group.to_owned(), name: name.to_owned(), source };
    let absent = || TracefsError::NoEvent { group: group.to_owned(), name: name.to_owned() };
    if !is_plain(group) || !is_plain(name) {
        return Err(absent());
    }
    let events = open_entry("events", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let path = format!("{group}/{name}/id");
    let file = match openat(&events, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Err(absent()),
        Err(error) => return Err(failed(error.into())),
    };
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).map_err(failed)?;
    text.trim().parse().map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Names of the kernel functions that can be traced, one a line, as `available_filter_functions` lists them.
///
/// # Errors
/// [`TracefsError::NotMounted`], also when the kernel was built without function tracing; [`TracefsError::Open`].
pub fn traceable_functions() -> Result<String, TracefsError> {
    /// A hundred thousand functions of fifty bytes are five megabytes.
    const MAX_LIST: u64 = 64 << 20;
    let file = File::from(open_entry("available_filter_functions", OFlags::RDONLY)?);
    let mut text = String::new();
    file.take(MAX_LIST).read_to_string(&mut text).map_err(TracefsError::Open)?;
    Ok(text)
}

/// Opens a file or directory of tracefs.
///
/// # Errors
/// [`TracefsError::NotMounted`]; [`TracefsError::Open`] when whether it is mounted cannot be told now.
fn open_entry(name: &str, how: OFlags) -> Result<OwnedFd, TracefsError> {
    let flags = how | OFlags::CLOEXEC;
    for mount in MOUNT_POINTS {
        match openat(CWD, format!("{mount}/{name}"), flags, Mode::empty()) {
            Ok(entry) => return Ok(entry),
            Err(errno) if is_shortage(errno) => return Err(TracefsError::Open(errno.into())),
            // An empty directory at the mount point means: not mounted.
            Err(_) => {}
        }
    }
    let detached = || -> rustix::io::Result<OwnedFd> {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        openat(&root, name, flags, Mode::empty())
    };
    detached().map_err(|errno| {
        if is_shortage(errno) {
            TracefsError::Open(errno.into())
        } else {
            TracefsError::NotMounted(errno.into())
        }
    })
}

fn is_shortage(errno: rustix::io::Errno) -> bool {
    Shortage::of_errno(errno.raw_os_error()).is_some()
}

/// Names come from gadgets: they must not lead out of the directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{TracefsError, event_id};

    #[test]
    fn known_events_have_an_id_and_unknown_ones_are_named() {
        assert!(event_id("syscalls", "sys_enter_openat").unwrap() > 0);
        let error = event_id("syscalls", "sys_enter_nothing").unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no tracepoint `syscalls:sys_enter_nothing`");
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        assert!(matches!(event_id("..", "x"), Err(TracefsError::NoEvent { .. })));
        assert!(matches!(event_id("sched", "a/b"), Err(TracefsError::NoEvent { .. })));
    }
}
