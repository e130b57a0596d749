//! Measures the series store: nanoseconds per event and per exposed series, bytes per series, against bounds taken
//! in the same run.
//!
//! Run with `cargo run --release -p ig-exporters --example series_bench`. Each figure is the median of several
//! rounds taken in turns with its bound; ratios within one run are what to compare.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark makes its own input, and its figures are its output"
)]

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use hashbrown::HashMap;
use ig_exporters::otlp::OtlpExporter;
use ig_exporters::prometheus::{Format, Names, PageSource};
use ig_model::InstrumentKind;
use ig_model::otlp::{Compression, OtlpProtocol, OtlpSettings};
use ig_series::{
    InstrumentSpec, Labeler, Registry, RegistryLimits, Row, Table, TableSpec, TableWriter, hash,
};

const ROUNDS: usize = 15;
const EVENTS: usize = 1 << 18;
const OPERATIONS: [&str; 8] = ["read", "write", "open", "close", "fsync", "stat", "connect", "accept"];

/// A key of three labels: a command of 16 bytes, a user and an operation of 4 bytes each.
type Key = [u8; 24];

fn key(n: u64) -> Key {
    let mut key = [0; 24];
    let comm = format!("process-{:06}", n / 16);
    key[..14].copy_from_slice(comm.as_bytes());
    key[16..20].copy_from_slice(&(1000 + u32::try_from(n / 8 % 2).unwrap()).to_le_bytes());
    key[20..].copy_from_slice(&u32::try_from(n % 8).unwrap().to_le_bytes());
    key
}

/// Renders keys of [`key`]; with five labels, the last two are made from the first.
struct Bench;

impl Labeler for Bench {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let word = |at: usize| u32::from_le_bytes(key[at..at + 4].try_into().unwrap());
        match index {
            0 => out.push_str(std::str::from_utf8(&key[..16]).unwrap().trim_end_matches('\0')),
            1 => out.push_str(&word(16).to_string()),
            2 => out.push_str(OPERATIONS[word(20) as usize]),
            3 => {
                out.push_str("team-");
                out.push_str(&(key[13] % 37).to_string());
            }
            _ => {
                out.push_str("service-");
                out.push_str(std::str::from_utf8(&key[8..14]).unwrap());
                out.push_str("-5d8f6c7b9");
            }
        }
    }
}

fn table(registry: &Registry, labels: &[&str], instrument: InstrumentSpec) -> Table {
    let spec = TableSpec::new("bench", labels, 24, vec![instrument]);
    registry.register(spec, Box::new(Bench)).unwrap().table
}

fn counter() -> InstrumentSpec {
    InstrumentSpec::new("gadget_events", InstrumentKind::Counter)
}

fn registry() -> Registry {
    Registry::new(RegistryLimits { series_total: usize::MAX }, Arc::new(Names))
}

/// xorshift64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Median of several timings, in nanoseconds per unit.
#[derive(Default)]
struct Timing(Vec<f64>);

impl Timing {
    fn take(&mut self, units: usize, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        self.0.push(began.elapsed().as_nanos() as f64 / units as f64);
    }

    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[self.0.len() / 2]
    }
}

/// Finds the row of each key as a measure does, and hands it on with the number of the event in its batch.
fn sixteen_at_a_time(table: &Table, stream: &[Key], mut write: impl FnMut(&mut TableWriter<'_>, Row, usize)) {
    let mut hashes = [0; 16];
    for batch in stream.chunks(2048) {
        let mut writer = table.write();
        for (at, group) in batch.chunks(16).enumerate() {
            for (known, key) in hashes.iter_mut().zip(group) {
                *known = hash(key);
                writer.prefetch(*known);
            }
            for (n, (known, key)) in hashes.iter().zip(group).enumerate() {
                let row = writer.row_hashed(key, *known);
                write(&mut writer, row, at * 16 + n);
            }
        }
    }
}

fn events(sets: u64) {
    let registry = registry();
    let counters = table(&registry, &["comm", "uid", "op"], counter());
    let keys: Vec<Key> = (0..sets).map(key).collect();
    let mut random = Random(0x1234_5678_9abc_def1);
    let stream: Vec<Key> = (0..EVENTS).map(|_| keys[(random.next() % sets) as usize]).collect();
    let mut map: HashMap<Key, u64, foldhash::fast::RandomState> = HashMap::default();
    let bounds: Arc<[f64]> = (0..26).map(|i| 2f64.powi(i)).collect();
    let histograms = {
        let registry = registry;
        let kind = InstrumentKind::Histogram;
        let histogram = InstrumentSpec { bounds, ..InstrumentSpec::new("gadget_events", kind) };
        let table = table(&registry, &["comm", "uid", "op", "h"], histogram);
        (registry, table)
    };
    let mut wide: HashMap<Key, [u64; 28], foldhash::fast::RandomState> = HashMap::default();
    for key in &keys {
        counters.write().row(key);
        histograms.1.write().row(key);
        map.insert(*key, 0);
        wide.insert(*key, [0; 28]);
    }
    let [mut hand, mut single, mut prefetched, mut hand_wide, mut prefetched_wide]: [Timing; 5] =
        Default::default();
    for _ in 0..ROUNDS {
        hand.take(EVENTS, || {
            for key in &stream {
                *map.entry(*key).or_insert(0) += 1;
            }
        });
        single.take(EVENTS, || {
            for batch in stream.chunks(2048) {
                let mut writer = counters.write();
                for key in batch {
                    let row = writer.row(key);
                    writer.add_int(row, 0, 1);
                }
            }
        });
        prefetched.take(EVENTS, || {
            sixteen_at_a_time(&counters, &stream, |writer, row, _| writer.add_int(row, 0, 1));
        });
        hand_wide.take(EVENTS, || {
            for (n, key) in stream.iter().enumerate() {
                let value = n as u64 | 1;
                let cells = wide.entry(*key).or_insert([0; 28]);
                cells[(63 - value.leading_zeros() as usize).min(25)] += 1;
                cells[27] += value;
            }
        });
        prefetched_wide.take(EVENTS, || {
            sixteen_at_a_time(&histograms.1, &stream, |writer, row, n| {
                writer.observe_int(row, 0, i64::try_from(n).unwrap() | 1);
            });
        });
    }
    black_box((&map, &wide));
    let (hand, single, prefetched) = (hand.median(), single.median(), prefetched.median());
    let (hand_wide, prefetched_wide) = (hand_wide.median(), prefetched_wide.median());
    println!(
        "{sets:>7} sets | hashbrown {hand:6.1} ns | row {single:6.1} ({:.2}x) | prefetch {prefetched:6.1} ({:.2}x) | histogram: hashbrown {hand_wide:6.1}, prefetch {prefetched_wide:6.1} ({:.2}x)",
        single / hand,
        prefetched / hand,
        prefetched_wide / hand_wide
    );
}

fn scrape(series: u64) {
    let registry = registry();
    let labels = ["comm", "uid", "op", "namespace", "pod"];
    let counters = table(&registry, &labels, counter());
    let mut random = Random(7);
    let mut first = Timing::default();
    first.take(usize::try_from(series).unwrap(), || {
        let mut writer = counters.write();
        for n in 0..series {
            let row = writer.row(&key(n));
            writer.add_int(row, 0, random.next() >> (40 + n % 24));
        }
    });
    let bytes = counters.stats().bytes as f64 / series as f64;
    let source = PageSource::new(registry.clone(), Vec::new(), None);
    let mut page = Vec::new();
    let mut frames = source.page(Format::Text);
    while frames.frame(&mut page) {}
    let mut copy = vec![0u8; page.len()];
    let mut frame: Vec<u8> = Vec::with_capacity(80 * 1024);
    let units = usize::try_from(series).unwrap();
    let mut timings: [Timing; 4] = Default::default();
    let mut packed = 0;
    for _ in 0..ROUNDS {
        timings[0].take(units, || copy.copy_from_slice(black_box(&page)));
        timings[1].take(units, || {
            let mut frames = source.page(Format::Text);
            loop {
                frame.clear();
                let more = frames.frame(&mut frame);
                black_box(&frame);
                if !more {
                    break;
                }
            }
        });
        timings[2].take(units, || {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            for chunk in page.chunks(64 * 1024) {
                gzip.write_all(chunk).unwrap();
            }
            packed = gzip.finish().unwrap().len();
        });
        timings[3].take(units, || {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            let mut frames = source.page(Format::Text);
            loop {
                frame.clear();
                let more = frames.frame(&mut frame);
                gzip.write_all(&frame).unwrap();
                if !more {
                    break;
                }
            }
            black_box(gzip.finish().unwrap());
        });
    }
    let [copied, plain, compressor, gzip] = timings.each_mut().map(Timing::median);
    println!(
        "{series:>7} series | line {:.0} B, kept {bytes:.0} B, first sight {:.0} ns | memcpy {copied:5.1} ns, page {plain:5.1} ({:.2}x) | compressor {compressor:5.1}, gzip page {gzip:5.1} ({:.2}x), {:.1} B on the wire",
        page.len() as f64 / series as f64,
        first.median(),
        plain / copied,
        gzip / compressor,
        packed as f64 / series as f64,
    );
    otlp(&registry, series);
}

/// CPU of both ends for each series, at a receiver that takes everything and looks at nothing: the first round of an
/// exporter, which encodes the attributes of all series, and those after it.
fn otlp(registry: &Registry, series: u64) {
    const LATER: u64 = 5;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, later) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/v1/metrics", axum::routing::post(async |_: bytes::Bytes| ()))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let settings = OtlpSettings {
            endpoint,
            protocol: OtlpProtocol::HttpProtobuf,
            compression: Compression::None,
            interval: Duration::from_millis(500),
            ..OtlpSettings::default()
        };
        let proxies = ig_model::Proxies::default();
        let (exporter, handle) = OtlpExporter::new(&settings, &[], registry, &proxies, None).unwrap();
        let round = async |number: u64| {
            while handle.metrics().exported_items < number * series {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cpu_ns()
        };
        let measured = async {
            let began = cpu_ns();
            let first = round(1).await;
            let later = round(1 + LATER).await;
            ((first - began) / series as f64, (later - first) / (LATER * series) as f64)
        };
        tokio::select! {
            measured = measured => measured,
            report = exporter.run(tokio_util::sync::CancellationToken::new()) => panic!("it ended: {report:?}"),
            served = async { axum::serve(listener, router).await } => panic!("the receiver ended: {served:?}"),
        }
    });
    println!(
        "        otlp over loopback http, both ends: {later:.0} ns of CPU a series, {first:.0} in the first round"
    );
}

/// CPU time of this thread, nanoseconds.
fn cpu_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean nothing");
    }
    for sets in [100, 10_000, 100_000] {
        events(sets);
    }
    for series in [1000, 10_000, 100_000] {
        scrape(series);
    }
}
