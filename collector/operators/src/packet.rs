//! A record on its way through the stages of its data source.

use crate::schema::Slot;

/// A record as the stages of a data source see it.
///
/// # Shape
/// The record's fixed part, then the fields that operators add, then what the record carries behind its layout; all
/// of them at the offsets of the [`SourceSchema`](crate::SourceSchema). Where nothing is added or rewritten these are
/// the kernel's own bytes, which nobody may write to.
#[derive(Debug)]
pub struct Packet<'a> {
    bytes: Bytes<'a>,
}

#[derive(Debug)]
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Copied(&'a mut [u8]),
}

impl<'a> Packet<'a> {
    /// A record that nobody changes.
    #[inline]
    pub fn borrowed(record: &'a [u8]) -> Self {
        Self { bytes: Bytes::Borrowed(record) }
    }

    /// A copy that stages may write to.
    #[inline]
    pub fn copied(record: &'a mut [u8]) -> Self {
        Self { bytes: Bytes::Copied(record) }
    }

    /// All bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Copied(bytes) => bytes,
        }
    }

    /// The bytes of a field, to be written; `None` where the record is shorter or not a copy.
    ///
    /// A schema gives out a [`Slot`] only where records are copied.
    pub fn slot(&mut self, slot: Slot) -> Option<&mut [u8]> {
        match &mut self.bytes {
            Bytes::Borrowed(_) => None,
            Bytes::Copied(bytes) => bytes.get_mut(slot.range()),
        }
    }

    /// Writes a field; shorter bytes are filled up with zeros, longer ones cut.
    ///
    /// Returns whether the record has the field.
    pub fn write(&mut self, slot: Slot, value: &[u8]) -> bool {
        let Some(field) = self.slot(slot) else { return false };
        let len = value.len().min(field.len());
        let (written, rest) = field.split_at_mut(len);
        written.copy_from_slice(value.get(..len).unwrap_or_default());
        rest.fill(0);
        true
    }
}
