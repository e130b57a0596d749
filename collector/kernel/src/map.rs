//! Maps, and reading them in bulk.
//!
//! Why it exists: walking a map key by key costs eight times a batch call. A [`BatchWalk`] hides what batch calls are
//! particular about: the end of the map, buckets larger than the buffer, per-CPU values.

use std::io;
use std::sync::OnceLock;

use crate::sys::bpf::{BatchBuffersMut, ENOTSUPP};
pub use crate::sys::bpf::{BatchMode, EntrySizes, Map, MapCreate, MapFlags, MapType};

/// Entries of one batch unless asked otherwise: larger ones gain nothing and leave the CPU's caches.
pub const DEFAULT_BATCH: u32 = 1024;
/// Most bytes that the buffers may grow to; the sizes come from gadgets.
const MAX_BUFFER: usize = 256 << 20;

/// Why a map could not be read in bulk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The kernel (or this type of map) has no batch calls.
    #[error("this kernel has no batch reads for this type of map (hash maps have them since Linux 5.6)")]
    Unsupported,
    /// A bucket or an entry larger than any buffer this reader would allocate.
    #[error("a batch of {entries} entries of {entry_bytes} bytes does not fit the buffer limit")]
    TooLarge {
        /// Entries asked for.
        entries: u32,
        /// Bytes of key and value.
        entry_bytes: usize,
    },
    /// Any other refusal.
    #[error("failed to read a batch of map entries")]
    Io(#[source] io::Error),
}

/// Buffers that one reader keeps between walks.
#[derive(Debug, Default)]
pub struct BatchBuffers {
    keys: Vec<u8>,
    values: Vec<u8>,
    position: Vec<u8>,
    next_position: Vec<u8>,
    capacity: u32,
}

impl BatchBuffers {
    fn fit(&mut self, sizes: EntrySizes, entries: u32) -> Result<(), MapError> {
        let entry_bytes = sizes.key as usize + sizes.value as usize;
        let total = entry_bytes.checked_mul(entries as usize).filter(|total| *total <= MAX_BUFFER);
        if total.is_none() {
            return Err(MapError::TooLarge { entries, entry_bytes });
        }
        let position = sizes.position();
        self.keys.resize(sizes.key as usize * entries as usize, 0);
        self.values.resize(sizes.value as usize * entries as usize, 0);
        self.position.resize(position, 0);
        self.next_position.resize(position, 0);
        self.capacity = entries;
        Ok(())
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

enum Position {
    Start,
    Within,
    /// Key by key, for kernels and maps without batch calls; the last key is the position.
    Keys {
        /// Whether there is a last key.
        begun: bool,
        /// Entries that may still come: a key that vanishes sends the walk back to the start.
        left: u32,
    },
    End,
}

/// A walk over all entries of a map, a batch at a time.
///
/// Entries that are added or removed meanwhile may or may not be seen; none that stays is missed or seen twice, as long
/// as the kernel says so for its type of map (it does for hash and array maps).
pub struct BatchWalk<'a> {
    map: &'a Map,
    mode: BatchMode,
    sizes: EntrySizes,
    buffers: &'a mut BatchBuffers,
    position: Position,
}

impl<'a> BatchWalk<'a> {
    /// Begins a walk that reads `batch` entries a call, and takes them out of the map with [`BatchMode::Drain`].
    ///
    /// # Errors
    /// [`MapError::TooLarge`]; [`MapError::Io`] for per-CPU maps where sysfs does not tell the number of CPUs.
    pub fn new(
        map: &'a Map,
        mode: BatchMode,
        batch: u32,
        buffers: &'a mut BatchBuffers,
    ) -> Result<Self, MapError> {
        let sizes = map.entry_sizes().map_err(MapError::Io)?;
        buffers.fit(sizes, batch.max(1))?;
        Ok(Self { map, mode, sizes, buffers, position: Position::Start })
    }

    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// [`MapError`]; the walk cannot go on after one.
    pub fn next_batch(&mut self) -> Result<Option<Entries<'_>>, MapError> {
        loop {
            let position = match self.position {
                Position::Start => None,
                Position::Within => Some(self.buffers.position.as_slice()),
                Position::Keys { begun, left } => {
                    let count = self.next_keys(begun, left).map_err(MapError::Io)?;
                    return Ok((count > 0).then(|| self.entries(count)));
                }
                Position::End => return Ok(None),
            };
            let capacity = self.buffers.capacity;
            let request = BatchBuffersMut {
                position,
                next_position: &mut self.buffers.next_position,
                keys: &mut self.buffers.keys,
                values: &mut self.buffers.values,
                capacity,
            };
            let (count, result) = self.map.batch(self.mode, request);
            match result {
                Ok(()) => {
                    std::mem::swap(&mut self.buffers.position, &mut self.buffers.next_position);
                    self.position = Position::Within;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOENT) => self.position = Position::End,
                    // The next bucket alone is larger than the buffer: the position has not moved.
                    Some(libc::ENOSPC) => {
                        self.buffers.fit(self.sizes, capacity.saturating_mul(2))?;
                        continue;
                    }
                    Some(libc::EINTR | libc::EAGAIN) => continue,
                    Some(ENOTSUPP | libc::EOPNOTSUPP | libc::EINVAL)
                        if matches!(self.position, Position::Start) =>
                    {
                        self.position = Position::Keys { begun: false, left: self.map.max_entries() };
                        continue;
                    }
                    Some(ENOTSUPP | libc::EOPNOTSUPP | libc::EINVAL) => {
                        self.position = Position::End;
                        return Err(MapError::Unsupported);
                    }
                    _ => {
                        self.position = Position::End;
                        return Err(MapError::Io(error));
                    }
                },
            }
            if count > 0 {
                break Ok(Some(self.entries(count)));
            }
        }
    }

    /// The first entries of the buffers.
    fn entries(&self, count: usize) -> Entries<'_> {
        Entries {
            keys: self.buffers.keys.get(..count * self.sizes.key as usize).unwrap_or_default(),
            values: self.buffers.values.get(..count * self.sizes.value as usize).unwrap_or_default(),
            sizes: self.sizes,
        }
    }

    /// Fills the buffers key by key; answers how many entries there are.
    fn next_keys(&mut self, mut begun: bool, mut left: u32) -> io::Result<usize> {
        let (key_len, value_len) = (self.sizes.key as usize, self.sizes.value as usize);
        let (map, mode, capacity) = (self.map, self.mode, self.buffers.capacity as usize);
        let BatchBuffers { keys, values, position, next_position, .. } = &mut *self.buffers;
        let (Some(position), Some(next)) = (position.get_mut(..key_len), next_position.get_mut(..key_len))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut count = 0;
        // A walk is over when the map ends, or when it has seen as many entries as the map can hold.
        let mut over = left == 0;
        while !over && count < capacity {
            let range = |len: usize| count * len..(count + 1) * len;
            let (Some(key), Some(value)) = (keys.get_mut(range(key_len)), values.get_mut(range(value_len)))
            else {
                break;
            };
            // Drained entries are gone, so the first key is always a new one.
            let after = (begun && mode == BatchMode::Read).then_some(&*position);
            match map.next_key(after, next) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    over = true;
                    break;
                }
                result => result?,
            }
            position.copy_from_slice(next);
            (begun, left) = (true, left - 1);
            over = left == 0;
            match map.lookup(next, value) {
                // Removed by somebody else in between.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
                result => result?,
            }
            if mode == BatchMode::Drain {
                match map.delete(next) {
                    // Drained by somebody else, who has it.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
                    result => result?,
                }
            }
            key.copy_from_slice(next);
            count += 1;
        }
        self.position = if over { Position::End } else { Position::Keys { begun, left } };
        Ok(count)
    }
}

/// Begins a walk that empties the map. See [`BatchWalk`].
///
/// # Errors
/// As [`BatchWalk::new`].
pub fn batch_lookup_and_delete<'a>(
    map: &'a Map,
    buffers: &'a mut BatchBuffers,
) -> Result<BatchWalk<'a>, MapError> {
    BatchWalk::new(map, BatchMode::Drain, DEFAULT_BATCH, buffers)
}

/// The entries of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    keys: &'a [u8],
    values: &'a [u8],
    sizes: EntrySizes,
}

impl<'a> Entries<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len() / (self.sizes.key as usize).max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys and values; a per-CPU value holds those of all possible CPUs, each rounded up to eight bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let keys = self.keys.chunks_exact((self.sizes.key as usize).max(1));
        keys.zip(self.values.chunks_exact((self.sizes.value as usize).max(1)))
    }
}

/// Number of CPUs this kernel could ever bring up: per-CPU maps have a value for each.
///
/// # Errors
/// When sysfs does not tell. A guess would be wrong in the worst way: the kernel writes as many values as it knows CPUs.
pub fn possible_cpus() -> io::Result<u32> {
    static COUNT: OnceLock<u32> = OnceLock::new();
    if let Some(count) = COUNT.get() {
        return Ok(*count);
    }
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = last_cpu(&text).ok_or(io::ErrorKind::InvalidData)?;
    Ok(*COUNT.get_or_init(|| last + 1))
}

/// CPUs that are online now.
pub fn online_cpus() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>())
            && last < 1 << 16
        {
            cpus.extend(first..=last);
        }
    }
    cpus
}

fn last_cpu(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse().ok().filter(|last| *last < 1 << 16)
}

#[cfg(test)]
mod tests {
    use super::{BatchBuffers, BatchMode, BatchWalk, Map, MapCreate, MapType, last_cpu};

    #[test]
    fn the_last_possible_cpu_is_read_from_any_list() {
        assert_eq!(last_cpu("0-3\n"), Some(3));
        assert_eq!(last_cpu("0"), Some(0));
        assert_eq!(last_cpu("0-1,4-7\n"), Some(7));
        assert_eq!(last_cpu(""), None);
    }

    /// Scenario: a map with a thousand entries is read with a buffer of two, then drained.
    /// Guarantees: each entry is seen once although buckets exceed the buffer; draining leaves the map empty.
    #[test]
    fn a_walk_sees_each_entry_once() {
        let spec = MapCreate {
            name: "walk",
            kind: MapType::HASH,
            key_size: 4,
            value_size: 8,
            max_entries: 1000,
            ..MapCreate::default()
        };
        let map = Map::create(&spec).unwrap();
        for key in 0u32..1000 {
            map.update(&key.to_ne_bytes(), &u64::from(key * 3).to_ne_bytes()).unwrap();
        }
        let mut buffers = BatchBuffers::default();
        for mode in [BatchMode::Read, BatchMode::Drain] {
            let mut seen = vec![0; 1000];
            let mut walk = BatchWalk::new(&map, mode, 2, &mut buffers).unwrap();
            while let Some(entries) = walk.next_batch().unwrap() {
                for (key, value) in entries.iter() {
                    let key = u32::from_ne_bytes(key.try_into().unwrap());
                    assert_eq!(u64::from_ne_bytes(value.try_into().unwrap()), u64::from(key * 3));
                    seen[key as usize] += 1;
                }
            }
            assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
        }
        let mut walk = BatchWalk::new(&map, BatchMode::Read, 64, &mut buffers).unwrap();
        assert!(walk.next_batch().unwrap().is_none());
    }

    /// Scenario: a type of map that has no batch calls in any kernel.
    /// Guarantees: it is walked key by key, each entry once; draining leaves it empty.
    #[test]
    fn maps_without_batches_are_walked_by_key() {
        let spec = MapCreate {
            name: "walk",
            kind: MapType::DEVMAP_HASH,
            key_size: 4,
            value_size: 4,
            max_entries: 16,
            ..MapCreate::default()
        };
        let map = Map::create(&spec).unwrap();
        for key in 0u32..10 {
            // Interface number one is the loopback's.
            map.update(&key.to_ne_bytes(), &1u32.to_ne_bytes()).unwrap();
        }
        let mut buffers = BatchBuffers::default();
        for mode in [BatchMode::Read, BatchMode::Drain] {
            let mut seen = Vec::new();
            let mut walk = BatchWalk::new(&map, mode, 4, &mut buffers).unwrap();
            while let Some(entries) = walk.next_batch().unwrap() {
                seen.extend(entries.iter().map(|(key, _)| u32::from_ne_bytes(key.try_into().unwrap())));
            }
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
        let mut walk = BatchWalk::new(&map, BatchMode::Read, 4, &mut buffers).unwrap();
        assert!(walk.next_batch().unwrap().is_none());
    }

    /// Guarantees: a buffer that does not fit the map is refused before the kernel could write past it.
    #[test]
    fn short_buffers_are_refused() {
        let spec = MapCreate {
            name: "short",
            kind: MapType::HASH,
            key_size: 4,
            value_size: 64,
            max_entries: 1,
            ..MapCreate::default()
        };
        let map = Map::create(&spec).unwrap();
        let error = map.lookup(&[0; 4], &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}
