//! Networks that addresses are looked up in.

use std::net::IpAddr;

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Net {
    address: IpAddr,
    bits: u8,
}

impl Net {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(50).collect::<String>();
        let (address, bits) = text
            .split_once('/')
            .ok_or_else(|| format!("`{}` is no network; expected one like 10.0.0.0/8", shown()))?;
        let address: IpAddr =
            address.parse().ok().ok_or_else(|| format!("`{}` does not start with an address", shown()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_decimal = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits =
            bits.parse().ok().filter(|bits| is_decimal && *bits <= most).ok_or_else(|| {
                format!("`{}` does not end with a number of bits from 0 to {most}", shown())
            })?;
        Ok(Self { address, bits })
    }

    /// Whether the network has `address`.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        // An IPv4 address in IPv6 clothes is still one.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    /// The address that `text` is.
    pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
        std::str::from_utf8(text).ok()?.parse().ok()
    }
}
