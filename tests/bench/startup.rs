//! From `exec` of `ig` to the first scrape that shows an event.

use std::{
    thread,
    time::{Duration, Instant},
};

use ig_tests::{collector::Collector, http};

use crate::{
    load::{Load, PROGRAM},
    memory::eight,
    options::Options,
    report::{Figure, Report},
};

/// Far beyond what a start takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section(
        "start",
        "from exec of `ig`, images in the store, to a scrape that shows an event since then",
    );
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..options.pick(9, 5) {
        one.push(first_sample(crate::EXEC));
        all.push(first_sample(&eight()));
    }
    report.add(Figure::new("first sample, 1 gadget", "ms", one));
    report.add(Figure::new("first sample, 8 gadgets", "ms", all));
}

fn first_sample(sections: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let load = Load::exec(folder.path());
    let began = Instant::now();
    let collector = Collector::spawn(sections);
    let wanted = format!("proc_comm=\"{PROGRAM}\"");
    loop {
        // Until the gadget is attached nobody sees these.
        load.once();
        let page = http::get(collector.address(), "/metrics", &[]);
        if page.is_ok_and(|page| page.status == 200 && page.text().contains(&wanted)) {
            return began.elapsed().as_secs_f64() * 1e3;
        }
        assert!(began.elapsed() < PATIENCE, "no sample: {}", collector.log());
        thread::sleep(Duration::from_millis(1));
    }
}
