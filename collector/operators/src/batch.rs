//! A batch: records kept together, so that they can be put in order, cut, or handed to a sink at once.

/// Records one behind the other, and the order they are taken in.
///
/// Changing the order moves no record; only what was cut off is given back, by [`Batch::compact`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Span>,
    begins: bool,
    ends: bool,
}

/// Where a record is in `bytes`; always within it.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

impl Batch {
    /// Appends a record.
    pub fn push(&mut self, record: &[u8]) {
        self.records.push(Span { start: self.bytes.len(), len: record.len() });
        self.bytes.extend_from_slice(record);
    }

    /// Appends all records of another batch.
    pub fn append(&mut self, other: &Self) {
        other.iter().for_each(|record| self.push(record));
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of memory that records take, those cut off included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The records in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|span| self.bytes.get(span.start..span.start + span.len).unwrap_or_default())
    }

    /// One of the records, to be written to.
    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut [u8]> {
        let span = self.records.get(position)?;
        self.bytes.get_mut(span.start..span.start + span.len)
    }

    /// Whether a fetch begins with it.
    pub fn begins(&self) -> bool {
        self.begins
    }

    /// Whether a fetch ends with it.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// Says that a fetch begins with it.
    pub fn set_begins(&mut self) {
        self.begins = true;
    }

    /// Says that a fetch ends with it.
    pub fn set_ends(&mut self) {
        self.ends = true;
    }

    /// Keeps the first records.
    pub fn truncate(&mut self, most: usize) {
        self.records.truncate(most);
    }

    /// Takes the records in the order of `positions`; one that is not mentioned is cut off.
    pub(crate) fn arrange(&mut self, positions: &[usize]) {
        self.records = positions.iter().filter_map(|position| self.records.get(*position)).copied().collect();
    }

    /// Gives back the memory of records that were cut off, in the order of the rest.
    pub(crate) fn compact(&mut self) {
        let mut kept = Self { begins: self.begins, ends: self.ends, ..Self::default() };
        kept.append(self);
        *self = kept;
    }

    /// Forgets all records and keeps the memory; it is part of no fetch then.
    pub fn clear(&mut self) {
        (self.begins, self.ends) = (false, false);
        self.bytes.clear();
        self.records.clear();
    }
}

impl<'r> FromIterator<&'r [u8]> for Batch {
    fn from_iter<T: IntoIterator<Item = &'r [u8]>>(records: T) -> Self {
        let mut batch = Self::default();
        records.into_iter().for_each(|record| batch.push(record));
        batch
    }
}
