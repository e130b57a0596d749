//! The highest rate of events at which none is lost.

use std::time::Duration;

use ig_tests::{collector::Collector, exposition};

use crate::{
    load::{Done, Load, OPENER, PROGRAM},
    options::Options,
    report::{Figure, Report},
};

/// What the collector said about one load.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    done: Done,
    counted: f64,
    lost: f64,
}

impl Outcome {
    /// Nothing was lost, and every event was counted once.
    fn is_exact(self) -> bool {
        self.lost < 0.5 && (self.counted - self.done.events as f64).abs() < 0.5
    }
}

/// One gadget under load.
struct Trial<'a> {
    collector: &'a Collector,
    load: &'a Load,
    metric: &'a str,
    comm: &'a str,
    time: Duration,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section("rates", "events a second with none lost and every one counted");
    let folder = tempfile::tempdir().unwrap();
    let time = options.pick(Duration::from_millis(1500), Duration::from_millis(700));
    let cases = [
        ("open", crate::OPEN, Load::Open, "bench_opens_total", OPENER),
        ("exec", crate::EXEC, Load::exec(folder.path()), "bench_execs_total", PROGRAM),
    ];
    for (name, sections, load, metric, comm) in cases {
        let collector = Collector::start(sections);
        let trial = Trial { collector: &collector, load: &load, metric, comm, time };
        trial.outcome(1, Some(1000.0)); // warm
        for threads in [1, 2] {
            trial.search(name, threads, options, report);
        }
    }
}

impl Trial<'_> {
    /// As fast as it goes; if that loses events, the highest rate that does not.
    fn search(&self, name: &str, threads: u32, options: &Options, report: &mut Report) {
        let plural = if threads == 1 { "thread" } else { "threads" };
        let outcomes: Vec<Outcome> = (0..options.pick(3, 2)).map(|_| self.outcome(threads, None)).collect();
        let rates: Vec<f64> = outcomes.iter().map(|outcome| outcome.done.per_second()).collect();
        let wrong: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_exact()).collect();
        let full = format!("{name}, {threads} {plural} flat out");
        if wrong.is_empty() {
            report.add(
                Figure::new(full, "/s", rates).note("none lost, counts exact; the producer is the limit"),
            );
            return;
        }
        let lost: f64 = wrong.iter().map(|outcome| outcome.lost).sum();
        let events: f64 = outcomes.iter().map(|outcome| outcome.done.events as f64).sum();
        let note =
            format!("{:.2} % lost; {} of {} repeats", lost / events * 100.0, wrong.len(), outcomes.len());
        let most = rates.iter().copied().fold(0.0, f64::max);
        report.add(Figure::new(full, "/s", rates).note(note));
        let unexplained = wrong.iter().any(|outcome| outcome.lost < 0.5);
        if unexplained {
            report.remark("counts differ although nothing is reported as lost: see the samples");
        }
        let (mut good, mut bad) = (0.0, most);
        for _ in 0..options.pick(6, 4) {
            let rate = if good == 0.0 { bad / 2.0 } else { f64::midpoint(good, bad) };
            let repeats = (0..2).map(|_| self.outcome(threads, Some(rate)));
            let outcomes: Vec<Outcome> = repeats.take_while(|outcome| outcome.is_exact()).collect();
            if outcomes.len() == 2 {
                good = outcomes.iter().map(|outcome| outcome.done.per_second()).fold(f64::MAX, f64::min);
            } else {
                bad = rate;
            }
        }
        report.add(
            Figure::new(format!("{name}, {threads} {plural}, evenly spread, none lost"), "/s", vec![good])
                .note(format!("bisected; lost at {bad:.0}/s")),
        );
    }

    fn outcome(&self, threads: u32, rate: Option<f64>) -> Outcome {
        let (counted, lost) = self.look();
        let done = self.load.run(threads, rate, self.time);
        let (counted_after, lost_after) = self.look();
        Outcome { done, counted: counted_after - counted, lost: lost_after - lost }
    }

    /// Events of ours that were counted, and events of anybody that were lost. A scrape drains the ring first.
    fn look(&self) -> (f64, f64) {
        let samples = self.collector.samples();
        let sum = |name, labels: &[_]| exposition::sum(&samples, name, labels).unwrap_or(0.0);
        (
            sum(self.metric, &[("proc_comm", self.comm)]),
            sum("ig_gadget_events_lost_total", &[("reason", "ringbuf")]),
        )
    }
}
