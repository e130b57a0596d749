//! Instructions that a page takes for a series, counted by callgrind: they do not depend on what else runs.
//!
//! ```text
//! cargo build --release -p ig-exporters --example encode_bench
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/encode_bench text 4
//! ```
//! A page has 10,000 series of three labels, each with a counter and a histogram of 26 buckets. The cost of a series is
//! the difference between two runs divided by the difference of their pages, and by 10,000.

#![expect(clippy::print_stderr, reason = "a benchmark says how it is called")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use ig_exporters::prometheus::{Format, Names, PageSource};
use ig_model::InstrumentKind;
use ig_series::{InstrumentSpec, Labeler, RegisterError, Registry, RegistryLimits, TableSpec};

const SETS: u64 = 10_000;

/// Renders a key of eight bytes as three numbers.
struct Numbers;

impl Labeler for Numbers {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let number = key.try_into().map_or(0, u64::from_le_bytes);
        let part = [number / 16, number / 8 % 2, number % 8].get(index).copied().unwrap_or_default();
        out.push_str(&(part + 1_000_000).to_string());
    }
}

fn registry() -> Result<(Registry, ig_series::Table), RegisterError> {
    let registry = Registry::new(RegistryLimits { series_total: usize::MAX }, Arc::new(Names));
    let counter = InstrumentSpec::new("events", InstrumentKind::Counter);
    let bounds: Arc<[f64]> = (0..26).map(|i| 2f64.powi(i)).collect();
    let histogram = InstrumentSpec { bounds, ..InstrumentSpec::new("latency", InstrumentKind::Histogram) };
    let spec = TableSpec::new("bench", &["comm", "uid", "op"], 8, vec![counter, histogram]);
    let table = registry.register(spec, Box::new(Numbers))?.table;
    let mut writer = table.write();
    for n in 0..SETS {
        let row = writer.row(&n.to_le_bytes());
        writer.add_int(row, 0, n * n);
        writer.observe_int(row, 1, n.cast_signed());
    }
    drop(writer);
    Ok((registry, table))
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let format = match args.next().as_deref() {
        Some("text") => Some(Format::Text),
        Some("openmetrics") => Some(Format::OpenMetrics),
        _ => None,
    };
    let pages = args.next().and_then(|pages| pages.parse::<u32>().ok());
    let (Some(format), Some(pages), Ok((registry, _table))) = (format, pages, registry()) else {
        eprintln!("usage: encode_bench text|openmetrics PAGES");
        return ExitCode::from(2);
    };
    let source = PageSource::new(registry, Vec::new(), None);
    let mut frame: Vec<u8> = Vec::with_capacity(80 * 1024);
    for _ in 0..pages {
        let mut page = source.page(format);
        while page.frame(&mut frame) {
            black_box(&frame);
            frame.clear();
        }
        frame.clear();
    }
    ExitCode::SUCCESS
}
