//! Maps of stacks, and how long stacks stay in them.
//!
//! A stack is filed under a hash of its addresses; one whose place is taken by another is lost. The kernel never empties
//! a place, so a collector that runs for months would lose more and more of the new stacks. Nor can a stack be taken out
//! when it was read: the next record may name it again. So what was not read for long is taken out, and only once the map
//! fills: stacks that a program keeps in maps of its own stay as long as there is room.

use std::{
    collections::HashMap,
    fmt::Debug,
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Frames of a stack.
const FRAMES: usize = 127;
/// Bytes of a stack.
const STACK: usize = FRAMES * 8;
/// Bytes of the build ids of a stack.
const BUILD_IDS: usize = FRAMES * 32;

/// Time between two looks at how full a map is.
const LOOK: Duration = Duration::from_secs(10);
/// When an eighth of the places is taken, stacks that were not read for this long go.
const COLD: Duration = Duration::from_secs(120);
/// When half of them are taken, stacks that were not read for this long go.
const COOL: Duration = Duration::from_secs(10);

/// A map with ids of stacks as keys.
pub trait StackMap: Send + Sync + Debug {
    /// Reads an entry.
    ///
    /// # Errors
    /// There is none, or the value has another size.
    fn read(&self, id: u32, value: &mut [u8]) -> io::Result<()>;
    /// Takes an entry out, if it is there.
    fn remove(&self, id: u32);
    /// The ids of all entries.
    fn ids(&self) -> Vec<u32>;
    /// Most entries.
    fn capacity(&self) -> usize;
}

/// A map of stacks, with that of their build ids if there is one.
#[derive(Debug)]
pub struct Stacks {
    map: Box<dyn StackMap>,
    build_ids: Option<Box<dyn StackMap>>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// When each stack was last read, or first seen.
    read: HashMap<u32, Instant>,
    looked: Instant,
}

impl Stacks {
    /// Stacks of a loaded gadget.
    pub fn new(map: Box<dyn StackMap>, build_ids: Option<Box<dyn StackMap>>) -> Self {
        let kept = Kept { read: HashMap::new(), looked: Instant::now() };
        Self { map, build_ids, kept: Mutex::new(kept) }
    }

    /// The addresses of a stack, innermost first.
    pub(super) fn addresses(&self, id: u32) -> Option<Vec<u64>> {
        let mut value = [0; STACK];
        let read = self.map.read(id, &mut value);
        self.keep(id, Instant::now());
        read.ok()?;
        let numbers = value.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        Some(numbers.take_while(|address| *address != 0).collect())
    }

    /// The build ids of a stack, as the kernel writes them.
    pub(super) fn build_ids(&self, id: u32) -> Option<Vec<u8>> {
        let mut value = vec![0; BUILD_IDS];
        self.build_ids.as_ref()?.read(id, &mut value).ok()?;
        Some(value)
    }

    /// Notes that a stack was read at `now`, and looks whether it is time for others to go.
    pub(super) fn keep(&self, id: u32, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.read.insert(id, now);
        if now.saturating_duration_since(kept.looked) >= LOOK {
            kept.looked = now;
            self.release(&mut kept, now);
        }
    }

    fn release(&self, kept: &mut Kept, now: Instant) {
        let ids = self.map.ids();
        let known: HashMap<u32, Instant> =
            ids.iter().map(|id| (*id, kept.read.get(id).copied().unwrap_or(now))).collect();
        kept.read = known;
        let is_idle = |id: &u32, age: Duration| {
            kept.read.get(id).is_none_or(|read| now.saturating_duration_since(*read) >= age)
        };
        // The kernel rounds the number of places up.
        let places = self.map.capacity().next_power_of_two();
        let age = match ids.len() {
            many if many * 2 > places => COOL,
            some if some * 8 > places => COLD,
            _ => Duration::MAX,
        };
        let gone: Vec<u32> = ids.into_iter().filter(|id| is_idle(id, age)).collect();
        for id in &gone {
            // First, lest the build ids of this stack be taken for those of the next one in its place.
            if let Some(build_ids) = &self.build_ids {
                build_ids.remove(*id);
            }
            self.map.remove(*id);
        }
        if let Some(build_ids) = &self.build_ids {
            let ids = build_ids.ids();
            if ids.len() * 2 > build_ids.capacity() {
                ids.into_iter().filter(|id| is_idle(id, COOL)).for_each(|id| build_ids.remove(id));
            }
        }
        for id in gone {
            kept.read.remove(&id);
        }
    }
}
