//! Sockets that eBPF programs attach through: packet sockets for filters, route netlink for traffic control.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// `ETH_P_ALL`: packets of every protocol.
pub const ETH_P_ALL: u16 = 3;
const SO_ATTACH_BPF: libc::c_int = 50;

/// Opens a packet socket that receives nothing yet.
///
/// # Errors
/// `errno` of socket(2).
pub fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    socket(libc::AF_PACKET, kind, 0)
}

/// Runs a socket filter on each packet that the socket gets.
///
/// # Errors
/// `errno` of setsockopt(2).
pub fn attach_filter(socket: BorrowedFd<'_>, prog: BorrowedFd<'_>) -> io::Result<()> {
    let fd = prog.as_raw_fd();
    let len = libc::socklen_t::try_from(size_of_val(&fd)).map_err(io::Error::other)?;
    // SAFETY: the option takes an integer; the pointer is to a live one of the length given.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_ATTACH_BPF, (&raw const fd).cast(), len)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a packet socket receive: all protocols, on one interface or (zero) on all.
///
/// # Errors
/// `errno` of bind(2).
pub fn bind_packet(socket: BorrowedFd<'_>, interface: i32) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "AF_PACKET is 17")]
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_ALL.to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is a live struct of the family it names, its length beside it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens a route netlink socket of the calling thread's network namespace.
///
/// # Errors
/// `errno` of socket(2).
pub fn route_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
}

/// Sends a message and receives one datagram of the answer; returns its length.
///
/// # Errors
/// `errno` of send(2) and recv(2).
pub fn exchange(socket: BorrowedFd<'_>, message: &[u8], answer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of a live slice that the kernel reads.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pointer and length are those of a live slice, borrowed mutably, that the kernel fills.
    let got = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { usize::try_from(got).map_err(io::Error::other) }
}

/// The number of a network interface of the calling thread's network namespace.
///
/// # Errors
/// `NotFound` or another `errno` of if_nametoindex(3).
pub fn interface_index(name: &CStr) -> io::Result<u32> {
    // SAFETY: the name ends with NUL by its type.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(domain, kind, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned a new descriptor that is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
