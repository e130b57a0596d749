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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_length_they_are_said_to_have() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
