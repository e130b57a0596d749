//! What an event costs with more or less to do for it: nanoseconds of CPU a record, and its ratio to counting alone.
//!
//! `cargo run --release -p ig-runtime --example pipeline_bench`; with the number of a case and of thousands of records it
//! runs that case alone, for callgrind: the difference of two such runs is what the records cost.

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

use ig_runtime::pipeline::{Handover, Pipeline};
use pipelines::{Operators, pipeline, record};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 21;
const RECORDS: usize = 100_000;

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
    if let Some(number) = std::env::args().nth(1) {
        let (mut pipeline, _) = pipeline(cases[number.parse::<usize>().unwrap()].1);
        let rounds: usize = std::env::args().nth(2).unwrap().parse().unwrap();
        (0..rounds).for_each(|round| run(&mut pipeline, &records, round));
        return;
    }
    let mut pipelines: Vec<_> = cases.iter().map(|(_, operators)| pipeline(*operators).0).collect();
    let mut timings = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (pipeline, timings) in pipelines.iter_mut().zip(&mut timings) {
            let began = cpu_time();
            for round in 0..RECORDS / 1000 {
                run(pipeline, &records, round);
            }
            timings.push((cpu_time() - began) / RECORDS as f64);
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

/// Takes in a thousand records.
fn run(pipeline: &mut Pipeline, records: &[Vec<u8>], round: usize) {
    for record in records {
        pipeline.take(black_box(record), Handover::None);
    }
    if round.is_multiple_of(4) {
        pipeline.flush();
    }
}

/// Nanoseconds that this thread was on a CPU; other work on the machine does not count.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
