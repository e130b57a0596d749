//! Expressions against records, compared with what the expression says in words.

mod hostile;
mod oracle;

use std::{path::Path, sync::Arc};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, kind::Scalar};

use super::{Expression, Scratch, Trap};
use crate::{
    column::{Columns, FormatContext},
    format::Accounts,
};

/// Bytes of a record.
const SIZE: usize = 128;

fn columns() -> Columns {
    let field = |name: &str, kind, offset, size, types: &[&str]| Field {
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Field::new(name, kind, offset, size)
    };
    let below = |parent, full_name: &str, field: Field| Field {
        parent: Some(parent),
        full_name: full_name.to_owned(),
        ..field
    };
    let fields = vec![
        field("proc", FieldKind::Bytes, 0, 20, &[]),
        below(0, "proc.comm", field("comm", FieldKind::CString, 0, 16, &[])),
        below(0, "proc.pid", field("pid", FieldKind::Uint32, 16, 4, &[])),
        field("ret", FieldKind::Int32, 20, 4, &[]),
        field("big", FieldKind::Uint64, 24, 8, &[]),
        field("ratio", FieldKind::Float64, 32, 8, &[]),
        field("flag", FieldKind::Bool, 40, 1, &[]),
        field("error_raw", FieldKind::Uint32, 44, 4, &["gadget_errno"]),
        field("ip", FieldKind::CString, 48, 40, &[]),
        field("slots", FieldKind::Array(Scalar::Uint(4)), 88, 16, &[]),
        field("raw", FieldKind::Bytes, 104, 2, &[]),
        field("in", FieldKind::Uint8, 106, 1, &[]),
        field("weights", FieldKind::Array(Scalar::Float(8)), 112, 16, &[]),
    ];
    let origin = Origin::Tracer { map: "events".into() };
    let source = DataSource { fields, ..DataSource::new("events", SourceKind::Single, origin, SIZE) };
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

/// What the fields of a record are, those that tests vary.
#[derive(Clone, Debug)]
struct Values {
    comm: Vec<u8>,
    pid: u32,
    ret: i32,
    big: u64,
    ratio: f64,
    flag: bool,
}

fn record(values: &Values, ip: &str) -> Vec<u8> {
    let mut bytes = values.comm.clone();
    bytes.resize(16, 0);
    bytes.extend(values.pid.to_ne_bytes());
    bytes.extend(values.ret.to_ne_bytes());
    bytes.extend(values.big.to_ne_bytes());
    bytes.extend(values.ratio.to_ne_bytes());
    bytes.extend([u8::from(values.flag), 0, 0, 0]);
    bytes.extend(2u32.to_ne_bytes());
    bytes.extend(ip.as_bytes());
    bytes.resize(88, 0);
    bytes.extend([1u32, 2, 3, 40].map(u32::to_ne_bytes).concat());
    bytes.extend([0xab, 0xcd, 7, 0, 0, 0, 0, 0]);
    bytes.extend([0.5, 1.5].map(f64::to_ne_bytes).concat());
    bytes
}

/// comm `bash`, pid 42, ret -1, big 2^64-1, ratio 0.25, flag, ENOENT, ip 10.1.2.3, slots 1 2 3 40
fn bash() -> Vec<u8> {
    let values = Values { comm: b"bash".to_vec(), pid: 42, ret: -1, big: u64::MAX, ratio: 0.25, flag: true };
    record(&values, "10.1.2.3")
}

fn verdict(text: &str, record: &[u8]) -> Result<bool, Trap> {
    let expression = Expression::plan(text, &columns()).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.keeps(record, &mut Scratch::default())
}

fn refusal(text: &str) -> String {
    Expression::plan(text, &columns()).unwrap_err().to_string()
}

/// Scenario: each literal, operator and function on a record with known values.
/// Guarantees: the verdict is what expr-lang's is, or for whole numbers of 64 bits what arithmetic says.
#[test]
fn expressions_mean_what_they_say() {
    let bash = bash();
    for text in [
        "proc.comm == 'bash'",
        r#"proc["comm"] == "bash""#,
        "proc?.comm == `bash`",
        r#"$env["in"] == 7 and $env.proc.pid == 42"#,
        "proc.comm != 'bas' and proc.comm != 'bash2'",
        "proc.comm > 'a' && proc.comm < 'c' || false",
        "proc.pid == 42 and proc.pid == 0x2a and proc.pid == 0b10_1010 and proc.pid == 0o52 and proc.pid == 4.2e1",
        "40 < proc.pid <= 42 < 43.5",
        "ret == -1 and ret < 0 and -ret == 1 and +ret == -1",
        "big == 18446744073709551615 and big > 9223372036854775807 and big + 1 > big",
        "ratio == .25 and ratio * 4 == 1 and ratio < 1",
        "flag and flag == true and not (flag != true) and !false",
        "proc.pid + 1 * 2 == 44 and (proc.pid + 1) * 2 == 86 and 7 % 4 == 3 and -7 % 4 == -3",
        "-2 ** 2 == -4 and 2 ** 3 ** 2 == 512 and 2 ^ -1 == 0.5",
        "5 / 2 == 2.5 and 1 / 0 > big and string(1 / 0) == '+Inf'",
        "true or false and false",
        "not (true and false)",
        "proc.pid in [1, 42] and proc.pid not in [1, 2] and proc.pid in 40..50 and 1.0 in [1, 2]",
        "proc.pid in [1, proc.pid] and 3 in slots and 4 not in slots and 1 not in [] and 1 + 1..2 + 2 == nil or true",
        "proc.comm in ['sh', 'bash'] and 'x' not in [proc.comm, 'y']",
        "proc.comm matches '^ba.h$' and proc.comm matches 'a' and proc.comm not matches `^B` and proc.comm matches '(?i)^BA'",
        "proc.comm contains 'as' and proc.comm startsWith 'ba' and proc.comm endsWith 'sh' and proc.comm not contains 'x'",
        "proc.comm contains '' and hasPrefix(proc.comm, 'b') and hasSuffix(proc.comm, 'h')",
        "error == 'ENOENT' and error_raw == 2",
        "raw == 'abcd'",
        "proc.comm + '!' == 'bash!' and upper(proc.comm) == 'BASH' and lower('ÄB' + proc.comm) == 'äbbash'",
        "trim('  ' + proc.comm + '\\t') == proc.comm and trimPrefix(proc.comm, 'ba') == 'sh' and trimSuffix('x.sh', '.sh') == 'x'",
        "len(proc.comm) == 4 and len('é🙂') == 2 and len(slots) == 4 and len([1, 2]) == 2 and len(3..5) == 3 and len(5..3) == 0",
        "int('42') == proc.pid and int(2.9) == 2 and float('1.5') == 1.5 and float(2) == 2 and string(proc.pid) == '42'",
        "string(1e21) == '1e+21' and string(0.00001) == '1e-05' and string(1.0) == '1' and string(flag) == 'true'",
        "abs(ret) == 1 and abs(-1.5) == 1.5 and ceil(1.2) == 2 and floor(-1.5) == -2 and round(2.5) == 3",
        "min(3, 1, 2) == 1 and max(ratio, 2) == 2 and max(slots) == 40 and sum(slots) == 46 and sum([]) == 0 and min(weights) == .5",
        "bitand(proc.pid, 2) == 2 and bitor(8, 1) == 9 and bitxor(3, 1) == 2 and bitnot(0) == -1 and bitnand(7, 2) == 5",
        "bitshl(1, 40) == 1099511627776 and bitshr(-8, 1) == -4 and bitushr(-5, 2) == 4611686018427387902",
        "slots[0] == 1 and slots[-1] == 40 and weights[1] == 1.5 and ['a', 'b'][1] == 'b'",
        "any(slots, # > 39) and all(slots, {# > 0}) and none(slots, # == 5) and one(slots, # % 2 == 1 and # > 1)",
        "count(slots, # > 1) == 3 and any(['x', 'ba'], proc.comm startsWith #) and all([], # > 1)",
        "any(slots, any(1..5, # == 4)) and all(1..3, {# in slots})",
        "slots[9] == nil and slots[0] != nil and (slots[9] ?? 5) == 5 and nil == nil and (slots[0] ?? 5) == 1",
        "(flag ? proc.pid : 0) == 42 and (flag ?: false) and (ret > 0 ? 'x' : ret < 0 ? 'y' : 'z') == 'y'",
        "proc.comm | upper() | hasPrefix('BA')",
        "ip in cidr('192.168.0.0/16', '10.0.0.0/8') and CidrMatches(ip, '10.1.2.3/32') and ip not in cidr('10.2.0.0/16')",
        "'::1' in cidr('::/0') and '::1' not in cidr('0.0.0.0/0') and '::ffff:10.0.0.1' in cidr('10.0.0.0/8')",
        "proc.comm not in cidr('0.0.0.0/0')",
        "proc.comm /* the name */ == 'bash' // as seen",
        r#""\x41\u00e9\U0001F642\101\n" == 'Aé🙂A' + "\n""#,
        "PROC.COMM == 'bash'",
    ] {
        assert_eq!(verdict(text, &bash), Ok(true), "{text}");
        assert_eq!(verdict(&format!("not ({text}\n)"), &bash), Ok(false), "{text}");
    }
}

/// Scenario: expressions that are wrong, in syntax, names, kinds or by what a filter does not have.
/// Guarantees: each refusal says where and what would be right.
#[test]
fn wrong_expressions_are_named() {
    let mut unexpected = Vec::new();
    for (text, expected) in [
        ("", "column 1: the expression ends where a value is expected"),
        ("proc.comm = 'x'", "column 11, at `= 'x'`: unexpected `=`; equality is `==`"),
        (
            "proc.comn == 'x'",
            "column 1, at `proc.comn == 'x'`: data source `events` has no field `proc.comn`; did you mean `proc.comm`?",
        ),
        ("proc.comm == cat", "text stands in quotes, as \"cat\""),
        ("proc.comm matches cat", "text stands in quotes, as \"cat\""),
        ("pid == 1", "data source `events` has no field `pid` (it has: big,"),
        (
            "flag and\n  proc == 1",
            "line 2, column 3, at `proc == 1`: `proc` is a group without a value of its own (it has: comm, pid)",
        ),
        ("proc.comm == 42", "column 11, at `== 42`: cannot compare text and a whole number"),
        ("error == 2", "the number of `error` is `error_raw`"),
        ("flag > true", "conditions have no order"),
        ("flag == 1", "cannot compare true or false and a whole number"),
        ("not proc.pid == 1", "`not` binds tighter than a comparison"),
        ("proc.pid", "it gives a whole number, not true or false"),
        ("proc.comm and flag", "a condition is needed here, not text"),
        ("proc.pid in ['a']", "a whole number cannot be in an array of texts"),
        ("'a' in proc.comm", "part of a text is `text contains part`"),
        ("proc.pid in [1, 'a']", "an array has text and numbers"),
        ("proc.pid in cidr('10.0.0.0/8')", "text of an address is in networks"),
        ("ip in cidr('10.0.0.0')", "no network; expected one like 10.0.0.0/8"),
        ("ip in cidr('10.0.0.0/33')", "number of bits from 0 to 32"),
        ("ip in cidr('10.0.0/8')", "does not start with an address"),
        ("ip in cidr(ip)", "must be written out"),
        ("proc.comm matches ip", "the pattern of `matches` must be written out"),
        ("proc.comm matches '('", "column 19, at `'('`: bad regular expression"),
        ("proc.pid matches '4'", "`matches` works on text, not on a whole number and text"),
        ("proc.comm contains 4", "text is looked for in text"),
        ("proc.comm + 1 == ''", "`+` adds numbers or joins texts, not text and a whole number"),
        ("1.5 % 2 == 1", "`%` needs whole numbers"),
        ("# == 1", "`#` is an element"),
        ("any(slots, #index == 1)", "`#index` is not supported"),
        ("any(slots)", "any() needs an array and a condition"),
        ("any(proc.comm, # == 1)", "any() needs an array, not text"),
        ("proc.pid[0] == 1", "only arrays have elements, not a whole number"),
        (
            "map(slots, # + 1) == 1",
            "column 1, at `map(slots, # + 1) == 1`: map() is not supported in a filter",
        ),
        ("lowr(proc.comm) == ''", "there is no function lowr(); did you mean `lower`?"),
        ("lower() == ''", "lower() does not take 0 arguments"),
        ("len(proc.pid) == 1", "only text and arrays have a length"),
        ("proc.comm.size() == 1", "values have no methods"),
        ("let x = 1; x == 1", "variables are not supported"),
        ("if flag {true} else {false}", "write `condition ? this : that`"),
        ("{a: 1} == nil", "maps are not supported"),
        ("proc.comm[0:2] == 'ba'", "slices `[a:b]` are not supported"),
        ("flag ? 1", "the expression ends here: expected `:`"),
        ("(flag", "expected `)`"),
        ("[1, 2", "expected `,` or `]` at the end of the array"),
        ("1 ?? 2 + 1 == 3", "`??` and `+` side by side need parentheses"),
        ("(flag ? 1 : 'a') == 1", "cannot choose between a whole number and text"),
        ("flag flag", "unexpected `flag`"),
        ("flag & flag", "`and` joins conditions"),
        ("proc.comm ~ 'x'", "`matches` searches"),
        ("'abc", "the text has no closing '"),
        ("`abc", "no closing `"),
        (r"'\d' == ''", r"`\d` is no escape; a backslash is `\\`"),
        (r"'\xg0' == ''", r"`\x` is not followed by 2 digits"),
        (r"'\ud800' == ''", r"`\u` is not followed"),
        ("/* x", "the comment has no end"),
        ("12a == 1", "`12a` is no number"),
        ("99999999999999999999 == 1", "the largest is 18446744073709551615"),
        ("1e999 == 1", "is no number"),
        ("proc.pid == \u{1}", r"`\u{1}` starts nothing"),
    ] {
        let error = refusal(text);
        if !(error.starts_with("filter expression: ") && error.contains(expected)) {
            unexpected.push(format!("{text}: {error}"));
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

/// Scenario: values that have no result: a remainder by zero, text that is no number, elements that are not there.
/// Guarantees: there is no verdict and the reason is named; parts that are not reached do no harm.
#[test]
fn failures_have_no_verdict() {
    let bash = bash();
    for (text, expected) in [
        ("1 % (proc.pid - 42) == 0", Trap::DivisionByZero),
        ("1 % 0 == 0", Trap::DivisionByZero),
        ("int(proc.comm) == 0", Trap::Conversion),
        ("float('x') == 0", Trap::Conversion),
        ("int(1 / 0) == 0", Trap::Conversion),
        ("slots[4] == 1", Trap::Missing),
        ("slots[-5] == 1", Trap::Missing),
        ("min([]) == 1", Trap::Missing),
        ("bitshl(1, 64) == 1", Trap::Overflow),
        ("big * big * big * big == 0", Trap::Overflow),
        ("any(1..1000000000000, # == 0)", Trap::TooManySteps),
    ] {
        assert_eq!(verdict(text, &bash), Err(expected), "{text}");
    }
    assert_eq!(verdict("flag or int(proc.comm) == 0", &bash), Ok(true));
    assert_eq!(verdict("proc.pid in 1..1000000000000", &bash), Ok(true));
    assert_eq!(verdict("proc.pid == 42", &bash[..18]), Err(Trap::Missing));
    assert_eq!(verdict("(proc.pid ?? 7) == 7 and proc.pid == nil", &bash[..18]), Ok(true));
}

/// Scenario: two expressions of which both must hold.
/// Guarantees: a record is kept exactly where both are true.
#[test]
fn expressions_join() {
    let plan = |text| Expression::plan(text, &columns()).unwrap();
    for (left, right) in [(true, true), (true, false), (false, true), (false, false)] {
        let both = plan(if left { "proc.pid == 42" } else { "false" }).and(plan(if right {
            "flag"
        } else {
            "ret == 0"
        }));
        assert_eq!(both.keeps(&bash(), &mut Scratch::default()), Ok(left && right));
    }
}
