//! A batch: the records of one fetch, kept together so that they can be put in order or cut.

/// Records one behind the other, and the order they are taken in.
///
/// Changing the order moves no record; only what was cut off is given back, by [`Batch::compact`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Span>,
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
        let mut kept = Self::default();
        kept.append(self);
        *self = kept;
    }

    /// Forgets all records and keeps the memory.
    pub fn clear(&mut self) {
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
