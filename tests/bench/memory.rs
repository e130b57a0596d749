//! Resident memory with no gadget, one and eight; CPU while idle; the time a stop takes.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ig_tests::{collector::Collector, http};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::{
    options::Options,
    peer::Peer,
    process::Process,
    report::{Figure, Report},
};

/// Samples of one number of gadgets.
#[derive(Debug, Default)]
struct Samples {
    resident: Vec<f64>,
    anonymous: Vec<f64>,
    rings: Vec<f64>,
    threads: Vec<f64>,
    idle: Vec<f64>,
    stop: Vec<f64>,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section("memory", "of `ig run` after its start, and what it does while nothing happens");
    let sizes = [
        ("no gadget", "gadgets: []\n".to_owned()),
        ("1 gadget", crate::EXEC.to_owned()),
        ("8 gadgets", eight()),
    ];
    let mut floor = Samples::default();
    let mut samples: [Samples; 3] = Default::default();
    for _ in 0..options.pick(4, 1) {
        take_floor(&mut floor);
        for ((_, sections), samples) in sizes.iter().zip(&mut samples) {
            take(options, sections, samples);
        }
    }
    let what = "empty tokio + axum process";
    report.add(Figure::new(what, "KiB", floor.resident.clone()));
    report.add(Figure::new(format!("{what}, anonymous"), "KiB", floor.anonymous.clone()));
    for ((name, _), of) in sizes.iter().zip(&samples) {
        report.add(
            Figure::new(format!("ig, {name}"), "KiB", of.resident.clone()).against("empty", &floor.resident),
        );
        let anonymous = Figure::new(format!("ig, {name}, anonymous"), "KiB", of.anonymous.clone());
        report.add(anonymous.against("empty", &floor.anonymous));
    }
    let rings = Figure::new("ig, 8 gadgets, mapped ring buffers", "KiB", samples[2].rings.clone());
    report.add(rings.note("kernel memory, counted twice: the data area is mapped twice in a row"));
    let each = |from: fn(&Samples) -> &Vec<f64>| -> Vec<f64> {
        from(&samples[2]).iter().zip(from(&samples[1])).map(|(eight, one)| (eight - one) / 7.0).collect()
    };
    report.add(Figure::new("ig, each gadget after the first", "KiB", each(|samples| &samples.resident)));
    report.add(Figure::new("the same, anonymous", "KiB", each(|samples| &samples.anonymous)));
    report.add(Figure::new("ig, 8 gadgets, threads", "", samples[2].threads.clone()));
    let size = fs::metadata(ig_tests::ig()).unwrap().len() as f64;
    report.add(Figure::new("binary", "MiB", vec![size / 1_048_576.0]));
    for ((name, _), of) in sizes.iter().zip(&samples) {
        report.add(
            Figure::new(format!("CPU while idle, {name}"), "% of one", of.idle.clone())
                .note("the machine's other activity included"),
        );
    }
    for ((name, _), of) in sizes.iter().zip(&samples) {
        report.add(Figure::new(format!("SIGTERM to exit, {name}"), "ms", of.stop.clone()));
    }
}

/// The gadgets of the quick start.
pub(crate) fn eight() -> String {
    let text = fs::read_to_string(ig_tests::root().join("config/examples/quickstart.yaml")).unwrap();
    text[text.find("\ngadgets:\n").unwrap() + 1..].to_owned()
}

fn take_floor(samples: &mut Samples) {
    let floor = Peer::start(&mut Command::new(env!("CARGO_BIN_EXE_ig-bench-floor")));
    assert_eq!(http::get(floor.hello.parse().unwrap(), "/metrics", &[]).unwrap().status, 200);
    let memory = floor.process().settled_memory(Duration::from_secs(1));
    samples.resident.push(memory.resident);
    samples.anonymous.push(memory.anonymous);
}

fn take(options: &Options, sections: &str, samples: &mut Samples) {
    let mut collector = Collector::start(sections);
    assert_eq!(collector.get("/metrics").status, 200);
    let process = Process(collector.pid());
    let memory = process.settled_memory(options.pick(Duration::from_secs(4), Duration::from_secs(2)));
    samples.resident.push(memory.resident);
    samples.anonymous.push(memory.anonymous);
    samples.rings.push(process.mapped("bpf-map"));
    samples.threads.push(process.threads());
    let (began, before) = (Instant::now(), process.cpu_ns());
    thread::sleep(options.pick(Duration::from_secs(2), Duration::from_secs(1)));
    samples.idle.push((process.cpu_ns() - before) as f64 / began.elapsed().as_nanos() as f64 * 100.0);
    let began = Instant::now();
    collector.signal(Signal::TERM);
    // Finer than the harness waits.
    while !has_ended(collector.pid()) {
        thread::sleep(Duration::from_millis(1));
    }
    samples.stop.push(began.elapsed().as_secs_f64() * 1e3);
    assert!(collector.wait().success(), "{}", collector.log());
}

/// Whether a child has ended with all its threads; it stays to be waited for.
fn has_ended(pid: u32) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), look).unwrap().is_some()
}
