//! Expressions and records that were made to do harm.

use proptest::prelude::*;

use super::{Values, bash, columns, record, refusal, verdict};
use crate::expression::{Expression, MAX_DEPTH, Scratch, Trap};

/// Scenario: a megabyte of text, ten thousand parentheses, long chains, patterns that would fill memory, copies of copies.
/// Guarantees: each is refused with the bound it broke, or works; none takes the stack or much memory.
#[test]
fn bounds_hold() {
    let repeated = |text: &str, count| text.repeat(count);
    for (text, expected) in [
        (repeated("flag or ", 1 << 17), "more than 65536"),
        (repeated("(", 10_000) + "1" + &repeated(")", 10_000), "nests deeper than"),
        (repeated("-", 10_000) + "1 == 1", "nests deeper than"),
        (repeated("not ", 10_000) + "flag", "nests deeper than"),
        (repeated("[", 10_000), "nests deeper than"),
        (repeated("lower(", 10_000), "nests deeper than"),
        (repeated("flag ? flag : ", 4_000) + "flag", "nests deeper than"),
        (repeated("1 + ", 10_000) + "1 == 1", "nests deeper than"),
        (repeated("flag == ", 8_000) + "true", "nests deeper than"),
        ("proc".to_owned() + &repeated(".a", 20_000), "nests deeper than"),
        ("slots".to_owned() + &repeated("[0]", 20_000), "nests deeper than"),
        ("flag or 1 in [".to_owned() + &repeated("1,", 20_000) + "1]", "parts"),
        ("'' matches '(((a{100}){100}){100}){100}'".to_owned(), "bad regular expression"),
        (repeated("'' matches 'a' or ", 20) + "flag", "more than 16 regular expressions"),
    ] {
        let error = refusal(&text);
        assert!(error.contains(expected), "{}: {error}", &text[..30]);
        assert!(error.len() < 400, "the text is not repeated");
    }
    // Each level would double what is below it.
    let doubled = (0..30).fold("1".to_owned(), |inner, _| format!("(1 < {inner} < 2)"));
    assert!(refusal(&doubled).contains("too long to be used twice"));
    let doubled = (0..30).fold("flag".to_owned(), |inner, _| format!("({inner} ?: flag)"));
    assert!(refusal(&doubled).contains("too long to be used twice"));

    let most = MAX_DEPTH - 5;
    assert_eq!(verdict(&(repeated("(", most) + "flag" + &repeated(")", most)), &bash()), Ok(true));
    assert_eq!(verdict(&(repeated("flag and ", 5_000) + "flag"), &bash()), Ok(true));
    let numbers: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(verdict(&format!("proc.pid in [{}]", numbers.join(",")), &bash()), Ok(true));
}

/// Scenario: expressions that make text in a loop, and predicates in predicates.
/// Guarantees: a record gets a bounded amount of work and memory.
#[test]
fn work_for_one_record_is_bounded() {
    let made = "any(1..4096, len(upper('".to_owned() + &"a".repeat(1000) + "')) == 0)";
    assert_eq!(verdict(&made, &bash()), Err(Trap::TooMuchText));
    let nested = "any(1..1000, any(1..1000, any(1..1000, # == 0)))";
    assert_eq!(verdict(nested, &bash()), Err(Trap::TooManySteps));
}

/// Scenario: records with bytes that are no UTF-8 in text, and NULs in what is compared.
/// Guarantees: comparisons are bytewise, such bytes count as one character each, and nothing panics.
#[test]
fn text_is_bytes() {
    let values =
        Values { comm: b"\xff\xfeA\0zz".to_vec(), pid: 0, ret: 0, big: 0, ratio: f64::NAN, flag: false };
    let record = record(&values, "");
    for text in [
        "len(proc.comm) == 3",
        "proc.comm endsWith 'A'",
        "lower(proc.comm) endsWith 'a'",
        "trim(proc.comm) == proc.comm",
        "proc.comm matches 'A$'",
        "proc.comm > 'zzz'",
        "proc.comm != 'A' and proc.comm != \"A\\x00zz\"",
        "ip == '' and ip not in cidr('0.0.0.0/0', '::/0')",
        "ratio != ratio and not (ratio == ratio) and not (ratio < 1) and not (ratio >= 1)",
    ] {
        assert_eq!(verdict(text, &record), Ok(true), "{text}");
    }
}

proptest! {
    /// Scenario: any text, text of the language's own words in any order, and any bytes as a record.
    /// Guarantees: planning and evaluation end without a panic.
    #[test]
    fn anything_goes_without_a_panic(
        text in prop_oneof![
            ".{0,40}",
            prop::collection::vec(prop::sample::select(WORDS), 0..14).prop_map(|words| words.join(" ")),
        ],
        record in prop::collection::vec(any::<u8>(), 0..140),
    ) {
        match Expression::plan(&text, &columns()) {
            Ok(expression) => { let _verdict = expression.keeps(&record, &mut Scratch::default()); }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

const WORDS: &[&str] = &[
    "flag",
    "proc.comm",
    "proc.pid",
    "ret",
    "big",
    "ratio",
    "slots",
    "weights",
    "raw",
    "error",
    "ip",
    "1",
    "0",
    "-1",
    "2.5",
    "'a'",
    "nil",
    "true",
    "(",
    ")",
    "[",
    "]",
    ",",
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "and",
    "or",
    "not",
    "in",
    "matches",
    "contains",
    "..",
    "??",
    "?",
    ":",
    "|",
    "len(",
    "any(",
    "#",
    "cidr(",
    "int(",
    "lower(",
    "min(",
    "bitshl(",
    "{",
    "}",
    ".",
    "?.",
];
