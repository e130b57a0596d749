//! CPU per event in the collector and in the process that is traced, against a consumer written by hand.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ig_tests::{collector::Collector, exposition};

use crate::{
    load::{Load, OPENER},
    options::Options,
    peer::Peer,
    process::Process,
    report::{Figure, Report},
};

/// Events a second; none is the rest of the machine alone.
const RATES: [u32; 4] = [0, 1000, 10_000, 100_000];
/// A drain comes at least this often.
const DRAINED: Duration = Duration::from_millis(40);

/// Somebody who counts `trace_open`'s records.
enum Counter {
    Ig(Box<Collector>),
    Hand(Box<Peer>),
}

/// Samples of one counter at one rate.
#[derive(Debug, Default)]
struct Samples {
    percent: Vec<f64>,
    us_per_event: Vec<f64>,
    wakeups: Vec<f64>,
    made: Vec<f64>,
    wrong: u64,
}

/// Samples of one counter.
#[derive(Debug, Default)]
struct Side {
    rates: [Samples; RATES.len()],
    open_ns: Vec<f64>,
}

pub(crate) fn run(options: &Options, store: &Path, report: &mut Report) {
    report.section(
        "cost",
        "of events of trace_open in one counter with three labels; CPU of the whole process",
    );
    let store = store.to_str().unwrap();
    let (mut ig, mut hand, mut bare) = (Side::default(), Side::default(), Vec::new());
    for _ in 0..options.pick(4, 2) {
        bare.push(flat_out(options));
        ig.take(options, &mut Counter::Ig(Box::new(Collector::start(crate::OPEN))));
        bare.push(flat_out(options));
        hand.take(options, &mut Counter::Hand(Box::new(Peer::role(&["--as-consumer", store]))));
    }
    for (at, rate) in RATES.into_iter().enumerate() {
        let (ig, hand) = (&ig.rates[at], &hand.rates[at]);
        if rate == 0 {
            report.add(Figure::new("hand-written consumer, no load", "% of one", hand.percent.clone()));
            let figure = Figure::new("ig, no load", "% of one", ig.percent.clone());
            report.add(figure.note("no ratio: the hand-written one polls, and others open files"));
            continue;
        }
        report.add(hand.figure("hand-written consumer", rate));
        report.add(ig.figure("ig", rate).against("hand-written", &hand.percent));
        let each = Figure::new(format!("ig, CPU per event at {rate}/s"), "us", ig.us_per_event.clone());
        report.add(each.against("hand-written", &hand.us_per_event));
        let wakeups = Figure::new(format!("ig, wake-ups at {rate}/s"), "/s", ig.wakeups.clone());
        report.add(wakeups.against("hand-written", &hand.wakeups));
    }
    report.add(Figure::new("open + close, nothing attached", "ns", bare.clone()));
    let figure = Figure::new("open + close, hand-written consumer", "ns", hand.open_ns.clone());
    report.add(figure.against("nothing attached", &bare));
    let figure = Figure::new("open + close, ig", "ns", ig.open_ns.clone());
    report.add(figure.against("nothing attached", &bare));
    let added = |side: &Side| -> Vec<f64> {
        let bare = crate::report::spread(&bare).map_or(0.0, |(_, median, _)| median);
        side.open_ns.iter().map(|ns| ns - bare).collect()
    };
    let figure = Figure::new("added to a traced open by ig", "ns", added(&ig));
    report.add(figure.against("hand-written", &added(&hand)));
}

impl Samples {
    fn figure(&self, who: &str, rate: u32) -> Figure {
        let made = crate::report::spread(&self.made).map_or(0.0, |(_, median, _)| median);
        let exact = if self.wrong == 0 {
            "counts exact".to_owned()
        } else {
            format!("{} of {} repeats lost events", self.wrong, self.made.len())
        };
        Figure::new(format!("{who}, {rate} events/s"), "% of one", self.percent.clone())
            .note(format!("{made:.0}/s made, {exact}"))
    }
}

impl Side {
    fn take(&mut self, options: &Options, counter: &mut Counter) {
        let time = options.pick(Duration::from_millis(1500), Duration::from_millis(700));
        // Warm, and past the work of the start.
        Load::Open.run(1, Some(10_000.0), time / 4);
        thread::sleep(time / 2);
        for (samples, rate) in self.rates.iter_mut().zip(RATES) {
            let (received, own, _) = counter.numbers();
            thread::sleep(DRAINED);
            let (began, before) = (Instant::now(), counter.process().cpu_ns());
            let slept = counter.process().sleeps();
            let made = if rate == 0 {
                thread::sleep(time);
                0
            } else {
                Load::Open.run(1, Some(f64::from(rate)), time).events
            };
            let loaded = began.elapsed();
            thread::sleep(DRAINED);
            let took = began.elapsed().as_nanos() as f64;
            let cpu = (counter.process().cpu_ns() - before) as f64;
            samples.wakeups.push((counter.process().sleeps() - slept) as f64 / began.elapsed().as_secs_f64());
            let (received_after, own_after, lost) = counter.numbers();
            samples.percent.push(cpu / took * 100.0);
            samples.made.push(made as f64 / loaded.as_secs_f64());
            let events = (received_after - received) as f64;
            if events > 0.0 {
                samples.us_per_event.push(cpu / events / 1e3);
            }
            if own_after - own != made || lost > 0 {
                samples.wrong += 1;
            }
        }
        self.open_ns.push(flat_out(options));
    }
}

/// Nanoseconds of one `open` and `close`, as fast as one thread goes.
fn flat_out(options: &Options) -> f64 {
    Load::Open
        .run(1, None, options.pick(Duration::from_millis(500), Duration::from_millis(300)))
        .ns_per_event()
}

impl Counter {
    fn process(&self) -> Process {
        match self {
            Self::Ig(collector) => Process(collector.pid()),
            Self::Hand(peer) => peer.process(),
        }
    }

    /// Records received, those of our own opens, and those lost, since it started.
    fn numbers(&mut self) -> (u64, u64, u64) {
        match self {
            Self::Ig(collector) => {
                let samples = collector.samples();
                let sum = |name, labels: &[_]| {
                    let value = exposition::sum(&samples, name, labels).unwrap_or(0.0);
                    // Whole, and far below 2^53.
                    format!("{value:.0}").parse().unwrap()
                };
                (
                    sum("ig_gadget_events_received_total", &[]),
                    sum("bench_opens_total", &[("proc_comm", OPENER)]),
                    sum("ig_gadget_events_lost_total", &[("reason", "ringbuf")]),
                )
            }
            Self::Hand(peer) => {
                let numbers = peer.ask();
                (numbers[0], numbers[1], numbers[2])
            }
        }
    }
}
