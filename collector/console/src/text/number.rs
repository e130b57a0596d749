//! Numbers as text: integers at speed, floats as JavaScript and Go spell them.

use std::fmt::Write as _;

use ig_operators::Value;

/// Appends a float as ES6 does (Go's `encoding/json` follows it): the shortest digits that read back as the same
/// number, with an exponent below 1e-6 and from 1e21 on. Returns false, and appends nothing, for what is no number.
pub(crate) fn es6(value: f64, out: &mut String) -> bool {
    spell(value.is_finite(), value.abs() < 1e-6 || value.abs() >= 1e21, value == 0.0, &value, out)
}

/// Like [`es6`] for a single: `0.1`, where the double next to it would be `0.10000000149011612`.
pub(crate) fn es6_single(value: f32, out: &mut String) -> bool {
    spell(value.is_finite(), value.abs() < 1e-6 || value.abs() >= 1e21, value == 0.0, &value, out)
}

fn spell<T>(finite: bool, exponent: bool, zero: bool, value: &T, out: &mut String) -> bool
where
    T: std::fmt::Display + std::fmt::LowerExp,
{
    if !finite {
        return false;
    }
    if zero || !exponent {
        // Writing to a string cannot fail.
        write!(out, "{value}").unwrap_or_default();
        return true;
    }
    let start = out.len();
    write!(out, "{value:e}").unwrap_or_default();
    let digits = out.get(start..).and_then(|text| text.find('e')).map(|at| start + at + 1);
    if let Some(at) = digits
        && !out.get(at..).is_some_and(|rest| rest.starts_with('-'))
    {
        out.insert(at, '+');
    }
    true
}

/// Appends a float with a fixed number of decimals; what is no number is named as Go names it.
pub(crate) fn fixed(value: f64, precision: usize, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        write!(out, "{value:.precision$}").unwrap_or_default();
    }
}

/// Appends a number or a bool as documents spell it; anything else is left to the caller.
pub(crate) fn plain(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Unsigned(value) => integer(*value, out),
        Value::Signed(value) => integer(*value, out),
        Value::Float(value) if !es6(*value, out) => fixed(*value, 0, out),
        _ => {}
    }
}

/// Appends an integer.
pub(crate) fn integer(value: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends an integer with upper-case hexadecimal digits, as the reference's `columns.hex` does.
pub(crate) fn hex(negative: bool, magnitude: u64, out: &mut String) {
    let sign = if negative { "-" } else { "" };
    write!(out, "0x{sign}{magnitude:X}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = String::new();
        es6(value, &mut out);
        out
    }

    /// Scenario: floats around the limits where the spelling changes.
    /// Guarantees: the spellings of Go's `encoding/json`, known from its documentation and ES6.
    #[test]
    fn floats_are_spelled_as_in_es6() {
        let rows = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e300, "1.25e+300"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ];
        for (value, expected) in rows {
            assert_eq!(text(value), expected);
        }
        let mut single = String::new();
        assert!(es6_single(0.1, &mut single));
        assert_eq!(single, "0.1");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!es6(value, &mut String::new()));
        }
    }

    /// Scenario: any finite float.
    /// Guarantees: its text reads back as the very same number, also as JSON.
    #[test]
    fn floats_read_back() {
        proptest!(|(bits in any::<u64>())| {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text(value)).is_ok());
        });
    }
}
