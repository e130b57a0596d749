//! What the collector costs, and what the machine would allow: figures, not verdicts.
//!
//! Every figure is taken from the `ig` binary as built, or from the library that serves `/metrics`, several times over,
//! in turns with a baseline where there is one. Absolute values belong to a machine; the ratios travel better. See
//! `README.md` beside this file for what each line means.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a benchmark makes its own input, ends where an assumption breaks, and its figures are its output"
)]

mod build;
mod consumer;
mod cost;
mod files;
mod load;
mod machine;
mod memory;
mod options;
mod peer;
mod process;
mod rates;
mod report;
mod scrape;
mod serve;
mod startup;

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Command, exit},
};

use options::{Options, Role};
use report::Report;

/// A metric of three labels, the usual load of a gadget; `image-metrics` off so that it is the only one.
const OPEN: &str = "gadgets:
  - name: open
    image: trace_open
    image-metrics: false
    metrics: [{name: bench_opens, type: counter, labels: [proc.comm, {name: uid, field: proc.creds.uid}, error]}]
";

/// The same for executions.
const EXEC: &str = "gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    metrics: [{name: bench_execs, type: counter, labels: [proc.comm, {name: uid, field: proc.creds.uid}, error]}]
";

fn main() {
    let options = Options::from_arguments(env::args().skip(1)).unwrap_or_else(|problem| {
        eprintln!("error: {problem}\n\n{}", options::USAGE);
        exit(2);
    });
    match &options.role {
        Role::Help => println!("{}", options::USAGE),
        Role::Consumer { store } => consumer::main(store),
        Role::Series { series } => serve::series(*series),
        Role::Bytes { series } => serve::bytes(*series),
        Role::Bench => bench(&options),
    }
}

fn bench(options: &Options) {
    if env::var_os("IG_BINARY").is_none() {
        // The harness of the end-to-end tests would take the debug build.
        let release = ig_tests::root().join("target/release/ig");
        let error = Command::new(env::current_exe().unwrap())
            .args(env::args().skip(1))
            .env("IG_BINARY", release)
            .exec();
        panic!("cannot start again: {error}");
    }
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build of the benchmark; its figures mean little");
    }
    let mut report = Report::new(machine::describe());
    let store = ig_tests::store();
    for section in options::SECTIONS {
        match section {
            _ if !options.wants(section) => {}
            "memory" => memory::run(options, &mut report),
            "build" => build::run(options, &mut report),
            "start" => startup::run(options, &mut report),
            "rates" => rates::run(options, &mut report),
            "cost" => cost::run(options, store, &mut report),
            "files" => files::run(options, &mut report),
            _ => scrape::run(options, &mut report),
        }
    }
    report.finish(&machine::load_average());
    if let Some(path) = &options.json
        && let Err(error) = report.write_json(path)
    {
        eprintln!("error: failed to write {}: {error}", path.display());
        exit(1);
    }
}
