//! Bytes of many rows in one buffer: no allocation per row, read in order by a scrape.

/// Where a row's bytes lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Nothing at all.
    pub const NOWHERE: Self = Self { start: 0, len: 0 };
}

/// A growing buffer of spans; freed spans are reclaimed by [`Arena::compact`].
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
    garbage: usize,
}

impl Arena {
    /// Appends `bytes`; `None` if the arena has reached four gigabytes.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Span> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        let len = u32::try_from(bytes.len()).ok()?;
        start.checked_add(len)?;
        reserve_gently(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
        Some(Span { start, len })
    }

    /// The bytes of a span.
    #[inline]
    pub fn get(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.bytes.get(start..start + span.len as usize).unwrap_or_default()
    }

    /// Gives a span up.
    pub fn release(&mut self, span: Span) {
        self.garbage += span.len as usize;
    }

    /// Whether more than half is garbage, so that rewriting the rest pays for itself.
    pub fn wants_compaction(&self) -> bool {
        self.garbage > 64 * 1024 && self.garbage * 2 > self.bytes.len()
    }

    /// Moves the bytes of all live spans together.
    pub fn compact<'a>(&mut self, spans: impl Iterator<Item = &'a mut Span>) {
        let mut kept = Vec::with_capacity(self.bytes.len().saturating_sub(self.garbage));
        for span in spans {
            // Fits: what is kept is no longer than what was there.
            let start = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            kept.extend_from_slice(self.get(*span));
            span.start = start;
        }
        self.bytes = kept;
        self.garbage = 0;
    }

    /// Bytes held.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Makes room for `more` elements, growing by an eighth instead of doubling: large blocks are moved by remapping,
/// so slow growth costs little time and saves up to half the memory.
pub(crate) fn reserve_gently<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 8).max(64));
    }
}
