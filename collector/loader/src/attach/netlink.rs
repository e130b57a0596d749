//! Traffic-control filters through route netlink, for kernels without TCX links (before Linux 6.6).
//!
//! A filter of ours is added beside those of others, and only ours is removed. The `clsact` qdisc it needs stays: others
//! may have come to use it meanwhile.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use ig_kernel::sys::net::{self, ETH_P_ALL};

const NEW_QDISC: u16 = 36;
const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;
const REQUEST_AND_ACK: u16 = 0x5;
const CREATE_EXCLUSIVE: u16 = 0x600;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
/// `TCA_KIND` and `TCA_OPTIONS`.
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// `TCA_BPF_FD`, `TCA_BPF_NAME`, `TCA_BPF_FLAGS` and the one flag: the program's result is the verdict.
const BPF_FD: u16 = 6;
const BPF_NAME: u16 = 7;
const BPF_FLAGS: u16 = 8;
const DIRECT_ACTION: u32 = 1;
/// Priority of our filters; below one there is none.
const PRIORITY: u32 = 1;
/// Handles that are tried before giving up.
const HANDLES: std::ops::RangeInclusive<u32> = 1..=127;

/// A filter of ours; dropping it removes it.
#[derive(Debug)]
pub(super) struct Filter {
    /// Belongs to the namespace of the interface, wherever the dropping thread is.
    socket: OwnedFd,
    interface: u32,
    parent: u32,
    handle: u32,
}

impl Filter {
    /// Adds a filter; the calling thread must be in the interface's network namespace.
    pub(super) fn add(
        interface: u32,
        ingress: bool,
        name: &str,
        program: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let socket = net::route_socket()?;
        let mut qdisc = Message::new(NEW_QDISC, CREATE_EXCLUSIVE, interface, CLSACT_HANDLE, CLSACT, 0);
        qdisc.attribute(KIND, b"clsact\0");
        match qdisc.send(socket.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            result => result?,
        }
        let parent = if ingress { CLSACT + 1 } else { CLSACT + 2 };
        let mut options = Vec::new();
        attribute(&mut options, BPF_FD, &program.as_raw_fd().to_ne_bytes());
        attribute(&mut options, BPF_NAME, format!("{name}\0").as_bytes());
        attribute(&mut options, BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes());
        for handle in HANDLES {
            let mut filter = Message::new(NEW_FILTER, CREATE_EXCLUSIVE, interface, handle, parent, info());
            filter.attribute(KIND, b"bpf\0");
            filter.attribute(OPTIONS, &options);
            match filter.send(socket.as_fd()) {
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                result => return result.map(|()| Self { socket, interface, parent, handle }),
            }
        }
        Err(io::Error::other("all handles of the filter's priority are taken"))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let mut filter = Message::new(DELETE_FILTER, 0, self.interface, self.handle, self.parent, info());
        filter.attribute(KIND, b"bpf\0");
        if let Err(error) = filter.send(self.socket.as_fd()) {
            // The interface is gone, and the filter with it; anything else is worth a line.
            if !matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)) {
                tracing::warn!(
                    name: "filter.remove.failed", interface = self.interface,
                    error = &error as &dyn std::error::Error
                );
            }
        }
    }
}

fn info() -> u32 {
    PRIORITY << 16 | u32::from(ETH_P_ALL.to_be())
}

/// A request about a qdisc or a filter: `struct nlmsghdr`, `struct tcmsg`, attributes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, interface: u32, handle: u32, parent: u32, info: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST_AND_ACK | flags).to_ne_bytes());
        // Sequence and port, then the family with its padding.
        bytes.extend([0; 12]);
        for word in [interface, handle, parent, info] {
            bytes.extend(word.to_ne_bytes());
        }
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        attribute(&mut self.0, kind, value);
    }

    /// Sends the request and waits for its acknowledgement.
    fn send(mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        const ERROR: u16 = 2;
        let len = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        if let Some(place) = self.0.first_chunk_mut() {
            *place = len.to_ne_bytes();
        }
        let mut answer = [0; 4096];
        let got = net::exchange(socket, &self.0, &mut answer)?;
        let answer = answer.get(..got).unwrap_or_default();
        let kind = answer.get(4..).and_then(|bytes| bytes.first_chunk().copied()).map(u16::from_ne_bytes);
        let code = answer.get(16..).and_then(|bytes| bytes.first_chunk().copied()).map(i32::from_ne_bytes);
        match (kind, code) {
            (Some(ERROR), Some(0)) => Ok(()),
            (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    const HEADER: usize = 4;
    let len = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::{KIND, Message, NEW_FILTER};

    #[test]
    fn requests_are_laid_out_as_the_kernel_reads_them() {
        let mut message = Message::new(NEW_FILTER, 0x600, 3, 4, 5, 6);
        message.attribute(KIND, b"bpf\0");
        assert_eq!(message.0.len(), 16 + 20 + 8);
        assert_eq!(message.0[4..8], [44, 0, 5, 6]);
        assert_eq!(message.0[20..24], 3u32.to_ne_bytes());
        assert_eq!(message.0[36..], [8, 0, 1, 0, b'b', b'p', b'f', 0]);
    }
}
