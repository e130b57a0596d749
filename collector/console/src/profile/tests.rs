//! Folded stacks, and profiles as other readers see them.

use std::io::Read as _;

use flate2::read::GzDecoder;
use ig_datasource::{DataSource, SourceKind};
use ig_model::FieldKind;
use prost::Message as _;

use super::pprof::Profile;
use crate::{
    ConsoleOptions, Mode, Terminal,
    tests::{columns, field, print, source, text},
};

const ATTRIBUTE: [(&str, &str); 1] = [("profiles.sample-attribute", "true")];

fn samples() -> DataSource {
    let fields = [
        field("comm", FieldKind::CString, 0, 16, &[], &ATTRIBUTE),
        field("container", FieldKind::CString, 16, 16, &[], &ATTRIBUTE),
        field("kern", FieldKind::CString, 32, 32, &[], &[]),
        field("user", FieldKind::CString, 64, 64, &[], &[]),
        field("samples", FieldKind::Uint64, 128, 8, &[], &[]),
    ];
    let mut source = source(
        &fields,
        &[
            ("profiles.stack-fields", "kern,user"),
            ("profiles.value-field", "samples"),
            ("profiles.name", "process_cpu"),
        ],
    );
    source.kind = SourceKind::Array;
    source
}

fn record(comm: &[u8], kern: &[u8], user: &[u8], value: u64) -> Vec<u8> {
    let mut record = vec![0; 128];
    record[..comm.len()].copy_from_slice(comm);
    record[32..32 + kern.len()].copy_from_slice(kern);
    record[64..64 + user.len()].copy_from_slice(user);
    record.extend_from_slice(&value.to_ne_bytes());
    record
}

fn records() -> Vec<Vec<u8>> {
    vec![
        record(b"sh", b"do_syscall; entry; ", b"write; main; _start; ", 3),
        record(b"sh", b"do_syscall; entry; ", b"write; main; _start; ", 4),
        record(b"idle;\n", b"", b"operator+(int, \"x\"); ", 1),
        record(b"lost", b"", b"", u64::MAX),
    ]
}

/// Scenario: kernel and user stacks over several fetches, hostile names, a sample without a stack.
/// Guarantees: one line per stack with its total, outermost frame first, nothing that breaks a line apart.
#[test]
fn folded_golden() {
    let source = samples();
    let out = text(
        &Mode::Folded,
        &source,
        &columns(&source),
        &ConsoleOptions::default(),
        Terminal::none(),
        &records(),
    );
    assert_eq!(
        out,
        "idle:?;operator+(int, \"x\") 1\n\
         lost;[no stack] 18446744073709551615\n\
         sh;_start;main;write;entry;do_syscall 7\n"
    );
}

/// Scenario: the same as a profile.
/// Guarantees: it unpacks and decodes; samples, labels, frames from the innermost, and units are the same as folded.
#[test]
fn pprof_decodes() {
    let source = samples();
    let packed = print(
        &Mode::Pprof,
        &source,
        &columns(&source),
        &ConsoleOptions::default(),
        Terminal::none(),
        &records(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    let profile = Profile::decode(bytes.as_slice()).unwrap();
    let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
    assert_eq!(text(0), "");
    assert_eq!((text(profile.sample_type[0].kind), text(profile.sample_type[0].unit)), ("samples", "count"));
    assert_eq!(text(profile.comment[0]), "process_cpu");
    let read: Vec<String> = profile
        .sample
        .iter()
        .map(|sample| {
            let frames: Vec<&str> = sample
                .location_id
                .iter()
                .map(|id| {
                    let location = profile.location.iter().find(|location| location.id == *id).unwrap();
                    let function = location.line[0].function_id;
                    text(profile.function.iter().find(|known| known.id == function).unwrap().name)
                })
                .collect();
            let labels: Vec<String> =
                sample.label.iter().map(|label| format!("{}={}", text(label.key), text(label.str))).collect();
            format!("{} {} {}", labels.join(","), frames.join("<"), sample.value[0])
        })
        .collect();
    assert_eq!(
        read,
        [
            "comm=idle:? operator+(int, \"x\") 1",
            "comm=lost [no stack] 9223372036854775807",
            "comm=sh do_syscall<entry<write<main<_start 7",
        ]
    );
}

/// Scenario: more different stacks than are kept apart.
/// Guarantees: the rest is added up under one name, so the sum stays exact.
#[test]
fn too_many_stacks_are_added_up() {
    let source = samples();
    let records: Vec<Vec<u8>> =
        (0..super::MOST_STACKS + 50).map(|n| record(b"", b"", format!("f{n}; ").as_bytes(), 2)).collect();
    let options = ConsoleOptions::default();
    let out = text(&Mode::Folded, &source, &columns(&source), &options, Terminal::none(), &records);
    assert!(out.ends_with("[other stacks] 100\n"));
    assert_eq!(out.lines().count(), super::MOST_STACKS + 1);
}

/// Scenario: stack and value fields that do not exist or have the wrong kind.
/// Guarantees: each is an error that names the field.
#[test]
fn unfit_fields_are_named() {
    let error = |key: &str, value: &str| {
        let mut source = samples();
        source.annotations.insert(key.to_owned(), value.to_owned());
        let options = ConsoleOptions::default();
        print(&Mode::Folded, &source, &columns(&source), &options, Terminal::none(), &[])
            .unwrap_err()
            .to_string()
    };
    assert!(error("profiles.stack-fields", "kern,usr").contains("did you mean `user`?"));
    assert!(error("profiles.value-field", "comm").contains("field `comm` is no integer"));
    assert!(error("profiles.stack-fields", "samples").contains("field `samples` is no text"));
}
