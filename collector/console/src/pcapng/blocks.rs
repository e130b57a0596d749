//! The three blocks of a capture file.
//!
//! # Source
//! PCAP Next Generation Capture File Format (IETF draft-ietf-opsawg-pcapng): section header block, interface
//! description block, enhanced packet block; byte order is the host's, which the magic number says.

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const MAGIC: u32 = 0x1a2b_3c4d;
const ETHERNET: u16 = 1;
/// Time stamps count 10 to the minus ninth seconds.
const NANOSECONDS: u8 = 9;
/// Longest text of an option.
const LONGEST_OPTION: usize = 4096;

/// Starts the file.
pub(super) fn section(out: &mut Vec<u8>) {
    block(SECTION, out, |out| {
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&1_u16.to_ne_bytes());
        out.extend_from_slice(&0_u16.to_ne_bytes());
        // The length of the section is not known.
        out.extend_from_slice(&u64::MAX.to_ne_bytes());
        option(3, b"linux", out);
        option(4, b"ig", out);
        option(0, b"", out);
    });
}

/// Introduces the next interface.
pub(super) fn interface(name: &str, description: &str, out: &mut Vec<u8>) {
    block(INTERFACE, out, |out| {
        out.extend_from_slice(&ETHERNET.to_ne_bytes());
        out.extend_from_slice(&0_u16.to_ne_bytes());
        // No limit to the length of packets.
        out.extend_from_slice(&0_u32.to_ne_bytes());
        option(2, name.as_bytes(), out);
        if !description.is_empty() {
            option(3, description.as_bytes(), out);
        }
        option(9, &[NANOSECONDS], out);
        option(0, b"", out);
    });
}

/// A packet of `length` bytes, of which `payload` was captured.
pub(super) fn packet(interface: u32, nanoseconds: u64, payload: &[u8], length: u64, out: &mut Vec<u8>) {
    block(PACKET, out, |out| {
        let captured = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(length).unwrap_or(u32::MAX).max(captured);
        out.extend_from_slice(&interface.to_ne_bytes());
        // The upper half of the time stands first, whatever the byte order.
        let [a, b, c, d, low @ ..] = nanoseconds.to_be_bytes();
        for half in [[a, b, c, d], low] {
            out.extend_from_slice(&u32::from_be_bytes(half).to_ne_bytes());
        }
        for word in [captured, length] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        padded(payload, out);
    });
}

/// Appends text as in the query of a URL, so that `;` and `=` only ever separate.
pub(super) fn query(text: &[u8], out: &mut String) {
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// A block with its length at both ends.
fn block(kind: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX).to_ne_bytes();
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
    out.extend_from_slice(&length);
}

fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let value = value.get(..LONGEST_OPTION).unwrap_or(value);
    out.extend_from_slice(&code.to_ne_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_ne_bytes());
    padded(value, out);
}

/// Appends bytes and fills up to a multiple of four.
fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().wrapping_neg() % 4, 0);
}
