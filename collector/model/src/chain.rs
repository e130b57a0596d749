//! An error and its causes as text.
//!
//! Why it exists: errors name what failed and leave the cause in their source, so whoever shows one has to walk the
//! chain. One walk for all, so that a reason reads the same on the terminal, in the log and in a report.

use std::error::Error;

/// The causes of an error, nearest first; the error itself is none of them.
pub fn causes<'e>(error: &'e (dyn Error + 'e)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// An error and its causes in one line, `: ` between them.
///
/// A cause that an error already ends with is left out: not every library keeps its causes out of its messages.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt;

    use super::{causes, chain};

    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Told>>);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    /// Scenario: three errors, one caused by the other; the second repeats the third in its own message.
    /// Guarantees: the order is from outside to inside, and nothing is said twice.
    #[test]
    fn causes_follow_what_they_caused() {
        let last = Told("no such file", None);
        let middle = Told("failed to read `a`: no such file", Some(Box::new(last)));
        let error = Told("failed to load", Some(Box::new(middle)));
        assert_eq!(chain(&error), "failed to load: failed to read `a`: no such file");
        let all: Vec<String> = causes(&error).map(ToString::to_string).collect();
        assert_eq!(all, ["failed to read `a`: no such file", "no such file"]);
        assert_eq!(chain(&Told("alone", None)), "alone");
    }
}
