//! Strings of JSON.

use crate::text::escape::{plain_len, push_hex};

/// Appends `bytes` as a JSON string.
///
/// Invalid UTF-8 becomes U+FFFD byte by byte; U+2028 and U+2029 are escaped, `<`, `>` and `&` are not. With `screen`
/// what a terminal might obey beyond the controls that JSON itself forbids is escaped as well: DEL, C1 controls,
/// zero-width and bidirectional marks.
///
/// # Source
/// Go's `encoding/json` before it knew `\b` and `\f`, which the reference follows.
pub(crate) fn json_string(bytes: &[u8], screen: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = bytes;
    loop {
        let (plain, special) = rest.split_at(plain_len(rest).min(rest.len()));
        out.extend_from_slice(plain);
        let Some(first) = special.first() else { break };
        let len = if first.is_ascii() {
            control(*first, screen, out);
            1
        } else {
            let len = special.iter().position(u8::is_ascii).unwrap_or(special.len());
            foreign(special.get(..len).unwrap_or_default(), screen, out);
            len
        };
        rest = special.get(len..).unwrap_or_default();
    }
    out.push(b'"');
}

fn control(byte: u8, screen: bool, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => return unit(u32::from(byte), out),
        0x7f if screen => return unit(0x7f, out),
        _ => {
            out.push(byte);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Text beyond ASCII.
fn foreign(bytes: &[u8], screen: bool, out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut start = 0;
        for (at, c) in valid.char_indices() {
            let escaped = match c {
                '\u{2028}' | '\u{2029}' => true,
                _ => screen && steers_terminals(c),
            };
            if escaped {
                out.extend_from_slice(valid.get(start..at).unwrap_or_default().as_bytes());
                unit(u32::from(c), out);
                start = at + c.len_utf8();
            }
        }
        out.extend_from_slice(valid.get(start..).unwrap_or_default().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Characters of the basic plane that are obeyed, or not seen.
fn steers_terminals(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}'
    )
}

fn unit(value: u32, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(6);
    text.push_str("\\u");
    push_hex(value, 4, &mut text);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(bytes: &[u8], screen: bool) -> String {
        let mut out = Vec::new();
        json_string(bytes, screen, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Scenario: the strings for which JSON writers differ.
    /// Guarantees: the spelling of Go's encoder without HTML escaping; on a screen also DEL, C1 and bidi are escaped.
    #[test]
    fn spelled_as_in_go() {
        assert_eq!(json(b"plain <a> & 'b' /c", false), "\"plain <a> & 'b' /c\"");
        assert_eq!(
            json(b"\"\\\n\r\t\x08\x0c\x00\x1f\x7f", false),
            "\"\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\x7f\""
        );
        assert_eq!(json(b"\xff\xe2\x82x\xc3", false), "\"\\ufffd\\ufffd\\ufffdx\\ufffd\"");
        assert_eq!(json("a\u{2028}b\u{2029}é😀".as_bytes(), false), "\"a\\u2028b\\u2029é😀\"");
        assert_eq!(json("\u{9b}31m\u{202e}\u{7f}".as_bytes(), false), "\"\u{9b}31m\u{202e}\u{7f}\"");
        assert_eq!(json("\u{9b}31m\u{202e}\u{7f}é".as_bytes(), true), "\"\\u009b31m\\u202e\\u007fé\"");
    }

    /// Scenario: any bytes.
    /// Guarantees: the result is JSON; valid UTF-8 reads back as it was, and nothing below a space is left.
    #[test]
    fn any_bytes_are_json() {
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in ".*", screen in any::<bool>())| {
            let read: String = serde_json::from_str(&json(text.as_bytes(), screen)).unwrap();
            prop_assert_eq!(&read, &text);
            let out = json(&bytes, screen);
            prop_assert!(out.bytes().all(|byte| byte >= b' '));
            let read: String = serde_json::from_str(&out).unwrap();
            let expected: String = bytes.utf8_chunks().map(|chunk| format!("{}{}", chunk.valid(), "\u{fffd}".repeat(chunk.invalid().len()))).collect();
            prop_assert_eq!(read, expected);
        });
    }
}
