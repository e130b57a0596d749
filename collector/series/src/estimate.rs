//! How many different keys were refused, estimated in one kibibyte: the keys themselves are what did not fit.

const REGISTERS: usize = 1024;

/// A HyperLogLog sketch: the standard error is about 3 %, small counts are near exact.
///
/// # Source
/// Flajolet, Fusy, Gandouet, Meunier: HyperLogLog, AofA 2007.
#[derive(Debug)]
pub(crate) struct Distinct {
    registers: Box<[u8; REGISTERS]>,
}

impl Distinct {
    pub(crate) fn new() -> Self {
        Self { registers: Box::new([0; REGISTERS]) }
    }

    /// Notes a 64-bit hash.
    pub(crate) fn add(&mut self, hash: u64) {
        let hash = mixed(hash);
        let rest = hash | 1 << 9; // bounds the rank: the low ten bits choose the register
        let rank = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
        let at = usize::try_from(hash % REGISTERS as u64).unwrap_or(0);
        if let Some(register) = self.registers.get_mut(at) {
            *register = rank.max(*register);
        }
    }

    /// The estimated number of different hashes.
    pub(crate) fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty: usize = self.registers.iter().map(|rank| usize::from(*rank == 0)).sum();
        let estimate = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
        rounded(estimate)
    }
}

/// Spreads every bit over the whole word, which the estimate needs and a hash made for tables does not promise.
///
/// # Source
/// The finalizer of MurmurHash3.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate is positive and far below 2^64")]
fn rounded(estimate: f64) -> u64 {
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near() {
        for count in [0u64, 1, 10, 1000, 100_000] {
            let mut distinct = Distinct::new();
            for _ in 0..2 {
                for i in 0..count {
                    distinct.add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                }
            }
            let estimate = distinct.estimate();
            // Three standard errors; a few, for small counts, may share a register.
            assert!(estimate.abs_diff(count) <= (count / 10).max(4), "{count} was estimated as {estimate}");
        }
    }
}
