//! Walks through a store whose rows end and change their text meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ig_series::testing::{counter, histogram, key, number, registry, spec};
use ig_series::{Labeler, LeftTables, Registry};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

/// Names that become known late; a key without one is `0`.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<u32, u32>>>);

impl Labeler for Names {
    fn render(&self, key: &[u8], _: usize, out: &mut String) {
        let name = self.0.lock().unwrap().get(&number(key)).copied().unwrap_or(0);
        out.push_str(&name.to_string());
    }
}

/// A round like any other.
static NONE_LEFT: LeftTables = LeftTables::new();
const SCOPE: Scope<'static> =
    Scope { exporter: "main", left: &NONE_LEFT, ends: true, round: Round::Next, now: 0 };

/// An exporter with delta temporality, without its delivery.
struct Bench {
    registry: Registry,
    table: Table,
    names: Names,
    subscription: Subscription,
    memory: RowMemory,
}

impl Bench {
    fn new(limit: usize) -> Self {
        let registry = registry(100_000).0;
        let names = Names::default();
        let instruments = vec![counter("c"), histogram("h", &[10.0])];
        let table = registry.register(spec("a", instruments, limit), Box::new(names.clone())).unwrap().table;
        let subscription = registry.subscribe();
        Self { registry, table, names, subscription, memory: RowMemory::new(Temporality::Delta) }
    }

    fn add(&self, n: u32, value: u64) {
        let mut writer = self.table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, value);
        writer.observe_int(row, 1, value.cast_signed());
    }

    fn learn(&self, n: u32, name: u32) {
        self.names.0.lock().unwrap().insert(n, name);
    }

    fn context<'a>(&'a mut self, clock: &'a dyn Clock) -> Context<'a> {
        let Self { subscription, memory, .. } = self;
        Context {
            resource: &[],
            temporality: Temporality::Delta,
            most_points: MOST_POINTS,
            clock,
            subscription,
            memory,
        }
    }

    /// One collection, each message of which is accepted or not; returns what was accepted.
    fn collect(&mut self, mut accepts: impl FnMut() -> bool) -> u64 {
        let clock = self.registry.clock();
        self.memory.begin();
        let mut collection = Collection::new(&self.registry.directory(), &SCOPE);
        let (mut accepted, mut delivered) = (0, true);
        while let Some(batch) = collection.next(&mut self.context(&*clock)) {
            if accepts() {
                accepted += total(&batch.bytes);
                self.memory.commit(batch.commit);
            } else {
                self.memory.take_back(batch.told, false);
                delivered = false;
            }
        }
        if delivered {
            collection.delivered("main");
        }
        accepted
    }
}

/// The values of all sum points, which must equal those of the histograms.
fn total(message: &[u8]) -> u64 {
    let request = ExportMetricsServiceRequest::decode(message).unwrap();
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut total = 0;
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        if let Some(Data::Sum(sum)) = &metric.data {
            for point in &sum.data_points {
                if point.flags == 1 {
                    continue;
                }
                let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
                total += value.cast_unsigned();
            }
        }
    }
    total
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, u64),
    Learn(u32, u32),
    Invalidate,
    End(u32),
    Sweep,
    Collect { accept: bool },
}

proptest! {
    /// Scenario: keys count, get names late and end, rows are renamed and merged, messages are accepted or refused in
    /// between.
    /// Guarantees: once the last message is accepted, the deltas add up to what was counted: nothing that was sent under
    /// an old text is sent again under the new one, and nothing is left out.
    #[test]
    fn deltas_stay_exact_over_corrections(steps in proptest::collection::vec(prop_oneof![
        4 => (0u32..8, 1u64..100).prop_map(|(key, value)| Step::Add(key, value)),
        2 => (0u32..8, 0u32..4).prop_map(|(key, name)| Step::Learn(key, name)),
        2 => Just(Step::Invalidate),
        1 => (0u32..4).prop_map(Step::End),
        1 => Just(Step::Sweep),
        2 => any::<bool>().prop_map(|accept| Step::Collect { accept }),
    ], 0..80)) {
        let mut bench = Bench::new(5);
        let (mut counted, mut accepted) = (0, 0);
        for step in steps {
            match step {
                Step::Add(n, value) => {
                    bench.add(n, value);
                    counted += value;
                }
                Step::Learn(n, name) => bench.learn(n, name),
                Step::Invalidate => {
                    bench.table.invalidate_where(|_| true);
                }
                Step::End(remainder) => {
                    bench.table.retire_where(|key| number(key) % 4 == remainder);
                }
                Step::Sweep => bench.registry.sweep(),
                Step::Collect { accept } => accepted += bench.collect(|| accept),
            }
        }
        accepted += bench.collect(|| true);
        prop_assert_eq!(accepted, counted);
    }
}

/// Scenario: between two locks of one message, a row that it holds already is merged into one that comes later.
/// Guarantees: the message is closed before the later row is read; accepted or not, nothing is sent twice.
#[test]
fn a_merge_within_a_message_closes_it() {
    for accept in [true, false] {
        let mut bench = Bench::new(10_000);
        let rows = u32::try_from(ROWS_A_LOCK).unwrap() + 100;
        for n in 1..=rows {
            bench.learn(n, n);
            bench.add(n, 1);
        }
        let clock = bench.registry.clock();
        let collection = Collection::new(&bench.registry.directory(), &SCOPE);
        let (mut draft, mut position, mut horizon) = (Draft::default(), 0, Horizon::default());
        let column = &collection.columns[0];
        let progress =
            draft.fill(column, &collection.shown, &mut position, &mut horizon, &mut bench.context(&*clock));
        assert!(matches!(progress, Progress::More));
        bench.learn(1, rows);
        assert!(bench.table.invalidate(&key(1)));
        let before = draft.count;
        let progress =
            draft.fill(column, &collection.shown, &mut position, &mut horizon, &mut bench.context(&*clock));
        assert!(matches!(progress, Progress::Close));
        assert_eq!(draft.count, before);
        let mut accepted = 0;
        if accept {
            accepted += draft.count;
            bench.memory.commit(draft.commit);
        }
        accepted += bench.collect(|| true);
        assert_eq!(accepted, u64::from(rows));
    }
}

/// Scenario: rows end; others take their places.
/// Guarantees: what was encoded for them is given up, so memory does not grow with rows that come and go.
#[test]
fn attributes_of_ended_rows_are_given_up() {
    let mut bench = Bench::new(10_000);
    for round in 0..50 {
        for n in 0..1000 {
            bench.learn(n, round * 1000 + n);
            bench.add(n, 1);
        }
        assert_eq!(bench.collect(|| true), 1000);
        bench.table.retire_where(|_| true);
    }
    let held = bench.memory.attributes.bytes();
    assert!(held < 400_000, "{held} bytes for 1000 rows");
}

/// A push without its delivery.
struct Push {
    temporality: Temporality,
    subscription: Subscription,
    memory: RowMemory,
    /// Cumulative: the last value of each series, by its labels and start.
    known: HashMap<String, u64>,
    increases: u64,
}

impl Push {
    fn new(registry: &Registry, temporality: Temporality) -> Self {
        let (subscription, memory) = (registry.subscribe(), RowMemory::new(temporality));
        Self { temporality, subscription, memory, known: HashMap::new(), increases: 0 }
    }

    fn collect(&mut self, registry: &Registry, accept: bool) {
        let clock = registry.clock();
        let name = format!("{:?}", self.temporality);
        self.memory.begin();
        let mut collection = Collection::new(&registry.directory(), &Scope { exporter: &name, ..SCOPE });
        let mut cx = Context {
            resource: &[],
            temporality: self.temporality,
            most_points: MOST_POINTS,
            clock: &*clock,
            subscription: &self.subscription,
            memory: &mut self.memory,
        };
        while let Some(batch) = collection.next(&mut cx) {
            if !accept {
                cx.memory.take_back(batch.told, false);
                continue;
            }
            for (series, value) in points(&batch.bytes) {
                let before = match self.temporality {
                    Temporality::Cumulative => self.known.insert(series, value).unwrap_or(0),
                    Temporality::Delta => 0,
                };
                self.increases += value - before;
            }
            cx.memory.commit(batch.commit);
        }
        if accept {
            collection.delivered(&name);
        }
    }
}

/// Each point of the sums: its labels and start, and its value.
fn points(message: &[u8]) -> Vec<(String, u64)> {
    let request = ExportMetricsServiceRequest::decode(message).unwrap();
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut points = Vec::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let Some(Data::Sum(sum)) = &metric.data else { continue };
        for point in &sum.data_points {
            if point.flags == 1 {
                continue;
            }
            let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
            points.push((
                format!("{:?}{}", point.attributes, point.start_time_unix_nano),
                value.cast_unsigned(),
            ));
        }
    }
    points
}

/// Scenario: a page, a cumulative and a delta push, some refused, read a table that is far too small for its keys, each of
/// which counts for a while and is then idle.
/// Guarantees: what each of the three has seen as increases adds up to what was counted.
#[test]
fn three_exporters_see_every_increase() {
    let (registry, clock) = registry(100_000);
    let stale_after = Some(std::time::Duration::from_secs(2));
    let spec = ig_series::TableSpec { stale_after, ..spec("a", vec![counter("c")], 8) };
    let table = registry.register(spec, ig_series::testing::labeler()).unwrap().table;
    let source = crate::prometheus::PageSource::new(registry.clone(), Vec::new(), None);
    let mut pushes = [Temporality::Cumulative, Temporality::Delta].map(|kind| Push::new(&registry, kind));
    let (mut shown, mut seen) = (HashMap::new(), 0);
    let mut scrape = || {
        let (page, _) = crate::prometheus::tests::read(&source, crate::prometheus::Format::Text);
        let before = std::mem::take(&mut shown);
        for line in page.lines().filter(|line| line.starts_with("c_total{")) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: u64 = value.parse().unwrap();
            seen += value - before.get(series).copied().unwrap_or(0);
            shown.insert(series.to_owned(), value);
        }
        seen
    };
    for round in 0..240u32 {
        for n in 0..5 {
            let mut writer = table.write();
            let row = writer.row(&key(round * 4 + n));
            writer.add_int(row, 0, 1000);
            drop(writer);
            clock.advance(std::time::Duration::from_millis(100));
        }
        clock.advance(std::time::Duration::from_millis(500));
        registry.sweep();
        if round.is_multiple_of(3) {
            scrape();
        }
        for push in &mut pushes {
            push.collect(&registry, round % 4 != 1);
        }
    }
    assert_eq!(scrape(), 1_200_000);
    for push in &mut pushes {
        push.collect(&registry, true);
        assert_eq!(push.increases, 1_200_000, "{:?}", push.temporality);
    }
    let stats = table.stats();
    let ended =
        stats.retired[ig_series::RetireReason::Evicted] + stats.retired[ig_series::RetireReason::Stale];
    assert!(ended > 100, "{stats:?}");
}
