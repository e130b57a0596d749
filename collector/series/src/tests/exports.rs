//! What several exporters see adds up to what was counted, whatever ends between two of their walks.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::testing::{counter, export, gauge, key, labeler, listing, number, registry, spec, sum_of};
use crate::{Horizon, RetireReason, RowId, Table, TableSpec};

const STALE: Duration = Duration::from_secs(2);

/// An exporter and the increases it has delivered.
struct Exporter {
    name: &'static str,
    /// It takes values as it begins a walk, as a push does; else as it ends it, as a page does.
    reads_first: bool,
    walk: Option<(Horizon, Vec<(RowId, u64)>)>,
    known: HashMap<RowId, u64>,
    increases: u64,
}

fn rows(table: &Table, horizon: Horizon) -> Vec<(RowId, u64)> {
    let reader = table.read();
    let rows = (0..reader.positions()).filter_map(|position| reader.row(position));
    let rows = rows.filter(|row| horizon.includes(row.id));
    rows.map(|row| (row.id, row.cells(&table.layout()[0])[0])).collect()
}

impl Exporter {
    fn new(name: &'static str, reads_first: bool) -> Self {
        Self { name, reads_first, walk: None, known: HashMap::new(), increases: 0 }
    }

    fn begin(&mut self, table: &Table) {
        let horizon = table.read().begin_walk();
        self.walk = Some((horizon, rows(table, horizon)));
    }

    fn finish(&mut self, table: &Table, delivered: bool) {
        let Some((horizon, early)) = self.walk.take() else { return };
        let values = if self.reads_first { early } else { rows(table, horizon) };
        if !delivered {
            return;
        }
        table.read().end_walk(self.name, horizon);
        let known = std::mem::take(&mut self.known);
        for (row, value) in values {
            self.increases += value - known.get(&row).copied().unwrap_or(0);
            self.known.insert(row, value);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add { key: u32, value: u64 },
    Wait { millis: u64 },
    Sweep,
    End { remainder: u32 },
    Begin { exporter: usize },
    Finish { exporter: usize, delivered: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Below five minutes in all, so that each exporter is waited for.
    proptest::collection::vec(
        prop_oneof![
            8 => (0u32..12, 1u64..1000).prop_map(|(key, value)| Step::Add { key, value }),
            3 => (0u64..1200).prop_map(|millis| Step::Wait { millis }),
            3 => Just(Step::Sweep),
            1 => (0u32..4).prop_map(|remainder| Step::End { remainder }),
            3 => (0usize..3).prop_map(|exporter| Step::Begin { exporter }),
            4 => (0usize..3, prop_oneof![4 => Just(true), 1 => Just(false)])
                .prop_map(|(exporter, delivered)| Step::Finish { exporter, delivered }),
        ],
        0..200,
    )
}

proptest! {
    /// Scenario: a page and two pushes walk a small table at their own pace, some walks are given up; meanwhile series come,
    /// are idle, are evicted for others, end and return.
    /// Guarantees: once each has walked to its end, the increases that each has delivered add up to what was counted.
    #[test]
    fn each_exporter_sees_all_increases(steps in steps()) {
        let (registry, clock) = registry(1000);
        let spec = TableSpec { stale_after: Some(STALE), ..spec("a", vec![counter("c")], 4) };
        let table = registry.register(spec, labeler()).unwrap().table;
        let mut exporters =
            [Exporter::new("page", false), Exporter::new("push", true), Exporter::new("delta", true)];
        // Whoever has never read a table is not waited for.
        for exporter in &mut exporters {
            exporter.begin(&table);
            exporter.finish(&table, true);
        }
        let mut added = 0;
        for step in steps {
            match step {
                Step::Add { key: n, value } => {
                    let mut writer = table.write();
                    let row = writer.row(&key(n));
                    writer.add_int(row, 0, value);
                    added += value;
                }
                Step::Wait { millis } => clock.advance(Duration::from_millis(millis)),
                Step::Sweep => registry.sweep(),
                Step::End { remainder } => {
                    table.retire_where(|key| number(key) % 4 == remainder);
                }
                Step::Begin { exporter } => exporters[exporter].begin(&table),
                Step::Finish { exporter, delivered } => exporters[exporter].finish(&table, delivered),
            }
        }
        for exporter in &mut exporters {
            exporter.begin(&table);
            exporter.finish(&table, true);
            prop_assert_eq!(exporter.increases, added, "{}", exporter.name);
        }
    }
}

/// Scenario: counters are idle for the stale time: one that nobody has read, one read up to its last value, one that has
/// gained since.
/// Guarantees: the first is in the overflow series, the second has gone, the third goes after its last export.
#[test]
fn an_idle_counter_ends_after_its_last_export() {
    let (registry, clock) = registry(100);
    let spec = TableSpec { stale_after: Some(STALE), ..spec("a", vec![counter("c")], 10) };
    let table = registry.register(spec, labeler()).unwrap().table;
    let add = |n: u32, value| {
        let mut writer = table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, value);
    };
    add(1, 10);
    add(2, 100);
    export(&table, "scrape");
    add(2, 1);
    add(3, 1000);
    clock.advance(STALE * 2);
    registry.sweep();
    let values = || listing(&table).iter().map(|row| (row.overflow, row.cells[0])).collect::<Vec<_>>();
    assert_eq!(values(), [(true, 1000), (false, 101)]);
    export(&table, "scrape");
    registry.sweep();
    assert_eq!(values(), [(true, 1000)]);
    let stats = table.stats();
    assert_eq!((stats.retired[RetireReason::Stale], stats.folded_total, stats.series), (3, 1, 0));
}

/// Scenario: far more keys than a table may hold, each counted for a while and then idle, while two exporters read.
/// Guarantees: sums of increases are exact for both, though the sum of the last page is far less.
#[test]
fn evictions_lose_no_increase() {
    let (registry, clock) = registry(100);
    let spec = TableSpec { stale_after: Some(STALE), ..spec("a", vec![counter("c")], 8) };
    let table = registry.register(spec, labeler()).unwrap().table;
    let mut exporters = [Exporter::new("page", false), Exporter::new("push", true)];
    for round in 0..200u32 {
        for n in 0..6 {
            let mut writer = table.write();
            let row = writer.row(&key(round * 4 + n));
            writer.add_int(row, 0, 1000);
            drop(writer);
            clock.advance(Duration::from_millis(100));
        }
        clock.advance(Duration::from_secs(1));
        for (index, exporter) in exporters.iter_mut().enumerate() {
            if !(round as usize + index).is_multiple_of(3) {
                exporter.begin(&table);
                exporter.finish(&table, true);
            }
        }
    }
    for exporter in &mut exporters {
        exporter.begin(&table);
        exporter.finish(&table, true);
        assert_eq!(exporter.increases, 1_200_000, "{}", exporter.name);
    }
    assert!(table.stats().retired[RetireReason::Evicted] > 100);
    assert!(sum_of(&table, 0) < 1_200_000);
}

/// Scenario: an exporter read a table once and fell silent; another one goes on.
/// Guarantees: it is waited for for five minutes and no longer.
#[test]
fn a_silent_exporter_is_not_waited_for_for_ever() {
    let (registry, clock) = registry(100);
    let spec = TableSpec { stale_after: Some(STALE), ..spec("a", vec![counter("c")], 10) };
    let table = registry.register(spec, labeler()).unwrap().table;
    let add = || {
        let mut writer = table.write();
        let row = writer.row(&key(1));
        writer.add_int(row, 0, 1);
    };
    add();
    export(&table, "gone");
    add();
    for (minutes, left) in [(1, 1), (3, 1), (2, 0)] {
        clock.advance(Duration::from_mins(minutes));
        export(&table, "there");
        registry.sweep();
        assert_eq!(table.stats().series, left, "{minutes}");
    }
}

/// Scenario: a table without labels; another with a gauge as well; one of gauges.
/// Guarantees: counters show zero from the start and never end, gauges show nothing until they are set.
#[test]
fn a_counter_without_labels_begins_at_zero() {
    let (registry, clock) = registry(100);
    let bare = |gadget: &str, instruments| TableSpec {
        labels: Vec::new(),
        key_len: 0,
        stale_after: Some(STALE),
        ..spec(gadget, instruments, 10)
    };
    let cases = [
        (bare("a", vec![counter("c")]), 1),
        (bare("b", vec![counter("d"), gauge("e")]), 1),
        (bare("f", vec![gauge("g")]), 0),
    ];
    for (spec, rows) in cases {
        let table = registry.register(spec, labeler()).unwrap().table;
        let shown = |hidden: bool| {
            let listed = listing(&table);
            assert_eq!(listed.len(), rows);
            assert!(listed.iter().all(|row| row.cells[0] == 0 && row.hides_gauges == hidden));
        };
        shown(true);
        export(&table, "scrape");
        clock.advance(STALE * 2);
        registry.sweep();
        shown(true);
    }
}
