//! A map of a loaded gadget, with ids of stacks as keys.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use ig_kernel::sys::bpf;

use super::StackMap;

/// A map with ids of stacks as keys.
#[derive(Debug)]
pub(super) struct IdMap {
    fd: OwnedFd,
    capacity: usize,
}

impl IdMap {
    /// A map of at most `capacity` entries.
    pub(super) fn new(fd: OwnedFd, capacity: usize) -> Self {
        Self { fd, capacity }
    }
}

impl StackMap for IdMap {
    fn read(&self, id: u32, value: &mut [u8]) -> io::Result<()> {
        bpf::map_lookup(self.fd.as_fd(), &id.to_ne_bytes(), value)
    }

    fn remove(&self, id: u32) {
        // One that is gone already is as good.
        bpf::map_delete(self.fd.as_fd(), &id.to_ne_bytes()).ok();
    }

    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        let mut next = [0; 4];
        // Entries come and go meanwhile: no walk is longer than the map is large.
        while ids.len() <= self.capacity.next_power_of_two() {
            let last = ids.last().map(|id| id.to_ne_bytes());
            if bpf::map_next_key(self.fd.as_fd(), last.as_ref().map(<[u8; 4]>::as_slice), &mut next).is_err()
            {
                break;
            }
            ids.push(u32::from_ne_bytes(next));
        }
        ids
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}
