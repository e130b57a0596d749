//! Rows that come, are corrected, merge and end: nothing is counted twice and nothing is lost.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::life::Names;
use crate::testing::{counter, export, histogram, key, listing, number, registry, spec};
use crate::{InstrumentSpec, NumberKind, RetireReason, Subscription, Table};

const LIMIT: usize = 6;
const KEYS: u32 = 10;

#[derive(Clone, Debug)]
enum Step {
    Add {
        key: u32,
        value: u64,
    },
    /// A key gets another name.
    Learn {
        key: u32,
        name: u32,
    },
    Invalidate {
        key: u32,
    },
    /// All keys at once.
    InvalidateAll,
    /// Keys of one remainder end.
    End {
        remainder: u32,
    },
    /// An exporter reads everything.
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS;
    proptest::collection::vec(
        prop_oneof![
            6 => (key.clone(), 0u64..1000).prop_map(|(key, value)| Step::Add { key, value }),
            3 => (key.clone(), 0u32..5).prop_map(|(key, name)| Step::Learn { key, name }),
            3 => key.prop_map(|key| Step::Invalidate { key }),
            1 => Just(Step::InvalidateAll),
            1 => (0u32..4).prop_map(|remainder| Step::End { remainder }),
            1 => Just(Step::Read),
        ],
        0..200,
    )
}

/// Counts, sums and observations of all that was added, and of all that ended after it was read.
#[derive(Default)]
struct Ledger {
    added: [u64; 3],
    gone: [u64; 3],
}

fn totals(cells: &[u64]) -> [u64; 3] {
    // The counter; the histogram's sum and its buckets together.
    [cells[0], cells[1], cells[2..5].iter().sum()]
}

fn plus(to: &mut [u64; 3], more: [u64; 3]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

impl Ledger {
    fn check(&mut self, table: &Table, subscription: &Subscription) -> Result<(), TestCaseError> {
        for row in subscription.take_rows() {
            prop_assert!(row.reason == RetireReason::Ended || row.successor.is_some());
            if row.successor.is_none() {
                plus(&mut self.gone, totals(&row.cells));
            }
        }
        prop_assert_eq!(subscription.take_lost_rows(), 0);
        let mut sums = self.gone;
        let mut shown = HashSet::new();
        for row in listing(table) {
            plus(&mut sums, totals(&row.cells));
            prop_assert!(shown.insert(row.text), "a text stands twice");
        }
        prop_assert_eq!(sums, self.added);
        Ok(())
    }
}

proptest! {
    /// Scenario: keys without, with the same and with changing names are counted past the limit, corrected one by one
    /// or all at once, end, and are read in between.
    /// Guarantees: after each step, all rows, the overflow row and what ended after it was read add up to all that was
    /// added, in every cell; no text shows twice; the common limit counts the rows that are there.
    #[test]
    fn sums_stay_exact(steps in steps()) {
        let (registry, _) = registry(1000);
        let names = Names::default();
        let float = InstrumentSpec { number: NumberKind::Float, ..counter("f") };
        let instruments = vec![counter("c"), histogram("h", &[10.0, 100.0]), float];
        let table =
            registry.register(spec("a", instruments, LIMIT), Box::new(names.clone())).unwrap().table;
        let subscription = registry.subscribe();
        let mut ledger = Ledger::default();
        for step in steps {
            match step {
                Step::Add { key: n, value } => {
                    let mut writer = table.write();
                    let row = writer.row(&key(n));
                    writer.add_int(row, 0, 1);
                    writer.observe_int(row, 1, value.cast_signed());
                    writer.add_int(row, 2, 1);
                    plus(&mut ledger.added, [1, value, 1]);
                }
                Step::Learn { key, name } => names.learn(key, name),
                Step::Invalidate { key: n } => {
                    table.invalidate(&key(n));
                }
                Step::InvalidateAll => {
                    table.invalidate_where(|_| true);
                }
                Step::End { remainder } => {
                    table.retire_where(|key| number(key) % 4 == remainder);
                }
                Step::Read => {
                    export(&table, "scrape");
                    registry.sweep();
                }
            }
            ledger.check(&table, &subscription)?;
            for row in listing(&table) {
                prop_assert_eq!(row.cells[5], (row.cells[0] as f64).to_bits());
            }
            prop_assert_eq!(table.stats().series, listing(&table).iter().filter(|row| !row.overflow).count());
            prop_assert_eq!(registry.series(), table.stats().series);
        }
    }

    /// Scenario: names are learnt for good, every key is corrected at once, and keys go on.
    /// Guarantees: from then on each key counts under its own name, below the limit.
    #[test]
    fn after_a_correction_keys_count_under_their_names(
        adds in proptest::collection::vec((0..KEYS, 1u64..100), 0..100),
        late in proptest::collection::vec((0..KEYS, 1u64..100), 0..100),
        learnt in proptest::collection::vec(1u32..5, KEYS as usize),
    ) {
        let (registry, _) = registry(1000);
        let names = Names::default();
        let table =
            registry.register(spec("a", vec![counter("c")], 100), Box::new(names.clone())).unwrap().table;
        let add = |n: u32, value| {
            let mut writer = table.write();
            let row = writer.row(&key(n));
            writer.add_int(row, 0, value);
        };
        for (n, value) in adds {
            add(n, value);
        }
        (0..KEYS).zip(&learnt).for_each(|(n, name)| names.learn(n, *name));
        table.invalidate_where(|_| true);
        let rows = || listing(&table).into_iter().map(|row| (row.text, row.cells[0])).collect::<BTreeMap<_, _>>();
        let before = rows();
        let mut expected = before;
        for (n, value) in late {
            add(n, value);
            *expected.entry(crate::testing::text(names.of(n))).or_default() += value;
        }
        prop_assert_eq!(rows(), expected);
    }
}
