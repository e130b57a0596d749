//! Network namespaces: doing something within one, and programs that belong to one as a whole.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use ig_kernel::sys::bpf::LinkTarget;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::Program;

/// Runs `work` in a network namespace, on a thread of its own: a thread that has moved does not come back.
pub(super) fn within<T: Send>(
    network: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(network) = network else { return work() };
    std::thread::scope(|scope| {
        let moved = scope.spawn(|| {
            move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?;
            work()
        });
        moved.join().unwrap_or_else(|_panic| Err(io::Error::other("the thread in the namespace died")))
    })
}

/// The number by which gadgets know a network namespace: the low half of its inode number.
pub(super) fn identity(network: Option<BorrowedFd<'_>>) -> io::Result<u32> {
    let inode = match network {
        Some(network) => rustix::fs::fstat(network)?.st_ino,
        None => rustix::fs::stat(OWN)?.st_ino,
    };
    Ok(u32::try_from(inode & u64::from(u32::MAX)).unwrap_or(u32::MAX))
}

const OWN: &str = "/proc/thread-self/ns/net";

/// Programs that a network namespace has one of.
pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let failed = |source| program.failed("network namespace".to_owned(), source);
    let own;
    let network = if let Some(network) = options.network {
        network
    } else {
        own = File::open(OWN).map_err(failed)?;
        own.as_fd()
    };
    let link = program.create_link(LinkTarget::Fd(network));
    Ok(program.link(vec![link.map_err(failed)?], Vec::new()))
}
