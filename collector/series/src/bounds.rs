//! Histogram bounds, prepared so that finding a bucket costs a few instructions and imports cost one step a slot.

use std::sync::Arc;

/// The most buckets a histogram may have; far beyond use, it bounds memory against absurd configuration.
pub(crate) const MAX_BOUNDS: usize = 1024;

/// Upper bounds of buckets. A value lands in the first bucket whose bound is not less than it; past the last
/// bound it lands in the `+Inf` bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    raw: Arc<[f64]>,
    /// Each bound rounded down, so that integers compare exactly whatever their size.
    floors: Box<[i64]>,
    /// The bounds are 1, 2, 4, ... and a bucket is a bit position.
    powers_of_two: bool,
}

impl Bounds {
    /// Prepares `raw`, which must be finite and strictly growing.
    pub(crate) fn new(raw: Arc<[f64]>) -> Result<Self, &'static str> {
        if raw.len() > MAX_BOUNDS {
            return Err("has more than 1024 bucket bounds");
        }
        if raw.iter().any(|bound| !bound.is_finite()) {
            return Err("has a bucket bound that is not finite");
        }
        if !raw.is_sorted_by(|a, b| a < b) {
            return Err("has bucket bounds that are not strictly growing");
        }
        let floors = raw.iter().map(|bound| floor_to_i64(*bound)).collect();
        let powers_of_two =
            raw.len() <= 62 && raw.iter().enumerate().all(|(i, bound)| bits(*bound) == bits(power(i)));
        Ok(Self { raw, floors, powers_of_two })
    }

    /// The bounds as given.
    pub(crate) fn raw(&self) -> &[f64] {
        &self.raw
    }

    /// How many bounds there are; there is one bucket more.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The bucket of an integer.
    #[inline]
    pub(crate) fn bucket_of_int(&self, value: i64) -> usize {
        if self.powers_of_two {
            let bit = if value <= 1 { 0 } else { 64 - (value - 1).leading_zeros() as usize };
            return bit.min(self.raw.len());
        }
        if self.floors.len() <= 32 {
            // Counting without branches beats a search at this size.
            self.floors.iter().map(|bound| usize::from(*bound < value)).sum()
        } else {
            self.floors.partition_point(|bound| *bound < value)
        }
    }

    /// The bucket of a floating-point number; NaN lands in `+Inf`, which keeps the count true.
    #[inline]
    pub(crate) fn bucket_of_float(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.raw.len();
        }
        self.raw.partition_point(|bound| *bound < value)
    }
}

fn bits(value: f64) -> u64 {
    value.to_bits()
}

fn power(exponent: usize) -> f64 {
    2f64.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

/// The greatest integer not above `bound`, saturating; the cast saturates by definition.
#[expect(clippy::cast_possible_truncation, reason = "saturation at the ends of i64 is what is wanted")]
fn floor_to_i64(bound: f64) -> i64 {
    bound.floor() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slow(bounds: &[f64], value: f64) -> usize {
        bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len())
    }

    /// Scenario: bounds of every kind that gadgets use, values on and beside each bound.
    /// Guarantees: the fast paths agree with the definition.
    #[test]
    fn buckets_agree_with_the_definition_at_the_edges() {
        let sets: [Vec<f64>; 4] = [
            (0..27).map(|i| 2f64.powi(i)).collect(),
            vec![0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0],
            vec![-2.5, -1.0, 0.5, 1.5],
            (0..100).map(|i| f64::from(i) * 3.0).collect(),
        ];
        for set in sets {
            let bounds = Bounds::new(set.clone().into()).unwrap();
            for value in -10i64..5000 {
                assert_eq!(bounds.bucket_of_int(value), slow(&set, value as f64), "{value} in {set:?}");
                assert_eq!(bounds.bucket_of_float(value as f64 / 2.0), slow(&set, value as f64 / 2.0));
            }
            assert_eq!(bounds.bucket_of_int(i64::MAX), set.len());
            assert_eq!(bounds.bucket_of_int(i64::MIN), 0);
            assert_eq!(bounds.bucket_of_float(f64::NAN), set.len());
        }
    }

    #[test]
    fn unusable_bounds_are_refused() {
        assert!(Bounds::new(vec![1.0, 1.0].into()).is_err());
        assert!(Bounds::new(vec![2.0, 1.0].into()).is_err());
        assert!(Bounds::new(vec![f64::INFINITY].into()).is_err());
        assert!(Bounds::new(vec![f64::NAN].into()).is_err());
        assert!(Bounds::new(vec![0.0; 2000].into()).is_err());
        assert_eq!(Bounds::new(Vec::new().into()).unwrap().bucket_of_int(3), 0);
    }

    proptest! {
        #[test]
        fn powers_of_two_agree_with_the_definition(value in any::<i64>(), count in 1usize..62) {
            let set: Vec<f64> = (0..count).map(|i| 2f64.powi(i32::try_from(i).unwrap())).collect();
            let bounds = Bounds::new(set.clone().into()).unwrap();
            let expected = (0..count).find(|i| value <= 1i64 << i).unwrap_or(count);
            prop_assert_eq!(bounds.bucket_of_int(value), expected);
        }
    }
}
