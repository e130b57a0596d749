//! Sizes in bytes, and bytes themselves.

use super::push;

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Appends a size with an SI unit and two significant digits or three: `9 B`, `1.2 kB`, `82 MB`.
///
/// Rounded to tenths first and then, from ten on, to the even whole number. Rounding does not move to the next unit:
/// 999 999 is `1000 kB`.
pub fn bytes(size: u64, out: &mut String) {
    if size < 10 {
        return push(out, format_args!("{size} B"));
    }
    let mut divisor = 1_u64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size / divisor >= 1000 {
        divisor *= 1000;
        unit = units.next();
    }
    let tenths = (size as f64 / divisor as f64 * 10.0 + 0.5).floor();
    let unit = unit.copied().unwrap_or_default();
    if tenths < 100.0 {
        push(out, format_args!("{:.1} {unit}", tenths / 10.0));
    } else {
        push(out, format_args!("{:.0} {unit}", tenths / 10.0));
    }
}

/// Appends lower-case hexadecimal digits, two for each byte.
pub fn hex(bytes: &[u8], out: &mut String) {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text;
    use super::*;

    fn shown(size: u64) -> String {
        text(|out| bytes(size, out))
    }

    /// Scenario: the borders of units and of digits.
    /// Guarantees: ten and more lose the fraction; rounding up stays in the unit.
    #[test]
    fn sizes() {
        let rows = [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (1234, "1.2 kB"),
            (9949, "9.9 kB"),
            (9950, "10 kB"),
            (82_854_982, "83 MB"),
            (10_450, "10 kB"),
            (11_450, "12 kB"),
            (999_449, "999 kB"),
            (999_499, "1000 kB"),
            (999_999, "1000 kB"),
            (1_000_000, "1.0 MB"),
            (1_000_000_000, "1.0 GB"),
            (1_000_000_000_000, "1.0 TB"),
            (1_000_000_000_000_000, "1.0 PB"),
            (1_000_000_000_000_000_000, "1.0 EB"),
            (u64::MAX, "18 EB"),
        ];
        for (size, expected) in rows {
            assert_eq!(shown(size), expected, "{size}");
        }
    }

    /// Scenario: all byte values.
    /// Guarantees: two lower-case digits each.
    #[test]
    fn hexadecimal() {
        assert_eq!(text(|out| hex(&[0x00, 0x0f, 0x9a, 0xff], out)), "000f9aff");
        assert_eq!(text(|out| hex(&[], out)), "");
    }

    proptest! {
        /// Scenario: any size.
        /// Guarantees: the text is off by no more than the two roundings allow.
        #[test]
        fn sizes_are_close(size in any::<u64>()) {
            let text = shown(size);
            let (number, unit) = text.split_once(' ').unwrap();
            let power = UNITS.iter().position(|known| *known == unit).unwrap();
            let value = number.parse::<f64>().unwrap() * 1000_f64.powi(i32::try_from(power).unwrap());
            prop_assert!((value - size as f64).abs() <= size as f64 * 0.055, "{size} {text}");
        }
    }
}
