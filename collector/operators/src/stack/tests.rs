//! Stacks of fake maps.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind};
use ig_symbols::Symbols;
use proptest::prelude::*;

use super::{
    KERNEL_MAP, MEMBERS, StackCounts, StackError, StackMap, StackMaps, Stacks, Symbolizers, USER_MAP, add,
};
use crate::{
    column::{Columns, FormatContext, Value, ValueScratch},
    format::Accounts,
};

/// A map in memory; clones are the same map.
#[derive(Clone, Debug)]
struct Fake {
    entries: Arc<Mutex<BTreeMap<u32, Vec<u8>>>>,
    capacity: usize,
}

impl Fake {
    fn new(capacity: usize) -> Self {
        Self { entries: Arc::default(), capacity }
    }

    fn put(&self, id: u32, mut value: Vec<u8>, size: usize) {
        value.resize(size, 0);
        self.entries.lock().unwrap().insert(id, value);
    }

    fn stack(&self, id: u32, addresses: &[u64]) {
        self.put(id, addresses.iter().flat_map(|address| address.to_ne_bytes()).collect(), 127 * 8);
    }
}

impl StackMap for Fake {
    fn read(&self, id: u32, value: &mut [u8]) -> io::Result<()> {
        let entries = self.entries.lock().unwrap();
        let found = entries.get(&id).filter(|found| found.len() == value.len());
        value.copy_from_slice(found.ok_or(io::ErrorKind::NotFound)?);
        Ok(())
    }

    fn remove(&self, id: u32) {
        self.entries.lock().unwrap().remove(&id);
    }

    fn ids(&self) -> Vec<u32> {
        self.entries.lock().unwrap().keys().copied().collect()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

fn typed(name: &str, type_name: &str, kind: FieldKind, offset: usize, size: usize) -> Field {
    Field { types: vec![type_name.to_owned()], ..Field::new(name, kind, offset, size) }
}

/// A kernel stack at 0 and a user stack at 8, of 64 bytes.
fn source() -> DataSource {
    let mut fields = vec![
        typed("kstack_raw", "gadget_kernel_stack", FieldKind::Uint32, 0, 4),
        typed("ustack", "gadget_user_stack", FieldKind::Bytes, 8, 56),
    ];
    let mut offset = 8;
    for (name, size) in MEMBERS {
        let kind = if size == 4 { FieldKind::Uint32 } else { FieldKind::Uint64 };
        let member = Field::new(name, kind, offset, size);
        fields.push(Field { full_name: format!("ustack.{name}"), parent: Some(1), ..member });
        offset += size;
    }
    let origin = Origin::Tracer { map: "events".to_owned() };
    DataSource { fields, ..DataSource::new("calls", SourceKind::Single, origin, 64) }
}

fn columns(source: &DataSource) -> Columns {
    let accounts = Arc::new(Accounts::in_root("/nonexistent".as_ref()));
    Columns::plan(source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

fn record(kernel: i32, inode: u64, user: i32) -> Vec<u8> {
    let mut record = kernel.to_ne_bytes().to_vec();
    record.resize(8, 0);
    record.extend([0; 8]);
    record.extend(inode.to_ne_bytes());
    record.extend([0; 16]);
    record.extend(user.to_ne_bytes());
    // No process has this number.
    record.extend(u32::MAX.to_ne_bytes());
    record.resize(64, 0);
    record
}

struct Bench {
    columns: Columns,
    counts: Arc<StackCounts>,
    kernel: Fake,
    user: Fake,
    build_ids: Fake,
}

impl Bench {
    fn new() -> Self {
        let source = source();
        let mut columns = columns(&source);
        let slot = add(&source, Symbolizers::All, &Symbols::of_this_machine("/".as_ref()), &mut columns)
            .unwrap()
            .unwrap();
        assert_eq!(slot.maps, [KERNEL_MAP, USER_MAP]);
        let (kernel, user, build_ids) = (Fake::new(10_000), Fake::new(10_000), Fake::new(1024));
        let maps = StackMaps {
            kernel: Some(Arc::new(Stacks::new(Box::new(kernel.clone()), None))),
            user: Some(Arc::new(Stacks::new(Box::new(user.clone()), Some(Box::new(build_ids.clone()))))),
        };
        let counts = Arc::<StackCounts>::default();
        slot.bind(Arc::new(maps), Arc::clone(&counts));
        Self { columns, counts, kernel, user, build_ids }
    }

    fn text(&self, column: &str, record: &[u8]) -> String {
        let column = self.columns.find(column).unwrap_or_else(|| panic!("no column {column}"));
        match column.value(record, &mut ValueScratch::default()) {
            Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// Scenario: a record with a kernel and a user stack, of a process that is gone.
/// Guarantees: the columns have the names, visibility, tags and spelling of the contract; what has no name shows its
/// address.
#[test]
fn columns_as_in_the_contract() {
    let bench = Bench::new();
    bench.kernel.stack(3, &[0x1, 0x2]);
    bench.user.stack(5, &[0x55d0_c000_1000, 0x10]);
    let mut ids = Vec::new();
    ids.extend([1_i32.to_ne_bytes().as_slice(), &[0xab; 20], &0x1f40_u64.to_ne_bytes()].concat());
    ids.extend([2_i32.to_ne_bytes().as_slice(), &[0; 20], &0x10_u64.to_ne_bytes()].concat());
    bench.build_ids.put(5, ids, 127 * 32);
    let record = record(3, 77, 5);
    assert_eq!(bench.text("kstack", &record), "[unknown]; [unknown]; ");
    assert_eq!(bench.text("ustack.addresses", &record), "0x000055d0c0001000; 0x0000000000000010; ");
    assert_eq!(bench.text("ustack.buildid", &record), format!("{} +1f40; 10; ", "ab".repeat(20)));
    assert_eq!(bench.text("ustack.symbols", &record), "0x55d0c0001000; 0x10; ");
    for hidden in
        ["kstack_raw", "ustack", "ustack.inode", "ustack.addresses", "ustack.buildid", "ustack.symbols"]
    {
        assert!(bench.columns.find(hidden).unwrap().hidden, "{hidden}");
    }
    assert!(!bench.columns.find("kstack").unwrap().hidden);
    assert_eq!(bench.columns.find("ustack.symbols").unwrap().tags, ["name:symbols", "operator:ustack"]);
}

/// Scenario: stacks that are switched off, that found no room, that were never there, that are gone.
/// Guarantees: their text is empty; what was lost is counted by reason, once for a record, what never was is not.
#[test]
fn stacks_that_are_not_there() {
    let bench = Bench::new();
    let show = |kernel, inode, user| {
        let record = record(kernel, inode, user);
        for column in ["kstack", "ustack.addresses", "ustack.buildid", "ustack.symbols"] {
            assert_eq!(bench.text(column, &record), "", "{column}");
        }
        bench.counts.by_reason().map(|(_, count)| count.load(std::sync::atomic::Ordering::Relaxed))
    };
    assert_eq!(show(-14, 0, 0), [0, 0, 0], "code of a process has no kernel stack; user stacks are off");
    assert_eq!(show(-17, 0, 0), [1, 0, 0]);
    assert_eq!(show(-14, 0, -17), [2, 0, 0]);
    assert_eq!(show(9, 0, 0), [2, 1, 0]);
    assert_eq!(show(-14, 77, 9), [2, 2, 0]);
}

/// Scenario: the parameter in all its forms; a struct of the right name with other members.
/// Guarantees: known words mean what they say, unknown ones are refused with the nearest; the struct is refused by name.
#[test]
fn wrong_input_is_named() {
    assert_eq!(Symbolizers::parse("auto"), Ok((Symbolizers::All, vec![])));
    assert_eq!(Symbolizers::parse(""), Ok((Symbolizers::All, vec![])));
    assert_eq!(Symbolizers::parse("none"), Ok((Symbolizers::None, vec![])));
    let absent = vec!["otel-ebpf-profiler".to_owned()];
    assert_eq!(Symbolizers::parse("symtab, otel-ebpf-profiler"), Ok((Symbolizers::Symtab, absent)));
    let problem = Symbolizers::parse("symtabs").unwrap_err();
    assert!(problem.starts_with("`symtabs` is no symbolizer; did you mean `symtab`?"), "{problem}");

    let mut source = source();
    source.fields.retain(|field| field.name != "stack_id");
    let mut columns = columns(&source);
    let refused =
        add(&source, Symbolizers::All, &Symbols::of_this_machine("/".as_ref()), &mut columns).unwrap_err();
    assert_eq!(refused, StackError::Member { field: "ustack".into(), member: "stack_id", size: 4 });
    source.fields.clear();
    assert!(
        add(&source, Symbolizers::All, &Symbols::of_this_machine("/".as_ref()), &mut columns)
            .unwrap()
            .is_none()
    );
}

/// Scenario: a map that fills over an hour; some stacks are read again and again, build ids fill faster.
/// Guarantees: with room nothing goes; past an eighth what was not read for two minutes goes, past a half what was not
/// read for ten seconds; what is read stays; build ids never stay longer than their stack.
#[test]
fn what_is_not_read_goes_when_the_map_fills() {
    let (map, build_ids) = (Fake::new(10_000), Fake::new(1024));
    let stacks = Stacks::new(Box::new(map.clone()), Some(Box::new(build_ids.clone())));
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let fill = |ids: std::ops::Range<u32>, seconds: u64| {
        for id in ids {
            map.stack(id, &[1]);
            build_ids.put(id, Vec::new(), 127 * 32);
            stacks.keep(id, at(seconds));
        }
    };
    let len = |fake: &Fake| fake.entries.lock().unwrap().len();
    fill(0..400, 0);
    stacks.keep(0, at(3600));
    assert_eq!((len(&map), len(&build_ids)), (400, 400), "there is room");
    fill(400..3000, 3605);
    stacks.keep(0, at(3620));
    assert_eq!(len(&map), 2601, "the first 400 were not read for an hour, but for one");
    assert_eq!(len(&build_ids), 1, "what was read less than ten seconds ago: only the last");
    stacks.keep(0, at(3640));
    assert_eq!(len(&map), 2601, "two minutes are not over");
    fill(3000..9000, 3641);
    stacks.keep(0, at(3655));
    assert_eq!(len(&map), 1, "more than half was taken");
    assert!(stacks.addresses(0).is_some());
}

proptest! {
    /// Scenario: any record, whatever the maps hold.
    /// Guarantees: each column has a text without line breaks; nothing panics.
    #[test]
    fn any_record(record in prop::collection::vec(any::<u8>(), 0..80), stack in prop::collection::vec(any::<u64>(), 0..127)) {
        let bench = Bench::new();
        for id in [0, 1, u32::MAX] {
            bench.kernel.stack(id, &stack);
            bench.user.stack(id, &stack);
        }
        let mut record = record;
        if record.len() >= 44 {
            record[40..44].copy_from_slice(&1_u32.to_ne_bytes());
        }
        for column in bench.columns.iter().filter(|column| column.name.starts_with("ustack.") && column.hidden) {
            if matches!(column.short_name(), "addresses" | "buildid" | "symbols") {
                prop_assert!(!bench.text(&column.name, &record).contains('\n'));
            }
        }
    }
}
