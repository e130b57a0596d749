//! "Did you mean": the candidate closest to what somebody typed.

/// Longest name that is compared; nobody mistypes a key of this length, and the comparison is quadratic.
const LONGEST: usize = 128;

/// Returns the candidate nearest to `name`, or `None` when nothing is close enough to be a likely typo.
///
/// Case and separators count for nothing, so that `insecureRegistries` and `insecure_registries` both find
/// `insecure-registries`; otherwise about one slip per three letters is forgiven. Among equals the first
/// candidate wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let typed = fold(name);
    if typed.is_empty() {
        return None;
    }
    let limit = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::osa_distance(&typed, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Drops what people vary without meaning anything by it.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: [&str; 4] = ["insecure-registries", "allowed-gadgets", "pull", "verify"];

    #[test]
    fn finds_slips_cases_and_separators() {
        assert_eq!(nearest("insecureRegistries", KEYS), Some("insecure-registries"));
        assert_eq!(nearest("allowed_gadget", KEYS), Some("allowed-gadgets"));
        assert_eq!(nearest("pul", KEYS), Some("pull"));
        assert_eq!(nearest("verfiy", KEYS), Some("verify"));
        assert_eq!(nearest("conter", ["counter", "gauge", "histogram"]), Some("counter"));
    }

    #[test]
    fn stays_silent_when_nothing_is_near() {
        assert_eq!(nearest("registry", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest("-_-", KEYS), None);
        assert_eq!(nearest("x", ["a", "b"]), None, "a one-letter slip must keep a letter");
        assert_eq!(nearest(&"pull".repeat(1000), KEYS), None);
    }
}
