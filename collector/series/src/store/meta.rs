//! What is known of a record beside its words: its text, its start, its birth.

use crate::arena::Span;

/// Beside a birth: more than one key has written to the row.
const SHARED: u64 = 1 << 63;
/// Beside a birth: an exporter has read values that are now in the row under another text.
const READ: u64 = 1 << 62;

/// What is known of a record beside its words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meta {
    pub(super) text: Span,
    /// Wall time of the first sight; where cumulative points start.
    pub(super) start: u64,
    /// Birth, [`SHARED`] and [`READ`].
    life: u64,
}

impl Meta {
    /// A row of one key.
    pub(super) fn of_row(text: Span, start: u64, born: u64) -> Self {
        Self { text, start, life: born }
    }

    /// An alias; it holds the birth of its target, which tells whether that still lives.
    pub(super) fn of_alias(born: u64) -> Self {
        Self { life: born, ..Self::default() }
    }

    /// Order of creation within the table; tells lives in one place apart.
    #[inline]
    pub(super) fn born(self) -> u64 {
        self.life & !(SHARED | READ)
    }

    /// Whether more than one key has written to the row: its values can no longer be told apart by key.
    pub(super) fn is_shared(self) -> bool {
        self.life & SHARED != 0
    }

    /// Notes that a second key writes to the row.
    pub(super) fn share(&mut self) {
        self.life |= SHARED;
    }

    /// Whether an exporter that has read all rows born before `horizon` knows values of this one.
    pub(super) fn is_read(self, horizon: u64) -> bool {
        self.born() < horizon || self.life & READ != 0
    }

    /// Notes that an exporter knows values of this row.
    pub(super) fn mark_read(&mut self) {
        self.life |= READ;
    }
}
