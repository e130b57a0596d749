//! Variables of the environment, read by one rule: an empty one counts as unset.
//!
//! Why it exists: a unit file or a pod sets a variable to nothing in order to turn it off, and whoever forgets that takes
//! the empty text for a path, an address or a wish.

use std::ffi::OsString;

/// A variable of this process's environment; `None` if it is unset or empty.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The same as text; what is no UTF-8 is replaced, so that whoever reads it says what is wrong with it.
pub fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    /// Scenario: a variable that is not set, and one that cargo sets.
    /// Guarantees: what is there is read, and what is not is absent. The empty one is covered where variables are set, in
    /// the tests of the command.
    #[test]
    fn only_what_says_something_is_set() {
        assert_eq!(super::variable("IG_NO_SUCH_VARIABLE"), None);
        assert!(super::text("CARGO_MANIFEST_DIR").is_some_and(|folder| folder.ends_with("model")));
    }
}
