//! Numbers as text: integers exactly, floating point with the shortest digits that read back the same, laid out as
//! the reference's exporter does, because bucket bounds are label values and label values are identity.

/// Appends a floating-point number.
///
/// # Source
/// Go's `strconv.FormatFloat(f, 'g', -1, 64)`: exponent form with at least two exponent digits below 1e-4 and from
/// 1e6 on.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    // `{:e}` gives the shortest digits: `-1.048576e6`.
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        out.extend_from_slice(format!("{value}").as_bytes());
        return;
    }
    out.extend_from_slice(mantissa.as_bytes());
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    out.extend_from_slice(format!("{:02}", exponent.unsigned_abs()).as_bytes());
}

/// A bucket bound as text; OpenMetrics wants a number that is visibly a float.
pub(crate) fn bound(value: f64, open_metrics: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_float(&mut out, value);
    if open_metrics && !out.iter().any(|byte| matches!(byte, b'.' | b'e' | b'I' | b'N')) {
        out.extend_from_slice(b".0");
    }
    out
}

/// `raw * scale` without the last-digit noise of the multiplication: 1000 at a scale of 1e-9 is 1e-06.
pub(crate) fn scaled_bound(raw: f64, scale: f64) -> f64 {
    let product = raw * scale;
    let rounded: f64 = format!("{product:.14e}").parse().unwrap_or(product);
    if (rounded - product).abs() <= product.abs() * 4.0 * f64::EPSILON { rounded } else { product }
}

/// Appends an integer.
#[inline]
pub(crate) fn write_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_the_reference_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (1e-4, "0.0001"),
            (1e-6, "1e-06"),
            (1.5e-300, "1.5e-300"),
            (1e21, "1e+21"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(value), expected);
        }
        assert_eq!(bound(1.0, true), b"1.0");
        assert_eq!(bound(1e6, true), b"1e+06");
        assert_eq!(text(scaled_bound(1000.0, 1e-9)), "1e-06");
        assert_eq!(text(scaled_bound(64000.0, 1e-9)), "6.4e-05");
    }

    proptest! {
        #[test]
        fn floats_read_back_the_same(value in any::<f64>()) {
            let back: f64 = text(value).parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }
    }
}
