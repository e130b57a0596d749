//! Instants in a layout of the gadget's own, written as Go writes layouts: by the example of
//! `Mon Jan 2 15:04:05 MST 2006`.

use ig_model::text::DateTime;

use super::push;

const NANOS: u64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Longer layouts are cut; they come from images.
const MAX_LAYOUT: usize = 256;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A layout, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLayout {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Part(Part),
    /// Digits of a second behind this separator; trailing zeros are left out if it says so.
    Fraction {
        separator: char,
        digits: usize,
        trim: bool,
    },
}

/// A part of a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    MonthName,
    MonthShort,
    Month2,
    Month,
    WeekdayName,
    WeekdayShort,
    Day2,
    DaySpace,
    Day,
    DayOfYear,
    Hour24,
    Hour12Padded,
    Hour12,
    Minute2,
    Minute,
    Second2,
    Second,
    NoonUpper,
    NoonLower,
    ZoneName,
    /// Hours, then minutes if `minutes`, with a colon between if `colon`; `Z` for UTC if `zulu`.
    Zone {
        zulu: bool,
        minutes: bool,
        colon: bool,
    },
}

/// What is recognised, longest first where one begins another.
const PARTS: [(&str, Part); 28] = [
    ("2006", Part::Year),
    ("06", Part::YearOfCentury),
    ("January", Part::MonthName),
    ("Jan", Part::MonthShort),
    ("Monday", Part::WeekdayName),
    ("Mon", Part::WeekdayShort),
    ("MST", Part::ZoneName),
    ("002", Part::DayOfYear),
    ("01", Part::Month2),
    ("02", Part::Day2),
    ("03", Part::Hour12Padded),
    ("04", Part::Minute2),
    ("05", Part::Second2),
    ("15", Part::Hour24),
    ("_2", Part::DaySpace),
    ("1", Part::Month),
    ("2", Part::Day),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::NoonUpper),
    ("pm", Part::NoonLower),
    ("-07:00", Part::Zone { zulu: false, minutes: true, colon: true }),
    ("-0700", Part::Zone { zulu: false, minutes: true, colon: false }),
    ("-07", Part::Zone { zulu: false, minutes: false, colon: false }),
    ("Z07:00", Part::Zone { zulu: true, minutes: true, colon: true }),
    ("Z0700", Part::Zone { zulu: true, minutes: true, colon: false }),
    ("Z07", Part::Zone { zulu: true, minutes: false, colon: false }),
];

impl TimeLayout {
    /// Reads a layout; what is no part of a date or time stands for itself.
    pub fn parse(layout: &str) -> Self {
        let end = layout.char_indices().nth(MAX_LAYOUT).map_or(layout.len(), |(at, _)| at);
        let mut rest = layout.get(..end).unwrap_or_default();
        let mut pieces = Vec::new();
        while let Some(first) = rest.chars().next() {
            let len = if let Some((text, part)) = part(rest) {
                pieces.push(Piece::Part(part));
                text.len()
            } else if let Some((digits, trim)) = fraction(rest) {
                pieces.push(Piece::Fraction { separator: first, digits, trim });
                1 + digits
            } else {
                match pieces.last_mut() {
                    Some(Piece::Literal(text)) => text.push(first),
                    _ => pieces.push(Piece::Literal(first.to_string())),
                }
                first.len_utf8()
            };
            rest = rest.get(len..).unwrap_or_default();
        }
        Self { pieces }
    }

    /// Appends an instant.
    ///
    /// # Units
    /// `unix_ns` is in nanoseconds since 1970-01-01 UTC, `offset` in seconds east of UTC.
    pub fn write(&self, unix_ns: u64, offset: i32, out: &mut String) {
        let seconds = i64::try_from(unix_ns / NANOS).unwrap_or(i64::MAX).saturating_add(offset.into());
        let date = DateTime::from_unix(seconds);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Part(part) => part.write(date, seconds, offset, out),
                Piece::Fraction { separator, digits, trim } => {
                    write_fraction(unix_ns % NANOS, *separator, *digits, *trim, out);
                }
            }
        }
    }
}

fn part(rest: &str) -> Option<(&'static str, Part)> {
    let (text, part) = PARTS.iter().find(|(text, _)| rest.starts_with(text))?;
    // `Month` and `Janitor` hold no parts.
    let goes_on =
        rest.get(text.len()..).is_some_and(|after| after.starts_with(|c: char| c.is_ascii_lowercase()));
    if matches!(part, Part::MonthShort | Part::WeekdayShort) && goes_on { None } else { Some((text, *part)) }
}

/// Digits behind a separator and whether trailing zeros are left out: `.000`, `,999`.
fn fraction(rest: &str) -> Option<(usize, bool)> {
    let after = rest.strip_prefix(['.', ','])?;
    let digit = after.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let digits = after.chars().take_while(|other| *other == digit).count();
    let ends = !after.get(digits..).is_some_and(|more| more.starts_with(|c: char| c.is_ascii_digit()));
    (ends && digits <= 9).then_some((digits, digit == '9'))
}

fn write_fraction(nanoseconds: u64, separator: char, digits: usize, trim: bool, out: &mut String) {
    let start = out.len();
    out.push(separator);
    push(out, format_args!("{nanoseconds:09}"));
    out.truncate(start + separator.len_utf8() + digits);
    if trim {
        out.truncate(out.trim_end_matches('0').len());
        if out.len() == start + separator.len_utf8() {
            out.truncate(start);
        }
    }
}

impl Part {
    fn write(self, date: DateTime, seconds: i64, offset: i32, out: &mut String) {
        let hour12 = if date.hour.is_multiple_of(12) { 12 } else { date.hour % 12 };
        let month = MONTHS.get(usize::from(date.month).saturating_sub(1)).copied().unwrap_or_default();
        let weekday = seconds.div_euclid(SECONDS_PER_DAY).saturating_add(4).rem_euclid(7);
        let weekday =
            usize::try_from(weekday).ok().and_then(|day| DAYS.get(day)).copied().unwrap_or_default();
        match self {
            Self::Year => push(out, format_args!("{:04}", date.year)),
            Self::YearOfCentury => push(out, format_args!("{:02}", date.year.rem_euclid(100))),
            Self::MonthName => out.push_str(month),
            Self::MonthShort => out.push_str(month.get(..3).unwrap_or_default()),
            Self::Month2 => push(out, format_args!("{:02}", date.month)),
            Self::Month => push(out, format_args!("{}", date.month)),
            Self::WeekdayName => out.push_str(weekday),
            Self::WeekdayShort => out.push_str(weekday.get(..3).unwrap_or_default()),
            Self::Day2 => push(out, format_args!("{:02}", date.day)),
            Self::DaySpace => push(out, format_args!("{:2}", date.day)),
            Self::Day => push(out, format_args!("{}", date.day)),
            Self::DayOfYear => push(out, format_args!("{:03}", day_of_year(date))),
            Self::Hour24 => push(out, format_args!("{:02}", date.hour)),
            Self::Hour12Padded => push(out, format_args!("{hour12:02}")),
            Self::Hour12 => push(out, format_args!("{hour12}")),
            Self::Minute2 => push(out, format_args!("{:02}", date.minute)),
            Self::Minute => push(out, format_args!("{}", date.minute)),
            Self::Second2 => push(out, format_args!("{:02}", date.second)),
            Self::Second => push(out, format_args!("{}", date.second)),
            Self::NoonUpper => out.push_str(if date.hour < 12 { "AM" } else { "PM" }),
            Self::NoonLower => out.push_str(if date.hour < 12 { "am" } else { "pm" }),
            Self::ZoneName if offset == 0 => out.push_str("UTC"),
            Self::ZoneName => write_zone(offset, offset % 3600 != 0, false, out),
            Self::Zone { zulu: true, .. } if offset == 0 => out.push('Z'),
            Self::Zone { minutes, colon, .. } => write_zone(offset, minutes, colon, out),
        }
    }
}

fn write_zone(offset: i32, minutes: bool, colon: bool, out: &mut String) {
    let total = offset.unsigned_abs() / 60;
    push(out, format_args!("{}{:02}", if offset < 0 { '-' } else { '+' }, total / 60));
    if minutes {
        push(out, format_args!("{}{:02}", if colon { ":" } else { "" }, total % 60));
    }
}

fn day_of_year(date: DateTime) -> u16 {
    const BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    let before = BEFORE.get(usize::from(date.month).saturating_sub(1)).copied().unwrap_or_default();
    before + u16::from(date.day) + u16::from(leap && date.month > 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text;
    use super::*;

    fn shown(layout: &str, unix_ns: u64, offset: i32) -> String {
        text(|out| TimeLayout::parse(layout).write(unix_ns, offset, out))
    }

    /// Scenario: the layouts that Go names, and parts that stand alone.
    /// Guarantees: each is written as Go writes it.
    #[test]
    fn layouts() {
        // Friday 2 January 2026, 02:04:05 UTC
        let at = 1_767_319_445_120_000_001;
        let rows = [
            ("2006-01-02T15:04:05.999999999Z07:00", "2026-01-02T02:04:05.120000001Z"),
            ("2006-01-02T15:04:05.999Z07:00", "2026-01-02T02:04:05.12Z"),
            ("Mon Jan _2 15:04:05 MST 2006", "Fri Jan  2 02:04:05 UTC 2026"),
            ("Monday, 02-Jan-06 15:04:05", "Friday, 02-Jan-26 02:04:05"),
            ("3:04PM", "2:04AM"),
            ("03:4:5 pm", "02:4:5 am"),
            ("15:04:05,000", "02:04:05,120"),
            ("January 2 002 -0700 -07", "January 2 002 +0000 +00"),
            ("at hour 15h", "at hour 02h"),
            ("Month Janx é", "Month Janx é"),
        ];
        for (layout, expected) in rows {
            assert_eq!(shown(layout, at, 0), expected, "{layout}");
        }
        assert_eq!(shown("15:04:05.999", 1_000_000_000, 0), "00:00:01", "nothing behind the point");
        assert_eq!(shown("15:04 -07:00 MST", 0, -12_600), "20:30 -03:30 -0330");
        assert_eq!(shown("002", 1_735_603_200_000_000_000, 0), "366", "31 December 2024");
    }

    proptest! {
        /// Scenario: any text as a layout, any instant.
        /// Guarantees: no panic; letters that are no part are kept.
        #[test]
        fn any_layout(layout in ".{0,300}", at in any::<u64>(), offset in -50_000..50_000_i32) {
            shown(&layout, at, offset);
            prop_assert_eq!(shown("über", at, offset), "über");
        }
    }
}
