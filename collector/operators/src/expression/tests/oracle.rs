//! Random expressions against another implementation of the language, the crate `expr-lang`, whose own tests hold it
//! against the original in Go.

use expr::{Context, Environment, Value};
use proptest::prelude::*;

use super::{Values, columns, record};
use crate::expression::{Expression, Scratch};

/// Whole numbers; small, because the original wraps around where ours are exact.
fn int() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (-5i32..50).prop_map(|number| if number < 0 { format!("({number})") } else { number.to_string() }),
        Just("pid".to_owned()),
        Just("ret".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(&["+", "-", "*", "%"]), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            inner.clone().prop_map(|value| format!("(-{value})")),
            inner.clone().prop_map(|value| format!("abs({value})")),
            (prop::sample::select(&["bitand", "bitor", "bitxor"]), inner.clone(), inner.clone())
                .prop_map(|(name, left, right)| format!("{name}({left}, {right})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, two, three)| format!("({one} > {two} ? {two} : {three})")),
            (prop::sample::select(&["min", "max"]), inner.clone(), inner)
                .prop_map(|(name, left, right)| format!("{name}({left}, {right})")),
        ]
    })
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![int(), Just("ratio".to_owned()), Just("1.5".to_owned()), Just("2e-1".to_owned())];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(&["+", "-", "*", "/"]), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            inner.prop_map(|value| format!("float({value})")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[ab]{0,3}".prop_map(|text| format!("'{text}'")),
        Just("comm".to_owned()),
        Just("proc.comm".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} + {right})")),
            (prop::sample::select(&["upper", "lower", "trim"]), inner.clone())
                .prop_map(|(name, text)| format!("{name}({text})")),
            (prop::sample::select(&["trimPrefix", "trimSuffix"]), inner.clone(), inner)
                .prop_map(|(name, left, right)| format!("{name}({left}, {right})")),
            int().prop_map(|value| format!("string({value})")),
        ]
    })
}

/// Conditions; those without parentheses show that precedence is the same.
fn condition() -> impl Strategy<Value = String> {
    let comparison = || prop::sample::select(&["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (number(), comparison(), number()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (text(), comparison(), text()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (text(), prop::sample::select(&["contains", "startsWith", "endsWith", "matches"]), "[ab]{0,2}")
            .prop_map(|(l, op, r)| format!("{l} {op} '{r}'")),
        (int(), prop::sample::select(&["in", "not in"]), int(), int())
            .prop_map(|(value, op, one, two)| format!("{value} {op} [{one}, {two}, 7]")),
        (text(), prop::sample::select(&["in", "not in"]), text())
            .prop_map(|(value, op, one)| format!("{value} {op} [{one}, 'a', 'ab']")),
        (int(), -3i32..3, 0i32..60).prop_map(|(value, start, end)| format!("{value} in {start}..{end}")),
        (prop::sample::select(&["all", "any", "none", "one"]), int(), comparison(), 0i32..9)
            .prop_map(|(name, value, op, other)| format!("{name}([1, {value}, 3], {{# {op} {other}}})")),
        Just("flag".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let joined = prop::sample::select(&["and", "or", "&&", "||"]);
        prop_oneof![
            (inner.clone(), joined.clone(), inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            (inner.clone(), joined, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            inner.clone().prop_map(|condition| format!("not ({condition})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// Arithmetic without parentheses, as people write it.
fn flat() -> impl Strategy<Value = String> {
    let operand = || prop::sample::select(&["1", "2", "3", "pid", "ret", "-2"]);
    let operator = prop::sample::select(&["+", "-", "*", "/", "**"]);
    let tail = prop::collection::vec((operator, operand()), 1..5);
    (operand(), tail, prop::sample::select(&["<", "==", ">"]), operand()).prop_map(
        |(first, tail, op, last)| {
            let tail: String =
                tail.iter().map(|(operator, operand)| format!(" {operator} {operand}")).collect();
            format!("{first}{tail} {op} {last}")
        },
    )
}

/// What the other implementation says; `None` where it has no verdict.
fn other(text: &str, values: &Values) -> Option<bool> {
    let comm = String::from_utf8(values.comm.clone()).unwrap();
    let mut context = Context::default();
    context.insert("comm", comm.clone());
    context.insert("proc", Value::Map([("comm".to_owned(), Value::String(comm))].into_iter().collect()));
    context.insert("pid", i64::from(values.pid));
    context.insert("ret", i64::from(values.ret));
    context.insert("ratio", values.ratio);
    context.insert("flag", values.flag);
    match Environment::new().eval(text, &context) {
        Ok(Value::Bool(verdict)) => Some(verdict),
        _ => None,
    }
}

fn ours(text: &str, values: &Values) -> Option<bool> {
    // The other side has no columns; its short names are fields of a group here.
    let text = text.replace("proc.comm", "comm").replace("comm", "proc.comm").replace("pid", "proc.pid");
    let expression = Expression::plan(&text, &columns()).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.keeps(&record(values, ""), &mut Scratch::default()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Scenario: random conditions of the kinds that filters are made of, over random records.
    /// Guarantees: all are planned, and the verdict, or that there is none, is the same on both sides.
    #[test]
    fn verdicts_agree(
        text in prop_oneof![3 => condition(), 1 => flat()],
        comm in "[abAB ]{0,6}",
        pid in 0u32..50,
        ret in -5i32..5,
        ratio in prop::sample::select(&[0.0, 0.2, -1.5, 1e9]),
        flag: bool,
    ) {
        let values = Values { comm: comm.into_bytes(), pid, ret, big: 0, ratio, flag };
        let (ours, other) = (ours(&text, &values), other(&text, &values));
        // The original makes an array whole before it looks into it; here an element that is not reached cannot fail.
        let is_lazy = other.is_none() && text.contains('[');
        prop_assert!(is_lazy || ours == other, "{}: {:?}, {:?}", text, ours, other);
    }
}
