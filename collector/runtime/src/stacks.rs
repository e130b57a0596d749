//! The maps of a loaded gadget that hold stacks.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use ig_kernel::sys::bpf;
use ig_loader::{Loaded, Map};
use ig_operators::stack::{BUILD_ID_MAP, KERNEL_MAP, StackMap, StackMaps, Stacks, USER_MAP};

/// A map with ids of stacks as keys.
#[derive(Debug)]
struct IdMap {
    fd: OwnedFd,
    capacity: usize,
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

/// Finds them; a map that does not hold stacks as the contract says is left out.
///
/// # Errors
/// There is no descriptor left.
pub(crate) fn find(loaded: &Loaded) -> io::Result<Arc<StackMaps>> {
    let open = |name: &str, value: usize| -> io::Result<Option<Box<dyn StackMap>>> {
        let fits = |map: &&Map| {
            bpf::entry_sizes(map.fd.as_fd())
                .is_ok_and(|sizes| sizes.key == 4 && sizes.value as usize == value)
        };
        let Some(map) = loaded.map(name).filter(fits) else { return Ok(None) };
        let capacity = map.max_entries as usize;
        Ok(Some(Box::new(IdMap { fd: map.fd.try_clone()?, capacity })))
    };
    let kernel = open(KERNEL_MAP, 127 * 8)?.map(|map| Stacks::new(map, None));
    let build_ids = open(BUILD_ID_MAP, 127 * 32)?;
    let user = open(USER_MAP, 127 * 8)?.map(|map| Stacks::new(map, build_ids));
    Ok(Arc::new(StackMaps { kernel, user }))
}
