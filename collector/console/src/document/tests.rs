//! Golden documents, and documents of any record against other readers.

use ig_model::FieldKind;
use proptest::prelude::*;
use serde_json::Value as Read;

use crate::{
    ConsoleOptions, Mode, Terminal,
    tests::{all_kinds, columns, field, open_columns, open_record, open_source, source, text},
};

fn document(mode: &Mode, fields: Option<&str>, records: &[Vec<u8>]) -> String {
    let options = ConsoleOptions { fields: fields.map(str::to_owned), label: None };
    text(mode, &open_source(), &open_columns(), &options, Terminal::none(), records)
}

fn kinds(mode: &Mode, record: &[u8]) -> String {
    let source = all_kinds();
    text(mode, &source, &columns(&source), &ConsoleOptions::default(), Terminal::none(), &[record.to_vec()])
}

fn kinds_record() -> Vec<u8> {
    let mut record = Vec::new();
    record.extend_from_slice(&u64::MAX.to_ne_bytes());
    record.extend_from_slice(&i64::MIN.to_ne_bytes());
    record.extend_from_slice(&1e21_f64.to_ne_bytes());
    record.extend_from_slice(&0.1_f32.to_ne_bytes());
    record.extend_from_slice(&[1, 0xff]);
    record.extend_from_slice(b"yes\0garbag");
    record.extend_from_slice(&[0, 0xab, 0x0c, 0xff]);
    record.extend_from_slice(&7_u32.to_ne_bytes());
    record.extend_from_slice(&u32::MAX.to_ne_bytes());
    record.extend_from_slice(&[1, 0, 1, 0]);
    record.extend_from_slice(&f32::NAN.to_ne_bytes());
    record.extend_from_slice(&2.5_f32.to_ne_bytes());
    record
}

/// Scenario: an event with nested fields, formatter outputs beside their inputs, a quote and invalid UTF-8.
/// Guarantees: one line; keys in order at each level, nested, hidden ones included, strings escaped.
#[test]
fn json_in_a_line() {
    let out = document(&Mode::Json, None, &[open_record(b"cat", 7, b"/a \"\xff\"\n", 2)]);
    assert_eq!(
        out,
        "{\"error\":\"ENOENT\",\"error_raw\":2,\"fd\":3,\"flags\":\"O_RDONLY|O_CLOEXEC\",\"flags_raw\":524288,\
         \"fname\":\"/a \\\"\\ufffd\\\"\\n\",\"proc\":{\"comm\":\"cat\",\"pid\":7}}\n"
    );
}

/// Scenario: a record with a field of each kind at the ends of its range.
/// Guarantees: the reference's spelling: 64 bits unquoted, floats as in ES6, arrays as arrays, bytes as hexadecimal;
/// what is no number is null.
#[test]
fn json_of_every_kind() {
    assert_eq!(
        kinds(&Mode::Json, &kinds_record()),
        "{\"bytes\":\"00ab0cff\",\"f32\":0.1,\"f64\":1e+21,\"flag\":true,\"flags\":[true,false,true,false],\
         \"i64\":-9223372036854775808,\"i8\":-1,\"list\":[7,4294967295],\"singles\":[null,2.5],\"text\":\"yes\",\
         \"u64\":18446744073709551615}\n"
    );
}

/// Scenario: the same records for people, single and as an array.
/// Guarantees: two spaces a level; an array is one document around all records, an empty one is `[]`.
#[test]
fn json_for_people_and_arrays() {
    let record = open_record(b"cat", 7, b"/a", 0);
    let pretty = document(&Mode::JsonPretty, Some("fd,proc"), std::slice::from_ref(&record));
    assert_eq!(pretty, "{\n  \"fd\": 3,\n  \"proc\": {\n    \"comm\": \"cat\",\n    \"pid\": 7\n  }\n}\n");
    let mut source = open_source();
    source.kind = ig_datasource::SourceKind::Array;
    let array = |mode: &Mode, records: &[Vec<u8>]| {
        let options = ConsoleOptions { fields: Some("fd".to_owned()), label: None };
        text(mode, &source, &open_columns(), &options, Terminal::none(), records)
    };
    let two = [record.clone(), record];
    assert_eq!(array(&Mode::Json, &two), "[{\"fd\":3},{\"fd\":3}]\n");
    assert_eq!(array(&Mode::JsonPretty, &two), "[\n  {\n    \"fd\": 3\n  },\n  {\n    \"fd\": 3\n  }\n]\n");
    assert_eq!(array(&Mode::Json, &[]), "[]\n");
    assert_eq!(array(&Mode::Yaml, &two), "---\nfd: 3\n---\nfd: 3\n");
}

/// Scenario: YAML of an event and of every kind, with text that a reader could take for something else.
/// Guarantees: one document per record; ambiguous text is quoted; numbers that are none keep their YAML names.
#[test]
fn yaml_golden() {
    let out = document(&Mode::Yaml, None, &[open_record(b"no", 7, b"/etc/passwd", 0)]);
    assert_eq!(
        out,
        "---\nerror: \"\"\nerror_raw: 0\nfd: 3\nflags: O_RDONLY|O_CLOEXEC\nflags_raw: 524288\n\
         fname: /etc/passwd\nproc:\n  comm: \"no\"\n  pid: 7\n"
    );
    assert_eq!(
        kinds(&Mode::Yaml, &kinds_record()),
        "---\nbytes: \"00ab0cff\"\nf32: 0.1\nf64: 1e+21\nflag: true\nflags:\n- true\n- false\n- true\n- false\n\
         i64: -9223372036854775808\ni8: -1\nlist:\n- 7\n- 4294967295\nsingles:\n- .nan\n- 2.5\n\
         text: \"yes\"\nu64: 18446744073709551615\n"
    );
}

/// Scenario: a skipped field, a field that a formatter replaced, and several sources in one output.
/// Guarantees: neither is printed, nor what is below it; each document says where it comes from.
#[test]
fn skipped_fields_and_labels() {
    let fields = [
        field("secret", FieldKind::Uint8, 0, 1, &[], &[("json.skip", "true")]),
        field("gone", FieldKind::Bytes, 1, 1, &[], &[]),
        field("gone.member", FieldKind::Uint8, 1, 1, &[], &[]),
        field("kept", FieldKind::Uint8, 2, 1, &[], &[]),
    ];
    let source = source(&fields, &[]);
    let mut columns = columns(&source);
    columns.unreference("gone");
    let options = ConsoleOptions { fields: None, label: Some("a gadget: \u{202e}".to_owned()) };
    let print = |mode: &Mode| text(mode, &source, &columns, &options, Terminal::none(), &[vec![1, 2, 3]]);
    assert_eq!(print(&Mode::Json), "{\"_source\":\"a gadget: \\u202e\",\"kept\":3}\n");
    assert_eq!(print(&Mode::Yaml), "---\n_source: \"a gadget: \\u202e\"\nkept: 3\n");
}

/// Scenario: any bytes as a record of every kind.
/// Guarantees: each syntax is valid for an independent reader, which finds the very values; JSON for people and JSON
/// in a line are the same document; no line break is in a line.
#[test]
fn documents_read_back() {
    proptest!(|(record in proptest::collection::vec(any::<u8>(), 64))| {
        let line = kinds(&Mode::Json, &record);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let read: Read = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&read["u64"], &Read::from(u64::from_ne_bytes(record[..8].try_into().unwrap())));
        prop_assert_eq!(&read["i64"], &Read::from(i64::from_ne_bytes(record[8..16].try_into().unwrap())));
        // The reader rounds, so the digits themselves are compared.
        let digits = line.split("\"f64\":").nth(1).unwrap().split(',').next().unwrap();
        let double = f64::from_ne_bytes(record[16..24].try_into().unwrap());
        let expected = double.is_finite().then_some(double);
        prop_assert!(digits.parse().ok() == expected && (expected.is_some() || digits == "null"));
        let single = f32::from_ne_bytes(record[24..28].try_into().unwrap());
        let digits = line.split("\"f32\":").nth(1).unwrap().split(',').next().unwrap();
        prop_assert_eq!(digits.parse().ok(), single.is_finite().then_some(single));
        prop_assert_eq!(&read["flag"], &Read::from(record[28] == 1));
        prop_assert_eq!(&read["i8"], &Read::from(record[29] as i8));
        let text = record[30..40].split(|byte| *byte == 0).next().unwrap();
        if let Ok(text) = std::str::from_utf8(text) {
            prop_assert_eq!(&read["text"], &Read::from(text));
        }
        prop_assert_eq!(read["list"].as_array().unwrap().len(), 2);
        prop_assert!(read["flags"].as_array().unwrap().iter().all(Read::is_boolean));
        let pretty: Read = serde_json::from_str(&kinds(&Mode::JsonPretty, &record)).unwrap();
        prop_assert_eq!(&pretty, &read);
        let yaml: serde_yaml::Value = serde_yaml::from_str(&kinds(&Mode::Yaml, &record)).unwrap();
        prop_assert_eq!(yaml["text"].as_str(), read["text"].as_str());
        prop_assert_eq!(yaml["u64"].as_u64(), read["u64"].as_u64());
        prop_assert_eq!(yaml["bytes"].as_str(), read["bytes"].as_str());
    });
}

/// Scenario: YAML text of any kind, words that look like numbers, dates or bools among it.
/// Guarantees: a YAML reader finds a string, and the same one.
#[test]
fn yaml_text_stays_text() {
    let source = source(&[field("t", FieldKind::CString, 0, 40, &[], &[])], &[]);
    let columns = columns(&source);
    let words = "true|NO|null|~|-|0x1f|1e3|2026-01-02|a: b|# c|\\[x\\]|'q'|\\*a|&b|%d|@e|\\.inf|/p/q|[ -~é\u{1}-\u{1f}]{0,20}";
    proptest!(|(word in words)| {
        let mut record = word.clone().into_bytes();
        record.resize(40, 0);
        let out = text(&Mode::Yaml, &source, &columns, &ConsoleOptions::default(), Terminal::none(), &[record]);
        let read: serde_yaml::Value = serde_yaml::from_str(&out).unwrap();
        prop_assert_eq!(read["t"].as_str(), Some(word.as_str()), "{}", out);
    });
}
