//! Ports of the loopback for servers that cannot be asked which one they got.

use std::{
    fs::{self, File},
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FlockOperation, flock};

/// Where processes that run tests agree on who has which port.
const CLAIMS: &str = "/tmp/ig-test-ports";
/// The first port that is given out.
const FIRST: u16 = 10_240;

/// A port that nobody else gets: outside the range from which the kernel picks, and claimed, as long as this process
/// lives, among all processes that run these tests.
pub fn free() -> u16 {
    static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let picked_by_kernel = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let end = picked_by_kernel.split_whitespace().next().unwrap().parse().unwrap();
    assert!(FIRST < end, "the kernel picks ports from {end} on and leaves none");
    fs::create_dir_all(CLAIMS).unwrap();
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let free = (FIRST..end).find_map(|port| {
        let claim = File::options().create(true).append(true).open(format!("{CLAIMS}/{port}")).unwrap();
        // Another process has it, or this one: a lock belongs to the opened file.
        flock(&claim, FlockOperation::NonBlockingLockExclusive).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        claimed.push(claim);
        Some(port)
    });
    free.expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::free;

    /// Guarantees: a port is given out once.
    #[test]
    fn ports_differ() {
        let ports: Vec<u16> = (0..20).map(|_| free()).collect();
        let mut different = ports.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), ports.len(), "{ports:?}");
    }
}
