//! Instants and durations.

use ig_model::text::DateTime;

use super::push;

const NANOS: u64 = 1_000_000_000;

/// Appends an instant as RFC 3339 with nine digits of fraction: `2026-01-02T03:04:05.000000001+01:00`.
///
/// # Units
/// `unix_ns` is in nanoseconds since 1970-01-01 UTC, `offset` in seconds east of UTC; an offset of zero is `Z`.
pub fn timestamp(unix_ns: u64, offset: i32, out: &mut String) {
    let seconds = i64::try_from(unix_ns / NANOS).unwrap_or(i64::MAX);
    DateTime::from_unix(seconds.saturating_add(offset.into())).write_rfc3339(out);
    push(out, format_args!(".{:09}", unix_ns % NANOS));
    if offset == 0 {
        return out.push('Z');
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    push(out, format_args!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
}

/// Appends a duration: `250ns`, `1.50µs`, `12.34ms`, and from one second on `2m3.25s`.
///
/// # Units
/// `nanoseconds`, read as a signed number: what a gadget got by subtracting the wrong way round shows a minus sign.
pub fn duration(nanoseconds: u64, out: &mut String) {
    let signed = nanoseconds as i64;
    match signed {
        ..1_000 => push(out, format_args!("{signed}ns")),
        1_000..1_000_000 => push(out, format_args!("{:.2}µs", signed as f64 / 1e3)),
        1_000_000..1_000_000_000 => push(out, format_args!("{:.2}ms", signed as f64 / 1e6)),
        _ => long_duration(nanoseconds, out),
    }
}

/// A second and more: hours and minutes as far as there are any, then seconds with the digits they need.
fn long_duration(nanoseconds: u64, out: &mut String) {
    let seconds = nanoseconds / NANOS;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        push(out, format_args!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        push(out, format_args!("{minutes}m"));
    }
    push(out, format_args!("{}", seconds % 60));
    let fraction = nanoseconds % NANOS;
    if fraction > 0 {
        push(out, format_args!(".{fraction:09}"));
        out.truncate(out.trim_end_matches('0').len());
    }
    out.push('s');
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    /// Scenario: the epoch, the example of the contract, zones east, west and of half hours, the end of the range.
    /// Guarantees: always nine digits; the offset moves the clock and is written.
    #[test]
    fn instants() {
        let shown = |ns, offset| text(|out| timestamp(ns, offset, out));
        let example = 1_767_319_445_000_000_001;
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(shown(example, 3600), "2026-01-02T03:04:05.000000001+01:00");
        assert_eq!(shown(example, 0), "2026-01-02T02:04:05.000000001Z");
        assert_eq!(shown(example, -12_600), "2026-01-01T22:34:05.000000001-03:30");
        assert_eq!(shown(0, -1800), "1969-12-31T23:30:00.000000000-00:30");
        assert_eq!(shown(u64::MAX, 0), "2554-07-21T23:34:33.709551615Z");
    }

    /// Scenario: the borders between units, trailing zeros, hours without minutes, a negative difference.
    /// Guarantees: each unit keeps its number of digits; rounding does not move to the next unit.
    #[test]
    fn durations() {
        let rows = [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00µs"),
            (1_555, "1.55µs"),
            (1_556, "1.56µs"),
            (999_994, "999.99µs"),
            (999_999, "1000.00µs"),
            (1_000_000, "1.00ms"),
            (12_340_000, "12.34ms"),
            (999_999_999, "1000.00ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (1_000_000_001, "1.000000001s"),
            (10_000_000_000, "10s"),
            (60_000_000_000, "1m0s"),
            (123_250_000_000, "2m3.25s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_000, "25h1m1s"),
            (i64::MAX as u64, "2562047h47m16.854775807s"),
            (u64::MAX, "-1ns"),
        ];
        for (ns, expected) in rows {
            assert_eq!(text(|out| duration(ns, out)), expected, "{ns}");
        }
    }
}
