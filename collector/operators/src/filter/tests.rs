//! Rules against records, compared with what the rule says in words.

use std::sync::Arc;

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind};
use proptest::prelude::*;

use super::{Filter, Scratch};
use crate::{
    column::{Columns, FormatContext},
    format::Accounts,
};

/// comm[8] @0, pid u32 @8, ret i32 @12, flag bool @16, error_raw (errno) u32 @20
fn columns() -> Columns {
    let field = |name: &str, kind, offset, size, types: &[&str]| Field {
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Field::new(name, kind, offset, size)
    };
    let origin = Origin::Tracer { map: "events".into() };
    let source = DataSource {
        fields: vec![
            field("comm", FieldKind::CString, 0, 8, &[]),
            field("pid", FieldKind::Uint32, 8, 4, &[]),
            field("ret", FieldKind::Int32, 12, 4, &[]),
            field("flag", FieldKind::Bool, 16, 1, &[]),
            field("error_raw", FieldKind::Uint32, 20, 4, &["gadget_errno"]),
        ],
        ..DataSource::new("events", SourceKind::Single, origin, 24)
    };
    let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
    Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

fn record(comm: &str, pid: u32, ret: i32, flag: bool, error: u32) -> Vec<u8> {
    let mut bytes = comm.as_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend(pid.to_ne_bytes());
    bytes.extend(ret.to_ne_bytes());
    bytes.extend([u8::from(flag), 0, 0, 0]);
    bytes.extend(error.to_ne_bytes());
    bytes
}

fn keeps(rule: &str, record: &[u8]) -> bool {
    Filter::plan(rule, &columns()).unwrap().keeps(record, &mut Scratch::default())
}

/// Scenario: rules with blanks around the operator, the comma and at both ends.
/// Guarantees: they mean what they mean without.
#[test]
fn blanks_around_an_operator_mean_nothing() {
    let bash = record("bash", 42, -1, true, 2);
    for rule in [
        "comm == bash",
        " comm ==bash",
        "comm== bash ",
        "comm == bash , pid >= 42",
        "comm ~ ^ba",
        "ret == -1",
    ] {
        assert!(keeps(rule, &bash), "{rule}");
    }
    assert!(!keeps("comm == bas", &bash));
}

/// Scenario: what belongs into a filter expression is written into a rule.
/// Guarantees: an error says so, instead of a filter that never keeps anything.
#[test]
fn quotes_and_conjunctions_are_refused() {
    for (rule, expected) in [
        ("comm == \"bash\"", "a value has no quotes here: write `bash`"),
        ("comm=='bash'", "a value has no quotes here: write `bash`"),
        ("comm==bash && pid==1", "rules are joined by commas"),
    ] {
        let error = Filter::plan(rule, &columns()).unwrap_err().to_string();
        assert!(error.contains(expected), "{rule}: {error}");
    }
}

/// Scenario: each operator on each kind of field.
/// Guarantees: it holds exactly when it says so.
#[test]
fn rules_mean_what_they_say() {
    let bash = record("bash", 42, -1, true, 2);
    for rule in [
        "comm==bash",
        "comm=bash",
        "comm!=sh",
        "comm>a",
        "comm<c",
        "comm~^ba.h$",
        "comm!~sh.",
        "pid==42",
        "pid>=42",
        "pid<43",
        "pid!=7",
        "ret<0",
        "ret>=-1",
        "flag==true",
        "flag!=false",
        "flag=1",
        "error==ENOENT",
        "error_raw==2",
        "comm==bash,pid==42,ret==-1",
        "COMM==bash",
        "",
    ] {
        assert!(keeps(rule, &bash), "{rule}");
    }
    for rule in [
        "comm!=bash",
        "comm==bas",
        "pid>42",
        "ret>0",
        "flag==false",
        "error==EPERM",
        "comm==bash,pid==1",
        "comm~^sh",
    ] {
        assert!(!keeps(rule, &bash), "{rule}");
    }
    assert!(keeps(r"comm==a\,b", &record("a,b", 0, 0, false, 0)));
}

/// Scenario: rules that are wrong.
/// Guarantees: each error names the rule and what would be right.
#[test]
fn wrong_rules_are_named() {
    for (rule, expected) in [
        ("comm", "no operator"),
        ("comm==", "no value"),
        ("com==x", "did you mean `comm`"),
        ("pid==x", "`x` is no uint32"),
        ("pid==4294967296", "uint32"),
        ("pid~4", "is a number"),
        ("flag>true", "only == and !="),
        ("flag==maybe", "no bool"),
        ("comm~(", "regular expression"),
        ("comm~(((a{100}){100}){100}){100}", "regular expression"),
        ("comm!x", "does not start with"),
    ] {
        let error = Filter::plan(rule, &columns()).unwrap_err();
        assert_eq!(error.rule, rule);
        assert!(error.reason.contains(expected), "{rule}: {}", error.reason);
    }
}

/// Scenario: any text as a rule, any bytes as a record, of any length.
/// Guarantees: planning and filtering end without a panic.
#[test]
fn anything_goes_without_a_panic() {
    let columns = columns();
    proptest!(|(rule in "[a-z_]{0,10}[=!<>~]{0,3}.{0,20}", record in proptest::collection::vec(any::<u8>(), 0..40))| {
        if let Ok(filter) = Filter::plan(&rule, &columns) {
            filter.keeps(&record, &mut Scratch::default());
        }
    });
}

/// Scenario: numbers around the one in the rule.
/// Guarantees: comparisons agree with those of integers.
#[test]
fn comparisons_agree_with_integers() {
    proptest!(|(left in any::<i32>(), right in any::<i32>())| {
        let record = record("x", 0, left, false, 0);
        prop_assert_eq!(keeps(&format!("ret<{right}"), &record), left < right);
        prop_assert_eq!(keeps(&format!("ret>={right}"), &record), left >= right);
        prop_assert_eq!(keeps(&format!("ret=={right}"), &record), left == right);
    });
}
