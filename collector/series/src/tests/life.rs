//! How rows end and how their text is corrected, as exporters learn of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::testing::{
    START, counter, export, gauge, histogram, key, labeler, listing, number, registry, spec, sum_of, text,
};
use crate::{Extent, Labeler, RetireReason, Retired, RowId, Table, TableSpec};

/// Names that become known late: keys are numbers, text is what the map says, or the number 0.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<u32, u32>>>);

impl Names {
    pub(super) fn learn(&self, key: u32, name: u32) {
        self.0.lock().unwrap().insert(key, name);
    }

    pub(super) fn of(&self, key: u32) -> u32 {
        self.0.lock().unwrap().get(&key).copied().unwrap_or(0)
    }
}

impl Labeler for Names {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        if index == 0 {
            out.push_str("comm-");
        }
        out.push_str(&self.of(number(key)).to_string());
    }
}

fn add(table: &Table, n: u32, value: u64) {
    let mut writer = table.write();
    let row = writer.row(&key(n));
    writer.add_int(row, 0, value);
}

/// Text and first cell of each row, in order of text.
fn values(table: &Table) -> Vec<(Vec<u8>, u64)> {
    let mut values: Vec<_> = listing(table).into_iter().map(|row| (row.text, row.cells[0])).collect();
    values.sort();
    values
}

/// Scenario: the name behind a key becomes known after its first events; later events follow.
/// Guarantees: the row moves to the new text with its values and its start; a subscriber sees the old text end, with its
/// final values, and which row goes on.
#[test]
fn a_corrected_text_takes_the_values_along() {
    let (registry, clock) = registry(100);
    let names = Names::default();
    let table = registry.register(spec("a", vec![counter("c")], 10), Box::new(names.clone())).unwrap().table;
    let subscription = registry.subscribe();
    add(&table, 7, 5);
    assert!(!table.invalidate(&key(7)), "nothing was learnt");
    assert!(!table.invalidate(&key(8)), "an unknown key has no text");
    names.learn(7, 3);
    clock.advance(Duration::from_secs(1));
    assert!(table.invalidate(&key(7)));
    add(&table, 7, 6);
    assert_eq!(values(&table), [(text(3), 11)]);
    assert_eq!((listing(&table)[0].start, registry.series()), (START, 1));
    let expected = Retired {
        table: table.id(),
        row: RowId { position: 1, born: 1 },
        reason: RetireReason::Relabelled,
        extent: Extent::Row,
        start: START,
        end: START + 1_000_000_000,
        text: text(0).into(),
        cells: [5].into(),
        successor: Some(RowId { position: 1, born: 2 }),
    };
    assert_eq!(subscription.take_rows(), [Arc::new(expected)]);
    assert!(subscription.take_rows().is_empty());
    assert_eq!(table.stats().retired[RetireReason::Relabelled], 1);
    assert_eq!(table.read().row(1).unwrap().id.born, 2);
}

/// Scenario: a corrected text is that of another row; both have a counter, a histogram and a gauge.
/// Guarantees: one row is left, with the sums of both and the gauge that was set last; the key leads there.
#[test]
fn a_corrected_text_merges_with_the_row_that_has_it() {
    let (registry, clock) = registry(100);
    let names = Names::default();
    names.learn(1, 1);
    let instruments = vec![counter("c"), histogram("h", &[10.0]), gauge("g")];
    let table = registry.register(spec("a", instruments, 10), Box::new(names.clone())).unwrap().table;
    let subscription = registry.subscribe();
    for n in [1, 2] {
        let mut writer = table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, u64::from(n));
        writer.observe_int(row, 1, i64::from(n) * 8);
        writer.set_int(row, 2, i64::from(n) * 100);
        drop(writer);
        clock.advance(Duration::from_secs(1));
    }
    names.learn(2, 1);
    assert_eq!(table.invalidate_where(|_| true), 1);
    let rows = listing(&table);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0].text, &rows[0].cells), (&text(1), &vec![3, 24, 1, 1, 200]));
    assert_eq!((table.stats().series, registry.series()), (1, 1));
    let ended = subscription.take_rows();
    assert_eq!(ended[0].successor, Some(RowId { position: 1, born: 1 }));
    add(&table, 2, 10);
    add(&table, 1, 10);
    assert_eq!(sum_of(&table, 0), 23);
    assert_eq!(listing(&table).len(), 1);
}

/// Scenario: two keys share a row as long as neither has a name; then both get one, one after the other.
/// Guarantees: what was shared stays under the old text, each key goes on with a row of its own, no row ends.
#[test]
fn what_two_keys_have_added_stays_where_it_is() {
    let (registry, _) = registry(100);
    let names = Names::default();
    let table = registry.register(spec("a", vec![counter("c")], 10), Box::new(names.clone())).unwrap().table;
    for n in [7, 8] {
        add(&table, n, 10);
    }
    for n in [7, 8] {
        names.learn(n, n);
        assert!(table.invalidate(&key(n)));
        assert!(!table.invalidate(&key(n)));
        add(&table, n, 1);
    }
    assert_eq!(values(&table), [(text(0), 20), (text(7), 1), (text(8), 1)]);
    assert_eq!(table.stats().retired[RetireReason::Relabelled], 0);
    add(&table, 9, 5);
    assert_eq!(values(&table)[0], (text(0), 25), "a third key without a name finds the row");
    assert_eq!(table.retire_where(|_| true), 3);
    assert_eq!(sum_of(&table, 0), 27, "all of it is in the overflow row");
}

/// Scenario: containers end: one that no exporter has read, one that was read, one of two that share a row.
/// Guarantees: what nobody has read is in the overflow row and nothing else is; a shared row ends with its last key.
#[test]
fn ended_keys_are_retired_and_the_unread_ones_folded() {
    let (registry, _) = registry(100);
    let names = Names::default();
    names.learn(1, 1);
    names.learn(2, 2);
    let instruments = vec![counter("c"), gauge("g")];
    let table = registry.register(spec("a", instruments, 10), Box::new(names.clone())).unwrap().table;
    add(&table, 1, 100);
    export(&table, "scrape");
    for n in [2, 3, 4] {
        add(&table, n, 10);
    }
    let subscription = registry.subscribe();
    assert_eq!(table.retire_where(|key| number(key) < 4), 2);
    assert_eq!(values(&table), [(Vec::new(), 10), (text(0), 20)]);
    assert!(listing(&table)[0].hides_gauges, "nobody has set a gauge of the overflow row");
    let ended = subscription.take_rows();
    let ends: Vec<_> = ended.iter().map(|row| (row.cells[0], row.reason, row.successor)).collect();
    let folded = Some(RowId::OVERFLOW);
    assert_eq!(ends, [(100, RetireReason::Ended, None), (10, RetireReason::Ended, folded)]);
    assert_eq!(table.retire_where(|key| number(key) == 4), 1);
    let stats = table.stats();
    assert_eq!((stats.series, stats.folded_total, stats.overflow_events), (0, 2, 0));
    assert_eq!((sum_of(&table, 0), registry.series()), (30, 0));
}

/// Scenario: a row that was read is renamed, then ends.
/// Guarantees: it is not taken for unread because its birth is new.
#[test]
fn a_renamed_row_that_was_read_is_not_folded() {
    let (registry, _) = registry(100);
    let names = Names::default();
    let table = registry.register(spec("a", vec![counter("c")], 10), Box::new(names.clone())).unwrap().table;
    add(&table, 1, 5);
    export(&table, "scrape");
    names.learn(1, 1);
    assert!(table.invalidate(&key(1)));
    assert_eq!(table.retire_where(|_| true), 1);
    assert_eq!(values(&table), [(text(1), 5)], "nobody has read it under its new name");
    export(&table, "scrape");
    registry.sweep();
    assert!(listing(&table).is_empty());
}

/// Scenario: a series ends in each of the other ways.
/// Guarantees: each is counted and told under its own reason, whole rows and gauges apart.
#[test]
fn every_end_has_its_reason() {
    let (registry, clock) = registry(100);
    let subscription = registry.subscribe();
    let stale_after = Some(Duration::from_mins(1));
    let mut only_gauges = TableSpec { stale_after, ..spec("a", vec![gauge("g")], 10) };
    only_gauges.snapshot = true;
    let gauges = registry.register(only_gauges, labeler()).unwrap().table;
    let mixed = TableSpec { stale_after, ..spec("b", vec![counter("c"), gauge("h")], 1) };
    let mixed = registry.register(mixed, labeler()).unwrap().table;
    let next = |expected: &[(RetireReason, Extent)]| {
        let ended = subscription.take_rows();
        let ends: Vec<_> = ended.iter().map(|row| (row.reason, row.extent)).collect();
        assert_eq!(ends, expected);
    };
    let mut writer = gauges.write();
    writer.row(&key(1));
    writer.begin_snapshot();
    writer.row(&key(2));
    writer.end_snapshot();
    drop(writer);
    next(&[(RetireReason::Absent, Extent::Row)]);

    add(&mixed, 1, 1);
    export(&mixed, "scrape");
    add(&mixed, 1, 1);
    clock.advance(Duration::from_mins(2));
    registry.sweep();
    next(&[(RetireReason::Stale, Extent::Row), (RetireReason::Stale, Extent::Gauges)]);
    export(&mixed, "scrape");
    add(&mixed, 2, 1);
    next(&[(RetireReason::Evicted, Extent::Row)]);
    assert_eq!(sum_of(&mixed, 0), 1, "its values were taken");

    mixed.unregister();
    next(&[]);
    assert_eq!(mixed.stats().retired[RetireReason::Unregistered], 1);
    assert_eq!(subscription.take_tables().iter().len(), 1);
    for reason in RetireReason::ALL {
        let counted = gauges.stats().retired[reason] + mixed.stats().retired[reason];
        let expected = match reason {
            RetireReason::Stale => 2,
            RetireReason::Absent | RetireReason::Evicted | RetireReason::Unregistered => 1,
            RetireReason::Ended | RetireReason::Relabelled => 0,
        };
        assert_eq!(counted, expected, "{}", reason.name());
    }
}

/// Scenario: far more rows and tables end than a subscriber that does not look is kept; another one has gone.
/// Guarantees: the newest are there, the others are counted, memory stays bounded.
#[test]
fn a_subscriber_that_does_not_look_is_kept_the_newest() {
    let (registry, _) = registry(100_000);
    let subscription = registry.subscribe();
    drop(registry.subscribe());
    let table = registry.register(spec("a", vec![counter("c")], 50_000), labeler()).unwrap().table;
    for n in 0..50_000 {
        add(&table, n, 1);
    }
    assert_eq!(table.retire_where(|_| true), 50_000);
    let rows = subscription.take_rows();
    assert!(rows.len() < 10_000, "{} rows", rows.len());
    assert_eq!(rows.last().unwrap().text, text(49_999).into());
    assert_eq!(rows.len() as u64 + subscription.take_lost_rows(), 50_000);
    assert_eq!(subscription.take_lost_rows(), 0);
    drop(table);
    subscription.take_tables();
    let leave = |gadget: &str, rows: u32| {
        let table = registry.register(spec(gadget, vec![counter(gadget)], 50_000), labeler()).unwrap().table;
        for n in 0..rows {
            add(&table, n, 1);
        }
        table.stats().bytes
    };
    let bytes = leave("large", 40_000);
    for _ in 0..10 {
        leave("large", 40_000);
    }
    for n in 0..200 {
        leave(&format!("small{n}"), 1);
    }
    let mut tables = subscription.take_tables();
    let lost = tables.take_lost();
    assert_eq!(tables.iter().len() as u64 + lost, 211);
    assert!((1..11).contains(&lost), "the small ones and the newest of the large ones stay: {lost} lost");
    assert!((11 - lost) * bytes as u64 <= 16 * 1024 * 1024);
    assert_eq!(tables.iter().next_back().unwrap().gadget(), "small199");
}
