//! Writing protobuf by hand: the few field kinds that OTLP metrics use.
//!
//! A message's length stands before its bytes, so each nested message is sized first; [`len_field`] does the
//! arithmetic.
//!
//! # Source
//! <https://protobuf.dev/programming-guides/encoding/>

/// Wire type of lengths and integers.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LEN: u64 = 2;
const FIXED32: u64 = 5;

/// Bytes of a varint.
pub(super) fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a length-delimited field with this much in it.
pub(super) fn len_field(field: u64, len: usize) -> usize {
    varint_len(field << 3) + varint_len(len as u64) + len
}

/// Appends a varint.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits are taken at a time")]
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the head of a length-delimited field; `len` bytes must follow.
#[inline]
pub(super) fn head(out: &mut Vec<u8>, field: u64, len: usize) {
    varint(out, field << 3 | LEN);
    varint(out, len as u64);
}

/// Appends a length-delimited field, unless it is empty, which is its default.
pub(super) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    if !value.is_empty() {
        head(out, field, value.len());
        out.extend_from_slice(value);
    }
}

/// Appends an integer field.
pub(super) fn integer(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | VARINT);
    varint(out, value);
}

/// Appends a field of eight bytes.
#[inline]
pub(super) fn fixed64(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a packed field of eight-byte values.
pub(super) fn packed64(out: &mut Vec<u8>, field: u64, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() == 0 {
        return;
    }
    head(out, field, values.len() * 8);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A field of an encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// What a length-delimited field holds; empty for others.
    pub(super) body: &'a [u8],
    /// The field as it stands, head included.
    pub(super) whole: &'a [u8],
}

/// The fields of a message, up to the first that cannot be read.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let (key, head) = read_varint(rest)?;
        let after = rest.get(head..)?;
        let (from, len) = match key & 7 {
            VARINT => (head, read_varint(after)?.1),
            FIXED64 => (head, 8),
            LEN => {
                let (len, used) = read_varint(after)?;
                (head + used, usize::try_from(len).ok()?)
            }
            FIXED32 => (head, 4),
            _ => return None,
        };
        let end = from.checked_add(len)?;
        let whole = rest.get(..end)?;
        let body = if key & 7 == LEN { rest.get(from..end)? } else { &[] };
        rest = rest.get(end..)?;
        Some(Field { number: key >> 3, body, whole })
    })
}

/// Reads a varint; the value and how many bytes it took.
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_length_they_are_said_to_have() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(read_varint(&out), Some((value, out.len())));
        }
    }

    /// Scenario: messages as they come from others: whole, cut, of bytes that are no message.
    /// Guarantees: what can be read is, and nothing overflows.
    #[test]
    fn fields_of_any_bytes_can_be_walked() {
        let mut message = Vec::new();
        integer(&mut message, 1, 300);
        fixed64(&mut message, 2, 7);
        bytes(&mut message, 3, b"abc");
        let read: Vec<(u64, &[u8])> = fields(&message).map(|field| (field.number, field.body)).collect();
        assert_eq!(read, [(1, &b""[..]), (2, b""), (3, b"abc")]);
        assert_eq!(fields(&message).flat_map(|field| field.whole.to_vec()).collect::<Vec<_>>(), message);
        assert_eq!(fields(&message[..message.len() - 1]).count(), 2);
        assert_eq!(fields(&[0xff; 32]).count(), 0);
        assert_eq!(fields(&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).count(), 0);
    }
}
