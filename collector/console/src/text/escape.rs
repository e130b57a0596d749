//! Text from a record made harmless: the kernel passes on whatever bytes a process chose.
//!
//! # Source
//! The spelling is that of Go's `strconv.Quote` without the outer quotes, as the reference prints cells. Two
//! additions keep a row in its line: variation selectors, and more than four zero-width marks in a row, are
//! spelled out as well, because no terminal agrees with another on what they take.

use unicode_width::UnicodeWidthChar as _;

/// Zero-width marks that may stand on one character.
const MARKS: usize = 4;

/// Appends `bytes` with everything but printable text and plain spaces spelled out.
pub(crate) fn quote(bytes: &[u8], out: &mut String) {
    if plain_len(bytes) == bytes.len()
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        out.push_str(text);
        return;
    }
    let mut marks = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let keep = if c.is_ascii() {
                marks = 0;
                is_plain(c as u8)
            } else if c.width() == Some(0) {
                marks += 1;
                marks <= MARKS && is_printable(c) && !matches!(c, '\u{fe00}'..='\u{fe0f}')
            } else {
                marks = 0;
                is_printable(c)
            };
            if keep {
                out.push(c);
            } else {
                spell(c, out);
            }
        }
        for byte in chunk.invalid() {
            out.push_str("\\x");
            push_hex(u32::from(*byte), 2, out);
        }
    }
}

/// Bytes at the start of `bytes` that need no second look: printable ASCII but quotes and backslashes.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 0xff;
    const HIGH: u64 = EACH * 0x80;
    // Marks bytes that are zero, and now and then the byte above one.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(EACH * 0x20) & !word & HIGH;
        let special = below_space
            | zeros(word ^ (EACH * u64::from(b'"')))
            | zeros(word ^ (EACH * u64::from(b'\\')))
            | zeros(word ^ (EACH * 0x7f))
            | (word & HIGH);
        if special != 0 {
            return len + special.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let tail = bytes.get(len..).unwrap_or_default();
    len + tail.iter().position(|byte| !is_plain(*byte)).unwrap_or(tail.len())
}

/// Printable ASCII that needs no escape.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Whether a character beyond ASCII is a letter, mark, number, punctuation or symbol.
///
/// The standard library keeps that table for `escape_debug`; a letter in front keeps it from escaping marks.
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let len = 1 + buffer.get_mut(1..).map_or(0, |rest| c.encode_utf8(rest).len());
    let text = buffer.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(c))
}

fn spell(c: char, out: &mut String) {
    let short = match c {
        '"' | '\\' => c,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        _ => {
            let (lead, digits) = match u32::from(c) {
                0..0x80 => ("\\x", 2),
                0x80..0x1_0000 => ("\\u", 4),
                _ => ("\\U", 8),
            };
            out.push_str(lead);
            push_hex(u32::from(c), digits, out);
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// Appends the lowest `digits` hexadecimal digits of `value`.
pub(crate) fn push_hex(value: u32, digits: u32, out: &mut String) {
    for place in (0..digits).rev() {
        let digit = value >> (4 * place) & 0xf;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(bytes: &[u8]) -> String {
        let mut out = String::new();
        quote(bytes, &mut out);
        out
    }

    /// Scenario: strings an attacker would choose: terminal sequences, newlines, broken UTF-8, bidi overrides.
    /// Guarantees: each is spelled as Go's `strconv.Quote` spells it.
    #[test]
    fn hostile_text_is_spelled_out() {
        let rows: [(&[u8], &str); 10] = [
            (b"plain text", "plain text"),
            (b"say \"hi\" \\", "say \\\"hi\\\" \\\\"),
            (b"\x1b[31mred\x07", "\\x1b[31mred\\a"),
            (b"a\nb\tc\rd\x00\x7f", "a\\nb\\tc\\rd\\x00\\x7f"),
            (b"\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82"),
            ("\u{202e}gpj.exe".as_bytes(), "\\u202egpj.exe"),
            ("\u{9b}31m".as_bytes(), "\\u009b31m"),
            ("caf\u{e9} \u{65e5}\u{672c} \u{1f600}".as_bytes(), "caf\u{e9} \u{65e5}\u{672c} \u{1f600}"),
            ("\u{a0}\u{e0001}".as_bytes(), "\\u00a0\\U000e0001"),
            ("e\u{301}".as_bytes(), "e\u{301}"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(quoted(bytes), expected);
        }
    }

    /// Scenario: any bytes at all.
    /// Guarantees: the result holds no control character, no format character and no long run of marks.
    #[test]
    fn nothing_harmful_is_left() {
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}|[\u{300}-\u{340}]{0,20}")| {
            for input in [bytes.as_slice(), text.as_bytes()] {
                let out = quoted(input);
                let mut marks = 0;
                for c in out.chars() {
                    prop_assert!(!c.is_control());
                    let unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
                    prop_assert!(!unseen);
                    marks = if c.width() == Some(0) { marks + 1 } else { 0 };
                    prop_assert!(marks <= MARKS);
                }
            }
        });
    }
}
