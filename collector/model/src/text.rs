//! Small pieces of text that several crates must spell alike.

use std::borrow::Cow;
use std::fmt::Write as _;

const SECONDS_PER_DAY: i64 = 86_400;

/// Calendar date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Year of the proleptic Gregorian calendar.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// The date and time `seconds` after 1970-01-01 00:00:00, in the zone in which that instant is meant.
    pub fn from_unix(seconds: i64) -> Self {
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let rest = seconds.rem_euclid(SECONDS_PER_DAY);
        let small = |value: i64| u8::try_from(value).unwrap_or_default();
        Self {
            year,
            month: small(month),
            day: small(day),
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
        }
    }

    /// Appends `2026-01-02T03:04:05`, the part of RFC 3339 before fraction and zone.
    pub fn write_rfc3339(self, out: &mut String) {
        let Self { year, month, day, hour, minute, second } = self;
        // Writing to a string cannot fail.
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}").unwrap_or_default();
    }
}

/// Text of others (images, registries, files) as it can stand in a line on a terminal: with control characters, line
/// breaks and changes of direction spelled out.
pub fn printable(text: &str) -> Cow<'_, str> {
    spelled(text, is_printable)
}

/// The same for text of several lines, whose line breaks and tabs stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    spelled(text, |c| is_printable(c) || matches!(c, '\n' | '\t'))
}

fn spelled(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    Cow::Owned(out)
}

/// Neither a control character nor one that changes the direction of what follows.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `seconds` after the epoch as RFC 3339 in UTC: `2026-01-02T03:04:05Z`.
pub fn rfc3339_utc(seconds: i64) -> String {
    let mut out = String::with_capacity(20);
    DateTime::from_unix(seconds).write_rfc3339(&mut out);
    out.push('Z');
    out
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last day of a year and months have
/// a regular rhythm of 153 days in five.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let from_march = days + 719_468;
    let era = from_march.div_euclid(ERA);
    let of_era = from_march.rem_euclid(ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: text with escape sequences, C1 controls, line separators, tabs and changes of direction.
    /// Guarantees: all of it is spelled out, in text of several lines but for its breaks and tabs; other text stays.
    #[test]
    fn hostile_text_is_spelled_out() {
        let hostile = "a\u{1b}[2J\u{9b}2J\t\n\u{202e}\u{2028}<b>é";
        assert_eq!(printable(hostile), "a\\u{1b}[2J\\u{9b}2J\\t\\n\\u{202e}\\u{2028}<b>é");
        assert_eq!(printable_lines(hostile), "a\\u{1b}[2J\\u{9b}2J\t\n\\u{202e}\\u{2028}<b>é");
        assert!(matches!(printable("plain é"), Cow::Borrowed("plain é")));
    }

    /// Scenario: instants with known calendar dates: the epoch, leap days, century rules, before the epoch.
    /// Guarantees: each is spelled as expected.
    #[test]
    fn known_instants() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_767_323_045, "2026-01-02T03:04:05Z"),
            (18_446_744_073, "2554-07-21T23:34:33Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ];
        for (seconds, text) in rows {
            assert_eq!(rfc3339_utc(seconds), text);
        }
    }

    /// Scenario: every day of 900 years, and the ends of the range.
    /// Guarantees: each day follows the one before by the calendar's own rules; no value panics.
    #[test]
    fn days_follow_each_other() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1500, 1, 1);
        let first = -171_664;
        assert_eq!(civil(first), expected);
        for day in first..first + 900 * 365 {
            assert_eq!(civil(day), expected);
            let (year, month, date) = expected;
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, date) {
                (12, 31) => (year + 1, 1, 1),
                (_, date) if date == length => (year, month + 1, 1),
                _ => (year, month, date + 1),
            };
        }
        DateTime::from_unix(i64::MAX);
        DateTime::from_unix(i64::MIN);
    }
}
