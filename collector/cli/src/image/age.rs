//! How long ago something was, as people say it and as the Go project writes it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// The time since an RFC 3339 instant, such as `3 weeks ago`; `None` if the text is no such instant.
pub(super) fn since(created: &str, now: OffsetDateTime) -> Option<String> {
    let created = OffsetDateTime::parse(created, &Rfc3339).ok()?;
    Some(format!("{} ago", in_words((now - created).whole_seconds())))
}

fn in_words(seconds: i64) -> String {
    let hours = (seconds + HOUR / 2) / HOUR;
    let plural = |count: i64, unit: &str| format!("{count} {unit}");
    match seconds {
        ..1 => "less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => plural(seconds, "seconds"),
        MINUTE..120 => "about a minute".to_owned(),
        120..HOUR => plural(seconds / MINUTE, "minutes"),
        _ => match hours {
            ..=1 => "about an hour".to_owned(),
            2..48 => plural(hours, "hours"),
            48..336 => plural(hours / 24, "days"),
            336..1440 => plural(hours / 24 / 7, "weeks"),
            1440..17520 => plural(hours / 24 / 30, "months"),
            _ => plural(seconds / HOUR / 24 / 365, "years"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: instants on both sides of each border, in the future, with an offset, and text that is not an instant.
    /// Guarantees: the words are those of the Go project, in lower case.
    #[test]
    fn ages_are_in_words() {
        let now = OffsetDateTime::parse("2026-03-01T12:00:00Z", &Rfc3339).unwrap();
        for (created, words) in [
            ("2027-01-01T00:00:00Z", "less than a second ago"),
            ("2026-03-01T11:59:59Z", "1 second ago"),
            ("2026-03-01T11:59:01Z", "59 seconds ago"),
            ("2026-03-01T11:59:00Z", "about a minute ago"),
            ("2026-03-01T11:58:00Z", "2 minutes ago"),
            ("2026-03-01T11:00:00Z", "about an hour ago"),
            ("2026-03-01T12:00:00+02:00", "2 hours ago"),
            ("2026-02-27T12:00:00.5Z", "2 days ago"),
            ("2026-02-15T12:00:00Z", "2 weeks ago"),
            ("2025-12-31T12:00:00Z", "2 months ago"),
            ("2023-03-01T12:00:00Z", "3 years ago"),
        ] {
            assert_eq!(since(created, now).as_deref(), Some(words), "{created}");
        }
        for text in ["", "yesterday", "2026-03-01", "\u{1b}[2J"] {
            assert_eq!(since(text, now), None);
        }
    }
}
