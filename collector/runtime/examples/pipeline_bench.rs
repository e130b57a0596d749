//! What an event costs with more or less to do for it: nanoseconds of CPU a record, and its ratio to counting alone.
//!
//! `cargo run --release -p ig-runtime --example pipeline_bench`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a benchmark makes its own input, and its figures are its output"
)]

#[path = "../tests/allocations/pipelines.rs"]
mod pipelines;

use std::hint::black_box;

use ig_runtime::pipeline::Handover;
use pipelines::{Operators, pipeline, record};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 21;
const RECORDS: u32 = 100_000;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean nothing");
    }
    let records: Vec<Vec<u8>> = (0..1000).map(record).collect();
    let cases = [
        ("counter of three labels", Operators::None),
        ("the same behind a filter", Operators::Filter),
        ("and every column as text", Operators::All),
    ];
    let mut pipelines: Vec<_> = cases.iter().map(|(_, operators)| pipeline(*operators).0).collect();
    let mut timings = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (pipeline, timings) in pipelines.iter_mut().zip(&mut timings) {
            let began = cpu_time();
            for round in 0..RECORDS / 1000 {
                for record in &records {
                    pipeline.take(black_box(record), Handover::None);
                }
                if round % 4 == 0 {
                    pipeline.flush();
                }
            }
            timings.push((cpu_time() - began) / f64::from(RECORDS));
        }
    }
    let medians: Vec<f64> = timings
        .iter_mut()
        .map(|timings| {
            timings.sort_by(f64::total_cmp);
            timings[timings.len() / 2]
        })
        .collect();
    println!("| per record | ns | ratio |\n|---|---|---|");
    for ((name, _), ns) in cases.iter().zip(&medians) {
        println!("| {name} | {ns:.0} | {:.2} |", ns / medians[0]);
    }
}

/// Nanoseconds that this thread was on a CPU; other work on the machine does not count.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
