//! Network addresses and endpoints.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::push;

/// Appends an address: its first four bytes dotted for IP `version` 4, all sixteen in canonical form for 6.
///
/// An IPv4-mapped IPv6 address is written as the IPv4 address that it stands for. Returns whether `version` is one
/// of the two and `address` long enough for it; nothing is appended otherwise.
pub fn address(address: &[u8], version: u8, out: &mut String) -> bool {
    let v4 = |bytes: [u8; 4]| Ipv4Addr::from(bytes);
    match version {
        4 => match address.first_chunk() {
            Some(bytes) => push(out, format_args!("{}", v4(*bytes))),
            None => return false,
        },
        6 => match address.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes)) {
            Some(whole) => match whole.to_ipv4_mapped() {
                Some(mapped) => push(out, format_args!("{mapped}")),
                None => push(out, format_args!("{whole}")),
            },
            None => return false,
        },
        _ => return false,
    }
    true
}

/// Appends `address:port`, IPv6 addresses in brackets; refuses what [`address`] refuses.
///
/// # Source
/// RFC 5952, section 6.
pub fn endpoint(bytes: &[u8], version: u8, port: u16, out: &mut String) -> bool {
    let start = out.len();
    let known = address(bytes, version, out);
    if known {
        if out.get(start..).is_some_and(|address| address.contains(':')) {
            out.insert(start, '[');
            out.push(']');
        }
        push(out, format_args!(":{port}"));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn shown(written: &str) -> String {
        let parsed: Ipv6Addr = written.parse().unwrap();
        text(|out| assert!(address(&parsed.octets(), 6, out)))
    }

    /// Scenario: IPv4 in the first bytes of the union, with garbage behind.
    /// Guarantees: four bytes count.
    #[test]
    fn version_4_is_dotted() {
        let mut bytes = [0xff; 16];
        bytes[..4].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(text(|out| assert!(address(&bytes, 4, out))), "192.0.2.1");
        assert_eq!(text(|out| assert!(address(&[0; 4], 4, out))), "0.0.0.0");
        assert_eq!(text(|out| assert!(endpoint(&bytes, 4, 65535, out))), "192.0.2.1:65535");
    }

    /// Scenario: the corner cases of RFC 5952: runs of zeros, one zero, ties, embedded IPv4.
    /// Guarantees: canonical text; mapped addresses dotted, compatible ones not.
    #[test]
    fn version_6_is_canonical() {
        for canonical in
            ["::", "::1", "1::", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "fe80::1:0:0:1"]
        {
            assert_eq!(shown(canonical), canonical);
        }
        assert_eq!(shown("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1", "the first of equal runs");
        assert_eq!(shown("ABCD::"), "abcd::");
        assert_eq!(shown("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(shown("::192.0.2.1"), "::c000:201");
        let bytes = Ipv6Addr::LOCALHOST.octets();
        assert_eq!(text(|out| assert!(endpoint(&bytes, 6, 0, out))), "[::1]:0");
    }

    /// Scenario: IPv6 with a port, behind other text; IPv4 that stands in IPv6.
    /// Guarantees: the port can be told from the address: brackets are around IPv6 and nothing else.
    #[test]
    fn ports_stand_apart_from_addresses() {
        let bytes = |address: &str| address.parse::<Ipv6Addr>().unwrap().octets();
        let mut out = "from ".to_owned();
        assert!(endpoint(&bytes("2001:db8::1"), 6, 443, &mut out));
        assert_eq!(out, "from [2001:db8::1]:443");
        assert_eq!(text(|out| assert!(endpoint(&bytes("::"), 6, 80, out))), "[::]:80");
        assert_eq!(text(|out| assert!(endpoint(&bytes("::ffff:192.0.2.1"), 6, 80, out))), "192.0.2.1:80");
    }

    /// Scenario: versions that do not exist, and too few bytes.
    /// Guarantees: refused, and nothing appended.
    #[test]
    fn other_versions_are_refused() {
        for version in [0, 5, 7, 255] {
            assert_eq!(text(|out| assert!(!endpoint(&[1; 16], version, 1, out))), "");
        }
        assert_eq!(text(|out| assert!(!address(&[1; 3], 4, out))), "");
        assert_eq!(text(|out| assert!(!address(&[1; 15], 6, out))), "");
    }
}
