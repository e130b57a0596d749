//! Golden tables, and what no record can do to a terminal.

use ig_datasource::SourceKind;
use ig_model::FieldKind;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr as _;

use crate::{
    ConsoleOptions, Mode, Size, Terminal,
    output::tests::memory,
    sink,
    tests::{all_kinds, columns, fetch, field, finish, open_columns, open_record, open_source, source, text},
};

fn table(terminal: Terminal, fields: Option<&str>, records: &[Vec<u8>]) -> String {
    let options = ConsoleOptions { fields: fields.map(str::to_owned), label: None };
    text(&Mode::Columns, &open_source(), &open_columns(), &options, terminal, records)
}

fn screen(columns: usize) -> Terminal {
    Terminal::fixed(Size { columns, rows: 24 }, false)
}

fn records() -> Vec<Vec<u8>> {
    vec![
        open_record(b"cat", 101, b"/etc/passwd", 0),
        open_record(b"a\x1b[31mb", 4_294_967_295, b"/a/very/long/path/that/goes/on/and/on/for/ever", 2),
        open_record("日本".as_bytes(), 1, b"two\nlines", 13),
    ]
}

/// Scenario: events into a pipe: a control sequence, a newline, wide characters, a long path; COLUMNS counts for nothing.
/// Guarantees: every value is whole, with one tab between two and no blank to fill up, so that `grep` and `cut` find it.
#[test]
fn a_pipe_gets_whole_values_between_tabs() {
    assert_eq!(
        table(Terminal::none(), None, &records()),
        "COMM\tPID\tFD\tFNAME\tERROR\n\
         cat\t101\t3\t/etc/passwd\t\n\
         a\\x1b[31mb\t4294967295\t3\t/a/very/long/path/that/goes/on/and/on/for/ever\tENOENT\n\
         日本\t1\t3\ttwo\\nlines\tEACCES\n"
    );
}

/// Scenario: a text longer than any cell, into a pipe.
/// Guarantees: not a byte of it is missing.
#[test]
fn a_pipe_gets_long_texts_whole() {
    let size = 100_000;
    let source =
        source(&[field("t", FieldKind::CString, 0, size, &[], &[("columns.ellipsis", "middle")])], &[]);
    let options = ConsoleOptions::default();
    let record = vec![b'x'; size];
    let out = text(&Mode::Columns, &source, &columns(&source), &options, Terminal::none(), &[record]);
    assert_eq!(out, format!("T\n{}\n", "x".repeat(size)));
}

/// Scenario: a stream on 60 columns, whose second record has a number for which there was no room.
/// Guarantees: the number is whole, under a header that stands above it; no line is wider than the terminal.
#[test]
fn a_number_that_finds_no_room_is_not_cut() {
    let out = table(screen(60), None, &records()[..2]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[0].starts_with("COMM") && lines[2].starts_with("COMM"), "{out}");
    assert!(lines[3].contains(" 4294967295 "), "{out}");
    assert!(lines.iter().all(|line| line.width() <= 60), "{out}");
}

/// A table that is read as a whole: a name, four numbers of 20 digits at most, and a column that stays empty.
fn counters() -> ig_datasource::DataSource {
    let right = ("columns.alignment", "right");
    let mut source = source(
        &[
            field("name", FieldKind::CString, 0, 16, &[], &[("columns.minwidth", "12")]),
            field("nothing", FieldKind::CString, 16, 16, &[], &[]),
            field("reads", FieldKind::Uint64, 32, 8, &[], &[right]),
            field("writes", FieldKind::Uint64, 40, 8, &[], &[right, ("columns.priority", "-1")]),
            field("errors", FieldKind::Uint64, 48, 8, &[], &[]),
            field("seconds", FieldKind::Float64, 56, 8, &[], &[]),
        ],
        &[],
    );
    source.kind = SourceKind::Array;
    source
}

fn counted(name: &str, numbers: [u64; 3], seconds: f64) -> Vec<u8> {
    let mut record = vec![0; 32];
    record[..name.len()].copy_from_slice(name.as_bytes());
    record.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    record.extend(seconds.to_ne_bytes());
    record
}

/// Scenario: a table of numbers on terminals of 120, 60 and 40 columns, one column of it empty, one of low priority.
/// Guarantees: all columns where there is room; then the empty one goes, then the one of low priority; numbers are whole.
#[test]
fn columns_without_a_value_and_of_low_priority_go_first() {
    let source = counters();
    let rows =
        [counted("a-process", [12_345_678_901, 7, 3], 1.5), counted("b", [5, 123_456_789, 0], 12_345_678.25)];
    let options = ConsoleOptions::default();
    let print = |columns_of: usize| {
        text(&Mode::Columns, &source, &columns(&source), &options, screen(columns_of), &rows)
    };
    let titles =
        |out: &str| out.lines().next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(titles(&print(120)), ["NAME", "NOTHING", "READS", "WRITES", "ERRORS", "SECONDS"]);
    assert_eq!(titles(&print(60)), ["NAME", "READS", "WRITES", "ERRORS", "SECONDS"]);
    let narrow = print(46);
    assert_eq!(titles(&narrow), ["NAME", "READS", "ERRORS", "SECONDS", "…"]);
    for number in ["12345678901", " 5 ", "1.50", "12345678.25"] {
        assert!(narrow.contains(number), "{narrow}");
    }
    assert!(narrow.lines().all(|line| line.width() <= 46), "{narrow}");
    let chosen = ConsoleOptions { fields: Some("writes,name,reads".to_owned()), label: None };
    let chosen = text(&Mode::Columns, &source, &columns(&source), &chosen, screen(24), &rows);
    assert_eq!(titles(&chosen), ["WRITES", "NAME", "…"], "whoever names columns has chosen");
}

/// Scenario: two columns have the same alias.
/// Guarantees: both go by their full names; others keep theirs.
#[test]
fn no_two_columns_share_a_title() {
    let id = |name, alias| field(name, FieldKind::Uint8, 0, 1, &[], &[("columns.alias", alias)]);
    let source = source(&[id("one.id", "id"), id("two.id", "id"), id("three", "other")], &[]);
    let options = ConsoleOptions::default();
    let out = text(&Mode::Columns, &source, &columns(&source), &options, Terminal::none(), &[]);
    assert_eq!(out, "ONE.ID\tTWO.ID\tOTHER\n");
}

/// Scenario: the same on terminals of 100, 60 and 20 columns.
/// Guarantees: the whole width is used where there is much, minimums are kept while they fit, and in the narrowest
/// the columns that are left out are marked; the number is whole in each.
#[test]
fn a_terminal_is_used_as_it_is() {
    let record = &records()[1..2];
    assert_eq!(
        table(screen(100), Some("comm,pid,fname"), record),
        "COMM                    PID FNAME\n\
         a\\x1b[31mb       4294967295 /a/very/long/path/that/goes/on/and/on/for/ever\n"
    );
    let last = |columns| table(screen(columns), None, record).lines().last().unwrap().to_owned();
    assert_eq!(last(60), "a\\x1b[31mb  4294967295   3 /a/very/long/path/that/… ENOENT");
    assert!(table(screen(20), None, record).ends_with("COMM           PID …\na\\x1b[… 4294967295\n"));
}

/// Scenario: annotations for every way to cut and to print, and ones that mean nothing.
/// Guarantees: each is followed; those without a meaning are errors that name field, annotation and choice.
#[test]
fn annotations_shape_cells() {
    let kinds = |name, kind, size, annotations: &[(&str, &str)]| {
        let source = source(&[field(name, kind, 0, size, &[], annotations)], &[]);
        let mut record = b"abcdefgh".to_vec();
        record.truncate(size);
        let options = ConsoleOptions::default();
        crate::tests::print(&Mode::Columns, &source, &columns(&source), &options, screen(40), &[record])
            .map(|out| String::from_utf8(out).unwrap())
            .map_err(|error| error.to_string())
    };
    let cut = |ellipsis| {
        kinds("t", FieldKind::CString, 8, &[("columns.maxwidth", "5"), ("columns.ellipsis", ellipsis)])
    };
    assert_eq!(cut("start").unwrap(), "T\n…efgh\n");
    assert_eq!(cut("middle").unwrap(), "T\nab…gh\n");
    assert_eq!(cut("").unwrap(), "T\nabcde\n");
    assert_eq!(
        cut("left").unwrap_err(),
        "field `t` of data source `events`: annotation columns.ellipsis is `left`, expected start, middle, end or nothing"
    );
    assert_eq!(kinds("n", FieldKind::Uint16, 2, &[("columns.hex", "true")]).unwrap(), "N\n0x6261\n");
    assert_eq!(
        kinds("n", FieldKind::Uint8, 1, &[("columns.width", "type"), ("columns.alignment", "right")])
            .unwrap(),
        "  N\n 97\n"
    );
    assert_eq!(kinds("b", FieldKind::Bytes, 8, &[]).unwrap(), "B\n<8 bytes>\n");
    assert!(kinds("f", FieldKind::Float32, 4, &[("columns.precision", "1")]).unwrap().ends_with(".0\n"));
    assert!(
        kinds("t", FieldKind::CString, 8, &[("columns.width", "type")])
            .unwrap_err()
            .contains("`type` on an integer")
    );
    assert!(
        kinds("t", FieldKind::CString, 8, &[("columns.replace", "x")])
            .unwrap_err()
            .contains("columns.replace")
    );
}

/// Scenario: a snapshot on a screen of six lines that it asks to clear, and into a pipe.
/// Guarantees: cleared before each table on a screen only; what does not fit is counted in the last line; a pipe
/// gets every row.
#[test]
fn snapshots_are_redrawn() {
    let mut source = open_source();
    source.kind = SourceKind::Array;
    source.annotations.insert("cli.clear-screen-before".to_owned(), "true".to_owned());
    let rows: Vec<Vec<u8>> = (0..9).map(|n| open_record(b"cat", n, b"/a", 0)).collect();
    let options = ConsoleOptions { fields: Some("pid".to_owned()), label: None };
    let print = |terminal| text(&Mode::Columns, &source, &open_columns(), &options, terminal, &rows);
    let screen = print(Terminal::fixed(Size { columns: 10, rows: 6 }, true));
    assert_eq!(screen, "\x1b[H\x1b[2J\x1b[1m    PID\x1b[0m\n      0\n      1\n      2\n… 6 more\n");
    assert_eq!(print(Terminal::none()).lines().count(), 10);
}

/// Scenario: a failed call on a terminal with colours.
/// Guarantees: the header is bold, the error red, all else plain; without colours there is no escape sequence.
#[test]
fn colours_are_few() {
    let record = &records()[1..2];
    let terminal = Terminal::fixed(Size { columns: 80, rows: 24 }, true);
    let out = table(terminal, Some("pid,error"), record);
    assert_eq!(out.matches('\x1b').count(), 4);
    assert!(out.starts_with("\x1b[1m") && out.contains("\x1b[31m ENOENT"), "{out:?}");
    assert!(!table(screen(80), None, record).contains('\x1b'));
}

/// Scenario: two sources print in turns.
/// Guarantees: a title and the header stand wherever the source changes, and only there.
#[test]
fn several_sources_are_told_apart() {
    let (output, memory) = memory(Terminal::none());
    let columns = open_columns();
    let mut sinks: Vec<_> = ["first", "second"]
        .into_iter()
        .map(|label| {
            let options = ConsoleOptions { fields: Some("pid".to_owned()), label: Some(label.to_owned()) };
            sink(&Mode::Columns, &open_source(), &columns, &options, &output).unwrap().unwrap()
        })
        .collect();
    for (which, pid) in [(0, 1), (0, 2), (1, 3), (0, 4)] {
        sinks[which].take(&fetch([open_record(b"x", pid, b"", 0).as_slice()]));
        sinks[which].flush();
    }
    finish(&output);
    assert_eq!(
        String::from_utf8(memory.taken()).unwrap(),
        "-- first\nPID\n1\n2\n-- second\nPID\n3\n-- first\nPID\n4\n"
    );
}

/// Scenario: two snapshots of one source among several.
/// Guarantees: each table has its title and its header; the screen is not cleared, as it is not this source's alone.
#[test]
fn tables_of_several_sources_have_titles() {
    let mut source = open_source();
    source.kind = SourceKind::Array;
    source.annotations.insert("cli.clear-screen-before".to_owned(), "true".to_owned());
    let (output, memory) = memory(screen(12));
    let options = ConsoleOptions { fields: Some("pid".to_owned()), label: Some("a\nlong name".to_owned()) };
    let mut sink = sink(&Mode::Columns, &source, &open_columns(), &options, &output).unwrap().unwrap();
    for pid in [1, 2] {
        sink.take(&fetch([open_record(b"x", pid, b"", 0).as_slice()]));
    }
    finish(&output);
    let table = |pid| format!("-- a\\nlong …\n    PID\n      {pid}\n");
    assert_eq!(String::from_utf8(memory.taken()).unwrap(), table(1) + &table(2));
}

/// Scenario: more rows than a screen has lines.
/// Guarantees: the header comes again once a page; never in a pipe.
#[test]
fn the_header_comes_again_on_a_screen() {
    let rows: Vec<Vec<u8>> = (0..50).map(|n| open_record(b"cat", n, b"/a", 0)).collect();
    assert_eq!(table(screen(80), None, &rows).matches("FNAME").count(), 3);
    assert_eq!(table(Terminal::none(), None, &rows).matches("FNAME").count(), 1);
}

/// Scenario: any bytes in a record of every kind, on terminals of any width; a text of 64 KiB among them.
/// Guarantees: no line is wider than the terminal, and no control character is printed.
#[test]
fn no_record_garbles_a_terminal() {
    let mut source = all_kinds();
    source.fields.push(field("long", FieldKind::CString, 64, 65_536, &[], &[("columns.ellipsis", "middle")]));
    let columns = columns(&source);
    let options = ConsoleOptions::default();
    proptest!(ProptestConfig::with_cases(64), |(start in proptest::collection::vec(any::<u8>(), 64), tail in proptest::collection::vec(any::<u8>(), 1..200), width in 1_usize..250)| {
        let mut record = start;
        record.extend(tail.iter().cycle().map(|byte| (*byte).max(1)).take(65_536));
        let terminal = Terminal::fixed(Size { columns: width, rows: 24 }, false);
        let out = text(&Mode::Columns, &source, &columns, &options, terminal, &[record]);
        // A number that finds no room brings its header along.
        prop_assert!((2..4).contains(&out.lines().count()));
        for line in out.lines() {
            prop_assert!(line.width() <= width, "{} > {width}: {line:?}", line.width());
            prop_assert!(!line.chars().any(char::is_control));
        }
    });
}
