//! Measures what a filter expression costs: nanoseconds per record for 1, 3 and 10 comparisons, beside the rules of
//! `filter` that say the same.
//!
//! Run with `cargo run --release -p ig-operators --example expression_bench`. Each figure is the median of rounds taken
//! in turns.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark makes its own input, and its figures are its output"
)]

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind};
use ig_operators::{Columns, Expression, Filter, FormatContext, expression, filter, format::Accounts};

const ROUNDS: usize = 15;
const RECORDS: usize = 1 << 16;

/// Each holds for every record, so that all of them are looked at.
const CASES: [(&str, &str, &str); 7] = [
    ("1 number", "pid>=1", "pid >= 1"),
    ("1 text", "comm!=runc", "comm != 'runc'"),
    ("3 mixed", "comm!=runc,pid>=1,ret==0", "comm != 'runc' and pid >= 1 and ret == 0"),
    (
        "10 mixed",
        "comm!=runc,pid>=1,ret==0,comm!=sh,pid<100000,ret<1,comm!=containerd,pid!=70000,ret>=0,comm!=bash",
        "comm != 'runc' and pid >= 1 and ret == 0 and comm != 'sh' and pid < 100000 and ret < 1 and comm != 'containerd' and pid != 70000 and ret >= 0 and comm != 'bash'",
    ),
    ("text in 8", "", "comm not in ['runc', 'sh', 'bash', 'zsh', 'dash', 'ls', 'cat', 'ps']"),
    ("pattern", "comm~^process-[0-9]+$", "comm matches '^process-[0-9]+$'"),
    ("lower + contains", "", "lower(comm) contains 'cess'"),
];

fn main() {
    let fields = vec![
        Field::new("comm", FieldKind::CString, 0, 16),
        Field::new("pid", FieldKind::Uint32, 16, 4),
        Field::new("ret", FieldKind::Int32, 20, 4),
    ];
    let origin = Origin::Tracer { map: "events".to_owned() };
    let source = DataSource { fields, ..DataSource::new("bench", SourceKind::Single, origin, 24) };
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    let columns = Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(0), accounts });
    let records: Vec<[u8; 24]> = (0..RECORDS)
        .map(|number| {
            let mut record = [0; 24];
            let comm = format!("process-{number:05}");
            record[..comm.len()].copy_from_slice(comm.as_bytes());
            record[16..20].copy_from_slice(&(number as u32 + 1).to_ne_bytes());
            record
        })
        .collect();
    println!("{:<18}{:>14}{:>14}", "ns/record", "filter-expr", "filter");
    for (name, rules, text) in CASES {
        let expression = Expression::plan(text, &columns).unwrap();
        let rules = (!rules.is_empty()).then(|| Filter::plan(rules, &columns).unwrap());
        let (mut scratch, mut other) = (expression::Scratch::default(), filter::Scratch::default());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(time(&records, |record| expression.keeps(record, &mut scratch) == Ok(true)));
            if let Some(rules) = &rules {
                theirs.push(time(&records, |record| rules.keeps(record, &mut other)));
            }
        }
        println!("{name:<18}{:>14.1}{:>14.1}", median(&mut ours), median(&mut theirs));
    }
}

fn time(records: &[[u8; 24]], mut keeps: impl FnMut(&[u8]) -> bool) -> f64 {
    let started = Instant::now();
    let kept = records.iter().filter(|record| keeps(black_box(*record))).count();
    assert_eq!(kept, RECORDS);
    started.elapsed().as_nanos() as f64 / RECORDS as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
