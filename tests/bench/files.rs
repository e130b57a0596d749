//! What others read beside the files that the collector follows, and what that costs the collector: it must be nothing.

use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ig_tests::collector::Collector;

use crate::{
    options::Options,
    process::Process,
    report::{Figure, Report},
};

/// Opened by every program that starts, in a folder that is watched where `/etc/ig` does not exist.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// What a collector used while something was opened.
#[derive(Debug, Default)]
struct Samples {
    percent: Vec<f64>,
    wakeups: Vec<f64>,
    opens: Vec<f64>,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section("files", "no gadget; one thread opens and closes a file as fast as it goes");
    let collector = Collector::start("gadgets: []\n");
    let neighbour = collector.folder().join("neighbour");
    fs::write(&neighbour, "not ours").unwrap();
    let time = options.pick(Duration::from_secs(2), Duration::from_millis(700));
    let cases = [
        ("elsewhere", Path::new("/dev/null")),
        ("beside the configuration", &neighbour),
        ("of the loader's cache", Path::new(LOADER_CACHE)),
    ];
    let mut samples = [(); 3].map(|()| Samples::default());
    for _ in 0..options.pick(6, 3) {
        for ((_, path), samples) in cases.iter().zip(&mut samples) {
            samples.take(Process(collector.pid()), path, time);
        }
    }
    let [elsewhere, ..] = &samples;
    for ((name, _), case) in cases.iter().zip(&samples) {
        let opens = crate::report::spread(&case.opens).map_or(0.0, |(_, median, _)| median);
        let figure = Figure::new(format!("ig, opens {name}"), "% of one", case.percent.clone());
        report.add(figure.against("elsewhere", &elsewhere.percent).note(format!("{opens:.0} opens/s")));
        let figure = Figure::new(format!("ig, wake-ups by opens {name}"), "/s", case.wakeups.clone());
        report.add(figure.against("elsewhere", &elsewhere.wakeups));
    }
}

impl Samples {
    fn take(&mut self, process: Process, path: &Path, time: Duration) {
        // Past the work of what came before.
        thread::sleep(Duration::from_millis(100));
        let (began, cpu, sleeps) = (Instant::now(), process.cpu_ns(), process.sleeps());
        let mut opens = 0_u32;
        while began.elapsed() < time {
            drop(File::open(path).unwrap());
            opens += 1;
        }
        let took = began.elapsed();
        self.percent.push((process.cpu_ns() - cpu) as f64 / took.as_nanos() as f64 * 100.0);
        self.wakeups.push((process.sleeps() - sleeps) as f64 / took.as_secs_f64());
        self.opens.push(f64::from(opens) / took.as_secs_f64());
    }
}
