//! Golden charts.

use ig_datasource::{DataSource, SourceKind};
use ig_model::{FieldKind, kind::Scalar};

use crate::{
    ConsoleOptions, Mode, Size, Terminal,
    output::tests::memory,
    sink,
    tests::{columns, fetch, field, finish, source, text},
};

/// Latencies in slots, by operation, and a counter.
fn blockio(keyed: bool) -> DataSource {
    let key: &[(&str, &str)] = if keyed { &[("metrics.type", "key")] } else { &[] };
    let mut fields = vec![field("op", FieldKind::CString, 0, 8, &[], key)];
    let slots = FieldKind::Array(Scalar::Uint(4));
    let unit = [("metrics.unit", "µs")];
    fields.push(field("latency", slots, 8, 20, &["gadget_histogram_slot__u32"], &unit));
    let mut source = source(&fields, &[("metrics.print", "true"), ("cli.clear-screen-before", "true")]);
    source.kind = SourceKind::Array;
    source
}

fn record(op: &[u8], slots: [u32; 5]) -> Vec<u8> {
    let mut record = op.to_vec();
    record.resize(8, 0);
    record.extend(slots.iter().flat_map(|slot| slot.to_ne_bytes()));
    record
}

fn draw(source: &DataSource, terminal: Terminal, records: &[Vec<u8>]) -> String {
    text(&Mode::Histogram, source, &columns(source), &ConsoleOptions::default(), terminal, records)
}

/// Scenario: one distribution without labels, into a pipe.
/// Guarantees: the reference's layout, byte for byte.
#[test]
fn the_layout_is_the_references() {
    let out = draw(&blockio(false), Terminal::none(), &[record(b"read", [1, 0, 20, 40, 0])]);
    assert_eq!(
        out,
        "latency\n        µs               : count    distribution\n\
         \x20        0 -> 1          : 1        |*                                       |\n\
         \x20        1 -> 2          : 0        |                                        |\n\
         \x20        2 -> 4          : 20       |********************                    |\n\
         \x20        4 -> 8          : 40       |****************************************|\n\
         \x20        8 -> 16         : 0        |                                        |\n\n"
    );
}

/// Scenario: two operations over two fetches, one with a name that holds an escape sequence.
/// Guarantees: counts add up over fetches; each distribution names its labels, escaped; the page is appended.
#[test]
fn fetches_add_up_by_label() {
    let source = blockio(true);
    let (output, memory) = memory(Terminal::none());
    let options = ConsoleOptions::default();
    let mut sink = sink(&Mode::Histogram, &source, &columns(&source), &options, &output).unwrap().unwrap();
    for _ in 0..2 {
        let records = [record(b"read", [0, 3, 0, 0, 0]), record(b"\x1b[2J", [u32::MAX, 0, 0, 0, 0])];
        sink.take(&fetch(records.iter().map(Vec::as_slice)));
    }
    sink.finish();
    finish(&output);
    let out = String::from_utf8(memory.taken()).unwrap();
    assert_eq!(out.matches("latency{op=\"read\"}\n").count(), 2);
    assert!(
        out.contains("latency{op=\"\\x1b[2J\"}\n") && out.contains(": 6 ") && out.contains(": 8589934590 "),
        "{out}"
    );
}

/// Scenario: the same on a screen, high enough and too low.
/// Guarantees: drawn over the last page; empty rows at the end are left out only where they do not fit.
#[test]
fn a_screen_is_redrawn() {
    let one = [record(b"read", [1, 0, 0, 0, 0])];
    let on = |rows| draw(&blockio(false), Terminal::fixed(Size { columns: 80, rows }, true), &one);
    assert!(on(24).starts_with("\x1b[H\x1b[2Jlatency\n"));
    assert_eq!(on(24).matches(" -> ").count(), 5);
    assert_eq!(on(6).matches(" -> ").count(), 1);
}

/// Scenario: plain values with boundaries and a scale, counters, and a value above the last boundary.
/// Guarantees: drawn in the field's own unit, with a last row for what is above; counters show their sum.
#[test]
fn values_and_counters_are_drawn() {
    let annotations = [
        ("metrics.type", "histogram"),
        ("metrics.boundaries", "0.001,0.01"),
        ("metrics.unit", "s"),
        ("metrics.scale", "1e-6"),
    ];
    let fields = [
        field("took", FieldKind::Uint32, 0, 4, &[], &annotations),
        field("hits", FieldKind::Uint32, 4, 4, &["gadget_counter__u32"], &[]),
    ];
    let mut source = source(&fields, &[("metrics.print", "true")]);
    source.kind = SourceKind::Array;
    let row = |took: u32, hits: u32| [took.to_ne_bytes(), hits.to_ne_bytes()].concat();
    let out = draw(&source, Terminal::none(), &[row(1000, 1), row(1001, 2), row(99_999, 3)]);
    assert!(out.contains("        µs               : count"), "{out}");
    assert!(
        out.contains("         0 -> 1000       : 1 ") && out.contains("     10000 -> +Inf       : 1 "),
        "{out}"
    );
    assert!(out.ends_with("hits 6\n"), "{out}");
}
