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

/// Scenario: events into a pipe: a control sequence, a newline, wide characters, a long path.
/// Guarantees: annotated widths, aliases in the header, numbers on the right, the mark where text was cut.
#[test]
fn a_pipe_gets_annotated_widths() {
    assert_eq!(
        table(Terminal::none(), None, &records()),
        "COMM                    PID  FD FNAME                            ERROR\n\
         cat                     101   3 /etc/passwd\n\
         a\\x1b[31mb       4294967295   3 /a/very/long/path/that/goes/on/… ENOENT\n\
         日本                      1   3 two\\nlines                       EACCES\n"
    );
}

/// Scenario: the same on terminals of 100, 60 and 20 columns.
/// Guarantees: the whole width is used where there is much, minimums are kept while they fit, and in the narrowest
/// the columns that are left out are marked.
#[test]
fn a_terminal_is_used_as_it_is() {
    let record = &records()[1..2];
    assert_eq!(
        table(screen(100), Some("comm,pid,fname"), record),
        "COMM                    PID FNAME\n\
         a\\x1b[31mb       4294967295 /a/very/long/path/that/goes/on/and/on/for/ever\n"
    );
    assert_eq!(
        table(screen(60), None, record),
        "COMM               PID FD FNAME                    ERROR\n\
         a\\x1b[31mb    4294967…  3 /a/very/long/path/that/… ENOENT\n"
    );
    assert_eq!(table(screen(20), None, record), "COMM  PID  FD FNA… …\na\\x… 429…   3 /a/…\n");
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
        crate::tests::print(&Mode::Columns, &source, &columns(&source), &options, Terminal::none(), &[record])
            .map(|out| String::from_utf8(out).unwrap())
            .map_err(|error| error.to_string())
    };
    let cut = |ellipsis| {
        kinds("t", FieldKind::CString, 8, &[("columns.width", "5"), ("columns.ellipsis", ellipsis)])
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
    assert_eq!(kinds("f", FieldKind::Float32, 4, &[("columns.precision", "1")]).unwrap().lines().count(), 2);
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
    assert_eq!(
        screen,
        "\x1b[H\x1b[2J\x1b[1m       PID\x1b[0m\n         0\n         1\n         2\n… 6 more\n"
    );
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
        "-- first\n       PID\n         1\n         2\n-- second\n       PID\n         3\n-- first\n       PID\n         4\n"
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
    let table = |pid| format!("-- a\\nlong …\n       PID\n         {pid}\n");
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
        prop_assert_eq!(out.lines().count(), 2);
        for line in out.lines() {
            prop_assert!(line.width() <= width, "{} > {width}: {line:?}", line.width());
            prop_assert!(!line.chars().any(char::is_control));
        }
    });
}
