//! How durations, sizes and addresses are spelled.

use std::time::Duration;

/// The longest duration that can be written: whatever adds it to a clock, or counts it in nanoseconds, is far from the end
/// of its numbers.
const LONGEST: Duration = Duration::from_hours(100 * 8766);

/// Reads a duration with units, such as `15s`, `1m30s` or `500ms`, up to a hundred years; a bare `0` needs none.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("add a unit: `{text}s` or `{text}ms`"));
    }
    let too_long = || "that is longer than a hundred years".to_owned();
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => too_long(),
        humantime::DurationError::UnknownUnit { unit, .. } => {
            format!("unknown unit `{}`; units are ms, s, m, h and d", crate::fault::shorten(&unit, 20))
        }
        _ => "write a number and a unit for each part, as in 1m30s".to_owned(),
    })?;
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// Writes a duration the way [`duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// Units of sizes with their factors; what is not listed is refused.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a size in bytes: a whole number with a unit (`64kB`, `256MiB`), or without one for plain bytes.
///
/// # Errors
/// What to write instead.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err("write a whole number and a unit, as in 256MiB".to_owned());
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("units are kB, MB, GB, KiB, MiB, GiB and TiB".to_owned());
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(*factor));
    bytes.ok_or_else(|| "that is more than can be counted".to_owned())
}

/// Checks `http://host:port/path` and `https://...`; says what to write instead.
pub(crate) fn endpoint(text: &str) -> Result<(), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("write the scheme: `http://{text}`, or `https://{text}` for TLS"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err("the scheme is `http`, or `https` for TLS".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("leave out user and password, and send an `authorization` header".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("leave out everything from the `?` or `#` on".to_owned());
    }
    let port = match authority.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((address, after)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                after.strip_prefix(':')
            }
            _ => return Err("expected an IPv6 address between `[` and `]`".to_owned()),
        },
        None => authority.split_once(':').map(|(_, port)| port),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        _ => Err("write host and port after the scheme".to_owned()),
    }
}

/// Checks the address of one signal, which may carry a query; says what to write instead.
pub(crate) fn signal_endpoint(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return Err("leave out everything from the `#` on".to_owned());
    }
    endpoint(text.split('?').next().unwrap_or_default())?;
    text.parse::<http::Uri>().map(drop).map_err(|_unspecific| "a URL has no spaces or controls".to_owned())
}

/// Checks the name that a certificate must carry.
pub(crate) fn server_name(text: &str) -> Result<(), String> {
    match rustls_pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(()),
        Err(_unspecific) if text.contains(['/', ':']) => Err("leave out scheme, port and path".to_owned()),
        Err(_unspecific) => Err(String::new()),
    }
}

/// Checks `address:port`; says what to write instead.
pub(crate) fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_unspecific: std::net::AddrParseError| match text.rsplit_once(':') {
        Some(("", port)) => {
            format!("write `127.0.0.1:{port}` for this machine only, `0.0.0.0:{port}` for all")
        }
        Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
        Some((_, port)) if port.parse::<u16>().is_err() => "a port is a number from 0 to 65535".to_owned(),
        Some(_) => "write the address in digits; IPv6 addresses go in brackets".to_owned(),
        None => "a port is missing, as in `127.0.0.1:2224`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: durations that no clock can add, and the longest that all can.
    /// Guarantees: the first are refused with the reason, whoever asks; the second is read.
    #[test]
    fn no_duration_is_longer_than_a_clock_can_count() {
        for text in
            ["99999999999d", "300000000000y", "101years", "18446744073709551615s", "9999999999999999999999s"]
        {
            assert_eq!(duration(text).unwrap_err(), "that is longer than a hundred years", "{text}");
        }
        let longest = duration("100years").unwrap();
        assert!(std::time::Instant::now().checked_add(longest).is_some());
        assert!(i64::try_from(longest.as_nanos()).is_ok());
    }

    /// Scenario: names of servers, addresses, and text that no certificate can carry.
    /// Guarantees: what is accepted here, the TLS library takes as a name.
    #[test]
    fn a_server_name_is_one_that_certificates_carry() {
        for good in ["receiver.example", "a", "127.0.0.1", "::1", "x_y.example."] {
            assert_eq!(server_name(good), Ok(()), "{good}");
        }
        for bad in ["a b", "https://h", "h:4317", "", ".", "-", "*.example", "ü.example"] {
            assert!(server_name(bad).is_err(), "{bad}");
        }
    }
}
