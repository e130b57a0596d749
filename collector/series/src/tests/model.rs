//! The store does what a hash map would, within its limits.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::testing::{counter, folding, histogram, key, listing, registry, spec, text};
use crate::{Table, TableSpec};

const LIMIT: usize = 6;
const STALE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Step {
    Add { key: u32, value: u64 },
    Wait { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let add = (0u32..24, 0u64..1000).prop_map(|(key, value)| Step::Add { key, value });
    let wait = (0u64..15_000).prop_map(|millis| Step::Wait { millis });
    proptest::collection::vec(prop_oneof![4 => add, 1 => wait], 0..300)
}

#[derive(Default)]
struct Model {
    /// Text to count, sum and time of the last touch.
    rows: HashMap<Vec<u8>, (u64, u64, u64)>,
    overflow: (u64, u64),
    now: u64,
}

proptest! {
    /// Scenario: keys, a third of which render like another, come in any order with pauses, past the limit.
    /// Guarantees: known rows hold exactly what was added since they appeared; only rows idle for the stale time
    /// ever go, and only to make room; the rest, what they held included, is in the overflow row; no text shows twice.
    #[test]
    fn behaves_as_a_map_with_limits(steps in steps()) {
        let (registry, clock) = registry(1000);
        let instruments = vec![counter("c"), histogram("h", &[10.0, 100.0])];
        let spec = TableSpec { stale_after: Some(STALE), ..spec("a", instruments, LIMIT) };
        let table = registry.register(spec, folding(16)).unwrap().table;
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Wait { millis } => {
                    clock.advance(Duration::from_millis(millis));
                    model.now += millis;
                }
                Step::Add { key: n, value } => {
                    let mut writer = table.write();
                    let row = writer.row(&key(n));
                    writer.add_int(row, 0, 1);
                    writer.observe_int(row, 1, value.cast_signed());
                    drop(writer);
                    let text = text(n % 16);
                    follow(&mut model, &table, row.is_overflow(), text, value)?;
                }
            }
        }
        compare(&model, &table)?;
        prop_assert_eq!(registry.series(), model.rows.len());
    }
}

/// Applies an addition to the model, taking from the table only which row it evicted.
fn follow(
    model: &mut Model,
    table: &Table,
    overflowed: bool,
    text: Vec<u8>,
    value: u64,
) -> Result<(), TestCaseError> {
    if overflowed {
        prop_assert!(!model.rows.contains_key(&text) && model.rows.len() == LIMIT);
        model.overflow.0 += 1;
        model.overflow.1 += value;
        return Ok(());
    }
    if !model.rows.contains_key(&text) && model.rows.len() == LIMIT {
        let present: Vec<Vec<u8>> = listing(table).into_iter().map(|row| row.text).collect();
        let gone: Vec<Vec<u8>> = model.rows.keys().filter(|text| !present.contains(text)).cloned().collect();
        prop_assert_eq!(gone.len(), 1);
        // Nobody reads the table: the overflow row takes the values of what goes.
        let (count, sum, touched) = model.rows.remove(&gone[0]).unwrap();
        model.overflow.0 += count;
        model.overflow.1 += sum;
        prop_assert!(u128::from(model.now - touched) >= STALE.as_millis());
        let oldest = model.rows.values().map(|row| row.2).min().unwrap();
        // Ticks are 64 ms wide.
        prop_assert!(touched <= oldest + 64, "an older row was left");
    }
    let now = model.now;
    let row = model.rows.entry(text).or_default();
    *row = (row.0 + 1, row.1 + value, now);
    Ok(())
}

fn compare(model: &Model, table: &Table) -> Result<(), TestCaseError> {
    let mut seen = 0;
    for row in listing(table) {
        let (count, sum) = if row.overflow {
            model.overflow
        } else {
            seen += 1;
            let known = model.rows.get(&row.text);
            prop_assert!(known.is_some());
            known.map(|row| (row.0, row.1)).unwrap()
        };
        prop_assert_eq!(row.cells[0], count);
        prop_assert_eq!(row.cells[2..5].iter().sum::<u64>(), count);
        prop_assert_eq!(row.cells[1], sum);
    }
    prop_assert_eq!(seen, model.rows.len());
    Ok(())
}
