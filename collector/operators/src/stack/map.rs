//! A map of a loaded gadget, with ids of stacks as keys.

use std::io;

use ig_kernel::map::Map;

use super::StackMap;

/// A map with ids of stacks as keys.
#[derive(Debug)]
pub(super) struct IdMap(pub(super) Map);

impl StackMap for IdMap {
    fn read(&self, id: u32, value: &mut [u8]) -> io::Result<()> {
        self.0.lookup(&id.to_ne_bytes(), value)
    }

    fn remove(&self, id: u32) {
        // One that is gone already is as good.
        self.0.delete(&id.to_ne_bytes()).ok();
    }

    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        let mut next = [0; 4];
        // Entries come and go meanwhile: no walk is longer than the map is large.
        while ids.len() <= self.capacity().next_power_of_two() {
            let last = ids.last().map(|id| id.to_ne_bytes());
            if self.0.next_key(last.as_ref().map(<[u8; 4]>::as_slice), &mut next).is_err() {
                break;
            }
            ids.push(u32::from_ne_bytes(next));
        }
        ids
    }

    fn capacity(&self) -> usize {
        self.0.max_entries() as usize
    }
}
