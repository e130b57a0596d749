//! A sorted table of symbols: 16 bytes for each and its name, once.

/// Symbols of one table; a browser has some hundred thousand.
const MAX_SYMBOLS: usize = 1 << 20;
/// Bytes of all names of one table.
const MAX_NAMES: usize = 32 << 20;
/// Longest name that is kept.
const MAX_NAME: usize = 2048;
/// Symbols looked at below an address before it counts as unknown: functions seldom lie within functions.
const MAX_STEPS: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    /// 0: up to the next symbol.
    size: u32,
    /// Where the name begins in `names`; it ends at a NUL.
    name: u32,
}

/// Addresses with names.
#[derive(Debug, Default)]
pub(crate) struct SymbolTable {
    entries: Vec<Entry>,
    names: Vec<u8>,
}

/// Collects symbols in any order.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// With a rank: of symbols with the same start the one with the highest stays, of equal ones the last.
    entries: Vec<(Entry, u8)>,
    names: Vec<u8>,
}

impl Builder {
    /// Adds a symbol; `false` when the table is full.
    pub(crate) fn push(&mut self, start: u64, size: u64, rank: u8, name: &[u8]) -> bool {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let at = self.names.len();
        if self.entries.len() >= MAX_SYMBOLS || at + name.len() >= MAX_NAMES {
            return false;
        }
        let Ok(at) = u32::try_from(at) else { return false };
        self.names.extend_from_slice(name);
        self.names.push(0);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.entries.push((Entry { start, size, name: at }, rank));
        true
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sorts what was collected.
    pub(crate) fn finish(self) -> SymbolTable {
        let Self { mut entries, mut names } = self;
        entries.sort_by_key(|(entry, rank)| {
            (entry.start, std::cmp::Reverse(*rank), std::cmp::Reverse(entry.name))
        });
        entries.dedup_by_key(|(entry, _)| entry.start);
        names.shrink_to_fit();
        SymbolTable { entries: entries.into_iter().map(|(entry, _)| entry).collect(), names }
    }
}

impl SymbolTable {
    /// Name of the symbol that covers `address`.
    pub(crate) fn find(&self, address: u64) -> Option<&[u8]> {
        let after = self.entries.partition_point(|entry| entry.start <= address);
        let below = self.entries.get(..after)?;
        for (steps, entry) in below.iter().rev().take(MAX_STEPS).enumerate() {
            let covers = match entry.size {
                0 => steps == 0,
                size => address - entry.start < u64::from(size),
            };
            if covers {
                return self.name(entry);
            }
        }
        None
    }

    fn name(&self, entry: &Entry) -> Option<&[u8]> {
        let from = self.names.get(entry.name as usize..)?;
        from.split(|byte| *byte == 0).next()
    }

    /// Number of symbols.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where the symbols start.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.start)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.names.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Builder;

    /// Scenario: symbols that touch, that lie within others, without size, twice at the same place.
    /// Guarantees: the innermost that covers the address is found, the better one of two; gaps have no name.
    #[test]
    fn the_symbol_that_covers_the_address() {
        let mut builder = Builder::default();
        for (start, size, rank, name) in [
            (0x100, 0x100, 1, "outer"),
            (0x140, 0x10, 1, "inner"),
            (0x300, 0, 0, "label"),
            (0x400, 8, 0, "weak"),
            (0x400, 8, 2, "strong"),
        ] {
            assert!(builder.push(start, size, rank, name.as_bytes()));
        }
        let table = builder.finish();
        let at = |address| table.find(address).map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(at(0xff), None);
        assert_eq!(at(0x100).as_deref(), Some("outer"));
        assert_eq!(at(0x14f).as_deref(), Some("inner"));
        assert_eq!(at(0x150).as_deref(), Some("outer"));
        assert_eq!(at(0x200), None);
        assert_eq!(at(0x3ff).as_deref(), Some("label"));
        assert_eq!(at(0x407).as_deref(), Some("strong"));
        assert_eq!(at(0x408), None);
        assert_eq!(at(u64::MAX), None);
    }

    proptest! {
        /// Scenario: any symbols without overlap.
        /// Guarantees: the table answers as a walk over all of them does.
        #[test]
        fn like_a_walk(gaps in prop::collection::vec((1_u64..50, 1_u64..50), 1..60), at in 0_u64..4000) {
            let mut builder = Builder::default();
            let mut start = 0;
            let mut expected = None;
            for (number, (gap, size)) in gaps.iter().enumerate() {
                start += gap;
                let name = format!("s{number}");
                builder.push(start, *size, 0, name.as_bytes());
                if (start..start + size).contains(&at) {
                    expected = Some(name);
                }
                start += size;
            }
            let table = builder.finish();
            prop_assert_eq!(table.find(at), expected.as_deref().map(str::as_bytes));
        }
    }
}
