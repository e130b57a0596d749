//! Names of enum values and of sets of bits.

use super::join;

/// Appends the name of the first enumerator equal to `value`, else `UNKNOWN`.
pub fn enum_name(value: u64, variants: &[(String, u64)], out: &mut String) {
    let known = variants.iter().find(|(_, known)| *known == value);
    out.push_str(known.map_or("UNKNOWN", |(name, _)| name));
}

/// Appends the names of all enumerators whose bits are all set in `value`, in order of declaration.
///
/// An enumerator of zero is in every set. A value that contains none appends nothing.
pub fn bit_set(value: u64, variants: &[(String, u64)], separator: &str, out: &mut String) {
    let contained = variants.iter().filter(|(_, bits)| value & bits == *bits);
    join(contained.map(|(name, _)| name.as_str()), separator, out);
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn variants(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    /// Scenario: values with one name, two names and no name.
    /// Guarantees: the first declared name is used; no name is `UNKNOWN`.
    #[test]
    fn enum_values_have_names() {
        let list = variants(&[("a", 0), ("b", 7), ("b_alias", 7), ("max", u64::MAX)]);
        let name = |value| text(|out| enum_name(value, &list, out));
        assert_eq!((name(0), name(7), name(1)), ("a".into(), "b".into(), "UNKNOWN".into()));
        assert_eq!(name(u64::MAX), "max");
        assert_eq!(text(|out| enum_name(0, &[], out)), "UNKNOWN");
    }

    /// Scenario: sets with single bits, combined bits, bits without a name, and a zero enumerator.
    /// Guarantees: an enumerator shows if all its bits are set; zero always shows; order is that of declaration.
    #[test]
    fn sets_list_their_bits() {
        let list = variants(&[("TOP", 1 << 63), ("RW", 3), ("R", 1), ("W", 2)]);
        let set = |value| text(|out| bit_set(value, &list, "|", out));
        assert_eq!(set(0), "");
        assert_eq!(set(2), "W");
        assert_eq!(set(3), "RW|R|W");
        assert_eq!(set(1 << 63 | 1 | 4), "TOP|R");
        let with_zero = variants(&[("NONE", 0), ("R", 1)]);
        assert_eq!(text(|out| bit_set(4, &with_zero, ", ", out)), "NONE");
        assert_eq!(text(|out| bit_set(1, &with_zero, ", ", out)), "NONE, R");
    }
}
