//! The store against a plain model, and the cases the model does not reach.

mod exports;
mod life;
mod model;
mod truth;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ig_model::InstrumentKind;

use crate::testing::{
    START, Suffixed, counter, export, folding, gauge, histogram, key, labeler, listing, registry, spec,
    sum_of, text,
};
use crate::{
    FamilyName, InstrumentSpec, LabelKind, LabelPlan, LabelSpec, Labeler, Naming, Registry, RegistryLimits,
    RetireReason, TableSpec, Verbatim, hash,
};

/// Scenario: more keys than the limit allows, some seen before the table was full.
/// Guarantees: known rows go on, the rest lands in the overflow row, and all sums add up.
#[test]
fn past_the_limit_values_go_to_the_overflow_row() {
    let (registry, _) = registry(1000);
    let table = registry.register(spec("a", vec![counter("c")], 3), labeler()).unwrap().table;
    let mut writer = table.write();
    for round in 0..2u64 {
        for n in 0..10 {
            let row = writer.row(&key(n));
            assert_eq!(row.is_overflow(), n >= 3);
            writer.add_int(row, 0, u64::from(n) + round);
        }
    }
    drop(writer);
    let stats = table.stats();
    assert_eq!((stats.series, stats.overflow_events, stats.refused_sightings_total), (3, 14, 14));
    assert!((5..=8).contains(&stats.refused_series), "an estimate of 7: {}", stats.refused_series);
    assert_eq!(sum_of(&table, 0), 2 * 45 + 10);
    assert_eq!(listing(&table).len(), 4, "three rows and the overflow row");
}

/// Scenario: two tables share the common limit; one leaves.
/// Guarantees: neither may pass the common limit, and what leaves makes room.
#[test]
fn the_common_limit_counts_all_tables() {
    let (registry, _) = registry(5);
    let first = registry.register(spec("a", vec![counter("c")], 100), labeler()).unwrap().table;
    let second = registry.register(spec("b", vec![counter("d")], 100), labeler()).unwrap().table;
    for n in 0..4 {
        assert!(!first.write().row(&key(n)).is_overflow());
    }
    for n in 0..4 {
        second.write().row(&key(n));
    }
    assert_eq!((first.stats().series, second.stats().series, registry.series()), (4, 1, 5));
    first.unregister();
    first.unregister();
    assert_eq!(registry.series(), 1);
    first.write().row(&key(77));
    assert_eq!(registry.series(), 1, "a table that left no longer counts");
    assert!(!second.write().row(&key(5)).is_overflow());
    registry.set_limits(RegistryLimits { series_total: 2 });
    assert!(second.write().row(&key(6)).is_overflow());
}

/// Scenario: a gadget is reloaded: its successor registers the same table before it goes.
/// Guarantees: both write to one table, which stays until the last of them has gone.
#[test]
fn a_successor_continues_the_counters() {
    let (registry, _) = registry(100);
    let old = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    let row = old.write().row(&key(1));
    old.write().add_int(row, 0, 5);
    let mut longer = spec("a", vec![counter("c")], 20);
    if let Some(instrument) = longer.instruments.first_mut() {
        instrument.description = "another sentence".to_owned();
    }
    let new = registry.register(longer, labeler()).unwrap().table;
    assert!(new.same_table(&old));
    let row = new.write().row(&key(1));
    new.write().add_int(row, 0, 6);
    assert_eq!((sum_of(&new, 0), new.stats().limit), (11, 20));
    drop(old);
    assert_eq!(registry.tables().len(), 1);
    drop(new);
    assert!(registry.tables().is_empty());
    assert_eq!(registry.series(), 0);

    let fresh = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    assert_eq!(sum_of(&fresh, 0), 0);
    let other = registry.register(spec("b", vec![counter("x")], 10), labeler()).unwrap().table;
    assert!(!other.same_table(&fresh));
}

/// Scenario: two gadgets claim one metric name: with another type, in the same scope, through a suffix.
/// Guarantees: the first keeps it, the second is told who holds it, works otherwise, and takes over once the first
/// has gone.
#[test]
fn the_second_claim_of_a_name_is_refused_and_named() {
    let (registry, _) = registry(100);
    let first = registry
        .register(spec("first", vec![counter("hits"), histogram("lat", &[1.0])], 10), labeler())
        .unwrap();
    assert!(first.refused.is_empty());
    let instruments = vec![gauge("hits_total"), gauge("lat_sum"), counter("fine"), counter("ig_x")];
    let second = registry.register(spec("second", instruments, 10), labeler()).unwrap();
    let refused: Vec<&str> = second.refused.iter().map(|refusal| refusal.metric.as_str()).collect();
    assert_eq!(refused, ["hits_total", "lat_sum", "ig_x_total"]);
    assert!(second.refused[0].reason.contains("gadget `first`"), "{}", second.refused[0].reason);
    assert!(second.refused[1].reason.contains("histogram `lat` of gadget `first`"));

    let mut same_scope = spec("third", vec![counter("hits")], 10);
    same_scope.scope = "first".to_owned();
    let third = registry.register(same_scope, labeler()).unwrap();
    assert_eq!(third.refused.len(), 1);
    let other_scope = registry.register(spec("fourth", vec![counter("hits")], 10), labeler()).unwrap();
    assert!(other_scope.refused.is_empty(), "one family may have several scopes");

    drop(first);
    drop(other_scope);
    assert_eq!(second.table.refused().len(), 1, "only the reserved name: {:?}", second.table.refused());
    let refused = third.table.refused();
    assert!(refused[0].reason.contains("gadget `second`"), "the eldest left has the name: {refused:?}");
    drop(second);
    assert!(third.table.refused().is_empty());
}

/// Scenario: a gadget is reloaded with other labels, or with another type for one metric.
/// Guarantees: the newest table is exposed, nothing is refused, and the old one returns if the new one goes.
#[test]
fn within_a_gadget_the_newest_table_wins() {
    let (registry, _) = registry(100);
    let old = registry.register(spec("a", vec![counter("c"), counter("kept")], 10), labeler()).unwrap();
    let mut changed = spec("a", vec![counter("c")], 10);
    changed.labels.truncate(1);
    let new = registry.register(changed, labeler()).unwrap();
    assert!(new.refused.is_empty() && old.table.refused().is_empty());
    let shown = |name: &str| {
        let directory = registry.directory();
        let family = directory.families.iter().find(|family| family.name == name).unwrap();
        family.members.iter().map(|member| member.table.id()).collect::<Vec<_>>()
    };
    assert_eq!(shown("c_total"), [new.table.id()]);
    assert_eq!(shown("kept_total"), [old.table.id()]);
    drop(new);
    assert_eq!(shown("c_total"), [old.table.id()]);
}

/// Scenario: keys that differ but render alike.
/// Guarantees: one exposed series, whatever the number of keys.
#[test]
fn keys_that_render_alike_share_a_row() {
    let (registry, _) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 5), folding(3)).unwrap().table;
    let mut writer = table.write();
    for n in 0..3000 {
        let row = writer.row(&key(n));
        assert!(!row.is_overflow());
        writer.add_int(row, 0, 1);
    }
    drop(writer);
    assert_eq!(table.stats().series, 3);
    assert_eq!(sum_of(&table, 0), 3000);
}

/// Scenario: an array source is read three times; a process comes and goes.
/// Guarantees: gauges show the last reading only; counters of the same table stay.
#[test]
fn gauges_absent_from_the_last_snapshot_disappear() {
    let (registry, _) = registry(100);
    let mut only_gauges = spec("a", vec![gauge("g")], 10);
    only_gauges.snapshot = true;
    let gauges = registry.register(only_gauges, labeler()).unwrap().table;
    let mixed = registry.register(spec("b", vec![gauge("h"), counter("c")], 10), labeler()).unwrap().table;
    for present in [0..4u32, 2..6, 5..6] {
        for table in [&gauges, &mixed] {
            let mut writer = table.write();
            writer.begin_snapshot();
            for n in present.clone() {
                let row = writer.row(&key(n));
                writer.set_int(row, 0, i64::from(n));
                writer.add_int(row, 1, 1);
            }
            writer.end_snapshot();
        }
    }
    assert_eq!(gauges.stats().series, 1);
    assert_eq!(mixed.stats().series, 6);
    let shown: Vec<bool> = listing(&mixed).iter().map(|row| !row.hides_gauges).collect();
    assert_eq!(shown, [false, false, false, false, false, true]);
    assert_eq!(sum_of(&mixed, 1), 9);
}

/// Scenario: gauges and counters are left alone for their stale time; an exporter has read them.
/// Guarantees: idle gauges and counters go, those in use stay.
#[test]
fn sweeping_removes_idle_series() {
    let (registry, clock) = registry(100);
    let stale = Some(Duration::from_mins(1));
    let gauges = registry
        .register(TableSpec { stale_after: stale, ..spec("a", vec![gauge("g")], 10) }, labeler())
        .unwrap()
        .table;
    let counters = registry
        .register(TableSpec { stale_after: stale, ..spec("b", vec![counter("c")], 10) }, labeler())
        .unwrap()
        .table;
    for table in [&gauges, &counters] {
        table.write().row(&key(1));
        table.write().row(&key(2));
        export(table, "scrape");
    }
    clock.advance(Duration::from_secs(50));
    for table in [&gauges, &counters] {
        table.write().row(&key(2));
    }
    clock.advance(Duration::from_secs(20));
    registry.sweep();
    assert_eq!((gauges.stats().series, counters.stats().series), (1, 1));
    for table in [&gauges, &counters] {
        assert_eq!(listing(table).first().map(|row| row.text.clone()), Some(text(2)));
    }
}

/// Scenario: an idle counter is evicted for a new one and comes back later.
/// Guarantees: the oldest goes first, rows in use never, and a returning series starts anew with a new start time.
#[test]
fn the_longest_idle_row_makes_room() {
    let (registry, clock) = registry(100);
    let stale_after = Some(Duration::from_mins(1));
    let table = registry
        .register(TableSpec { stale_after, ..spec("a", vec![counter("c")], 3) }, labeler())
        .unwrap()
        .table;
    for n in 0..3 {
        let mut writer = table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, 100);
        drop(writer);
        clock.advance(Duration::from_secs(10));
    }
    assert!(table.write().row(&key(9)).is_overflow(), "nothing is stale yet");
    export(&table, "scrape");
    clock.advance(Duration::from_secs(45));
    table.write().row(&key(1));
    assert!(!table.write().row(&key(9)).is_overflow());
    let texts: Vec<Vec<u8>> = listing(&table).into_iter().filter(|r| !r.overflow).map(|r| r.text).collect();
    assert_eq!(texts, [text(9), text(1), text(2)]);
    assert_eq!(table.stats().retired[RetireReason::Evicted], 1);
    export(&table, "scrape");
    clock.advance(Duration::from_mins(1));
    let mut writer = table.write();
    let row = writer.row(&key(0));
    writer.add_int(row, 0, 1);
    drop(writer);
    let rows = listing(&table);
    let back = rows.iter().find(|row| row.text == text(0)).unwrap();
    assert_eq!((back.cells[0], back.start), (1, START + 135_000_000_000));
}

/// Scenario: a slot array as the kernel keeps it, imported twice, once into other bounds.
/// Guarantees: slot `i` lands in the bucket of `2^i`, `+Inf` stays empty, the sum is exact.
#[test]
fn slot_arrays_are_imported_bucket_by_bucket() {
    let (registry, _) = registry(100);
    let powers: Vec<f64> = (0..27).map(|i| 2f64.powi(i)).collect();
    let instruments = vec![histogram("h", &powers), histogram("coarse", &[3.0, 100.0])];
    let table = registry.register(spec("a", instruments, 3), labeler()).unwrap().table;
    let slots: Vec<u32> = (0..27).map(|i| i * 3).collect();
    let mut writer = table.write();
    let row = writer.row(&key(0));
    for _ in 0..2 {
        writer.add_slots(row, 0, slots.iter().copied());
        writer.add_slots(row, 1, slots.iter().map(|slot| u64::from(*slot)));
    }
    writer.observe_int(row, 0, 1 << 40);
    drop(writer);
    let cells = listing(&table)[0].cells.clone();
    let expected: Vec<u64> = slots.iter().map(|slot| u64::from(*slot) * 2).collect();
    assert_eq!(cells[1..28], expected);
    let sum: u64 = expected.iter().enumerate().map(|(i, count)| count << i).sum();
    assert_eq!((cells[0], cells[28]), (sum + (1 << 40), 1));
    let coarse =
        [sum, expected[..2].iter().sum(), expected[2..7].iter().sum(), expected[7..].iter().sum::<u64>()];
    assert_eq!(cells[29..33], coarse);
}

#[test]
fn tables_that_cannot_work_are_refused_with_a_reason() {
    let (registry, _) = registry(100);
    let cases = [
        (spec("a", vec![], 1), "table of gadget `a` has no instruments"),
        (spec("a", vec![histogram("h", &[2.0, 1.0])], 1), "strictly growing"),
        (spec("a", vec![InstrumentSpec { scale: f64::NAN, ..counter("c") }], 1), "scale"),
        (TableSpec { key_len: 1 << 20, ..spec("a", vec![counter("c")], 1) }, "key bytes"),
    ];
    for (spec, expected) in cases {
        let error = registry.register(spec, labeler()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Scenario: labels that become one name, labels full of special characters, overlong text.
/// Guarantees: text is escaped, bounded, and reads back as it was.
#[test]
fn label_text_reads_back() {
    struct Fixed(Vec<String>);
    impl Labeler for Fixed {
        fn render(&self, _: &[u8], index: usize, out: &mut String) {
            out.push_str(&self.0[index]);
        }
    }
    let names = ["a.b", "plain", "a_b", "empty"];
    let specs: Vec<LabelSpec> =
        names.iter().map(|name| LabelSpec { name: (*name).to_owned(), kind: LabelKind::Str }).collect();
    let values = ["x\\y\"z\n;", "päth,=\"}", "first", ""].map(str::to_owned).to_vec();
    let (mut scratch, mut text) = (Vec::new(), Vec::new());
    let plan = LabelPlan::new(&specs, &Suffixed, false);
    plan.render(&Fixed(values.clone()), b"", &mut scratch, &mut text);
    let shown = std::str::from_utf8(plan.shown(&text)).unwrap();
    assert_eq!(shown, "a_b=\"first;x\\\\y\\\"z\\n;\",plain=\"päth,=\\\"}\",");
    let mut back = Vec::new();
    plan.read_back(&text, |spec, value| back.push((spec.name.clone(), value.to_owned())));
    let expected: Vec<(String, String)> =
        names.iter().map(|name| (*name).to_owned()).zip(values.clone()).take(3).collect();
    assert_eq!(back, expected, "a label without value is none");

    let plan = LabelPlan::new(&specs[1..], &Suffixed, false);
    for values in [["", "x", ""], ["x", "", "y"], ["", "", ""]] {
        text.clear();
        plan.render(&Fixed(values.map(str::to_owned).to_vec()), b"", &mut scratch, &mut text);
        assert!(!std::str::from_utf8(&text).unwrap().contains("=\"\""));
        let mut back = Vec::new();
        plan.read_back(&text, |spec, value| back.push((spec.name.clone(), value.to_owned())));
        let pairs = names[1..].iter().zip(values).filter(|(_, value)| !value.is_empty());
        assert_eq!(
            back,
            pairs.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect::<Vec<_>>()
        );
    }

    let single = LabelPlan::new(&specs[1..2], &Suffixed, false);
    text.clear();
    single.render(&Fixed(vec!["ä".repeat(5000)]), b"", &mut scratch, &mut text);
    assert_eq!(text.len(), "plain=\"\",".len() + 4096);
}

/// Scenario: keys of a length that is no multiple of eight, looked up with a hash made before and without.
/// Guarantees: both find the same rows.
#[test]
fn prefetched_lookup_finds_the_same_rows() {
    struct Hex;
    impl Labeler for Hex {
        fn render(&self, key: &[u8], _: usize, out: &mut String) {
            out.extend(key.iter().map(|byte| format!("{byte:02x}")));
        }
    }
    let (registry, _) = registry(10_000);
    let table = registry
        .register(TableSpec { key_len: 11, ..spec("a", vec![counter("c")], 500) }, Box::new(Hex))
        .unwrap()
        .table;
    let keys: Vec<[u8; 11]> = (0..700u32)
        .map(|n| {
            let mut key = [7; 11];
            key[6..10].copy_from_slice(&(n * 7919 % 600).to_le_bytes());
            key
        })
        .collect();
    let mut writer = table.write();
    for key in &keys {
        let row = writer.row(key);
        writer.prefetch(hash(key));
        assert_eq!(writer.row_hashed(key, hash(key)), row);
    }
    drop(writer);
    assert_eq!(table.stats().series, 500);
}

#[test]
fn a_registry_on_the_system_clock_works() {
    let registry = Registry::new(RegistryLimits { series_total: 10 }, Arc::new(Verbatim));
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    table.write().row(&key(1));
    assert!(listing(&table)[0].start > 1_600_000_000_000_000_000);
}

/// Names as they are, and how often somebody asked for those of a family.
#[derive(Default)]
struct Counted(AtomicU64);

impl Naming for Counted {
    fn label(&self, name: &str, has_histograms: bool) -> String {
        Verbatim.label(name, has_histograms)
    }

    fn family(&self, name: &str, unit: &str, kind: InstrumentKind) -> FamilyName {
        self.0.fetch_add(1, Ordering::Relaxed);
        Verbatim.family(name, unit, kind)
    }

    fn samples(&self, family: &str, kind: InstrumentKind) -> Vec<String> {
        Verbatim.samples(family, kind)
    }

    fn reserved(&self, family: &str) -> Option<String> {
        Verbatim.reserved(family)
    }
}

/// Scenario: two hundred gadgets come, of which the last stands in the way of the first; half of them go at once.
/// Guarantees: each costs its own size, not that of all others; what is exposed is what it would be if they had all come
/// at the same time.
#[test]
fn many_tables_cost_their_number() {
    const TABLES: usize = 200;
    let naming = Arc::new(Counted::default());
    let asked = || naming.0.swap(0, Ordering::Relaxed);
    let registry = Registry::new(RegistryLimits { series_total: 0 }, Arc::clone(&naming) as Arc<dyn Naming>);
    let register = |number: usize, metric: &str| {
        let spec = spec(&format!("gadget{number}"), vec![counter(metric)], 10);
        registry.register(spec, labeler()).unwrap()
    };
    let mut tables: Vec<_> = (0..TABLES).map(|number| register(number, &format!("m{number:03}"))).collect();
    assert_eq!(asked(), TABLES as u64);
    let mut last = spec("last", vec![gauge("m000"), counter("fine")], 10);
    last.scope = "gadget0".to_owned();
    let last = registry.register(last, labeler()).unwrap();
    assert_eq!(last.refused.len(), 1);
    asked();
    let listed = || {
        let directory = registry.directory();
        let families = directory.families.iter().map(|family| (family.name.clone(), family.members.len()));
        families.collect::<Vec<_>>()
    };
    let appended = listed();
    assert_eq!(appended.len(), TABLES + 1);
    drop(register(TABLES, "another"));
    assert_eq!(listed(), appended);
    asked();
    tables.drain(..TABLES / 2);
    assert!(last.table.refused().is_empty());
    assert_eq!(listed().len(), TABLES / 2 + 2);
    assert!(asked() <= TABLES as u64);
}
