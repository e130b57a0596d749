use std::sync::Arc;

use ig_model::BootClock;

use super::*;
use crate::{FormatContext, Value, ValueScratch, format::Accounts};

fn columns() -> Columns {
    let source = source();
    let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
    let clock = BootClock::with_offset(0);
    let mut columns = Columns::plan(&source, &FormatContext { clock, accounts });
    let mut host = Host::of([]);
    host.node = Some("n1".to_owned());
    complete(&source, &host, &mut columns).unwrap();
    columns
}

fn shown(record: &[u8], name: &str) -> String {
    let columns = columns();
    let mut scratch = ValueScratch::default();
    match columns.find(name).unwrap().value(record, &mut scratch) {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Float(number) => format!("{number:.2}"),
        other => panic!("{other:?}"),
    }
}

fn program(id: u32, run_time_ns: u64, run_count: u64, maps: &[u32]) -> Program {
    let mut name = [0; 16];
    name[..6].copy_from_slice(b"on_ev1");
    Program { id, kind: 26, name, run_time_ns, run_count, maps: maps.to_vec() }
}

fn reading(time: u64) -> Reading {
    let holder = |pid, comm: &str| Holder { pid, comm: comm.into() };
    Reading {
        programs: vec![
            program(5, 1_000_000 + time, 10 + time / 1000, &[1, 2]),
            program(6, 3 * time, time / 1000, &[2]),
            program(9, time, 1, &[]),
        ],
        maps: HashMap::from([(1, 4096), (2, 1_000_000)]),
        holders: HashMap::from([(5, vec![holder(1, "ig"), holder(2, "x,y")]), (6, vec![holder(1, "ig")])]),
        owners: vec![Owner {
            id: String::new(),
            name: "exec".to_owned(),
            image: "trace_exec:latest".to_owned(),
            programs: vec![5, 6],
            maps: vec![1, 2],
        }],
    }
}

fn records(scope: Scope, time: u64) -> Vec<Vec<u8>> {
    let mut sampler = Sampler::default();
    let mut found = Vec::new();
    sampler.records(&reading(0), scope, None, 4, |_record| panic!("a first reading gives no records"));
    let second = Some(Duration::from_secs(1));
    sampler.records(&reading(time), scope, second, 4, |record| found.push(record.to_vec()));
    found
}

/// Scenario: two programs of a gadget and one of nobody at two readings a second apart.
/// Guarantees: each record has the increments, shares of that second, its owner and its holders, in its fields.
#[test]
fn a_record_for_each_program() {
    let found = records(Scope::Programs, 10_000_000);
    let expected = [
        ("nodeName", "n1"),
        ("gadgetName", "exec"),
        ("gadgetImage", "trace_exec:latest"),
        ("progID", "5"),
        ("progName", "on_ev1"),
        ("progType", "Tracing"),
        ("cpuUsage", "1.00"),
        ("cpuUsageRelative", "0.25"),
        ("cpuTimeStr", "11.00ms"),
        ("runtime_raw", "10000000"),
        ("runtime", "10.00ms"),
        ("runcount", "10000"),
        ("mapMemory_raw", "1004096"),
        ("mapMemory", "1.0 MB"),
        ("mapCount", "2"),
        ("comms", "ig,x,y"),
        ("pids", "1,2"),
    ];
    for (name, value) in expected {
        assert_eq!(shown(&found[0], name), value, "{name}");
    }
    let names = |index: usize| ["gadgetName", "progID", "pids"].map(|name| shown(&found[index], name));
    assert_eq!(names(1), ["exec", "6", "1"]);
    assert_eq!(names(2), ["", "9", ""]);
    assert!(found.iter().all(|record| record.len() == source().record_size));
    let first = columns().visible().next().map(|column| column.name.clone());
    assert_eq!(first.as_deref(), Some("nodeName"));
}

/// Scenario: the same, a record for each gadget.
/// Guarantees: programs are summed, maps and holders count once, and there is no program in it.
#[test]
fn a_record_for_each_gadget() {
    let found = records(Scope::Gadgets, 10_000_000);
    assert_eq!(found.len(), 1);
    let expected = [
        ("gadgetName", "exec"),
        ("progID", "0"),
        ("progName", ""),
        ("progType", ""),
        ("cpuUsage", "4.00"),
        ("runtime_raw", "40000000"),
        ("runcount", "20000"),
        ("mapMemory_raw", "1004096"),
        ("mapCount", "2"),
        ("pids", "1,2"),
    ];
    for (name, value) in expected {
        assert_eq!(shown(&found[0], name), value, "{name}");
    }
}

/// Scenario: texts of descriptors, a type newer than the list, and more holders than fit.
/// Guarantees: numbers are found; an unknown type has its number; a list ends between two names and says so.
#[test]
fn texts_and_lists() {
    assert_eq!(map_memory(b"pos:\t0\nmap_type:\t2\nmemlock:\t8192\nmap_id:\t3\n"), 8192);
    assert_eq!(held_program(b"pos:\t0\nprog_type:\t26\nprog_id:\t77\n"), Some(77));
    assert_eq!(held_program(b"pos:\t0\n"), None);
    assert_eq!(kind_name(32), "Netfilter");
    assert_eq!(kind_name(99), "ProgramType(99)");
    let mut list = List::default();
    for pid in 100_000..100_050 {
        list.push(format!("{pid}").as_bytes());
    }
    let text = String::from_utf8(list.text).unwrap();
    assert!(text.len() <= LIST && text.ends_with(",…") && text.starts_with("100000,100001,"), "{text}");
}
