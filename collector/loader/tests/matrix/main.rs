//! Every feature of the loader beside libbpf, on this kernel: same verdict, same instructions, same behaviour.
//!
//! Why it exists: gadgets were written and tested against libbpf's conventions, so libbpf is the judge of what an object
//! means. One small program per feature is loaded by both; the kernel's tag of each program and its rewritten
//! instructions must be equal, and where a program can be run once, so must be what it writes.
//!
//! The table in `collector/docs/loader-matrix.md` has a column per kernel. With `UPDATE=1` the column of the running
//! kernel is written; without, the rows must be those of the table, and so must the cells if the kernel has a column.
//!
//! Other kernels run in VMs without a compiler: with `MATRIX_SAVE=FOLDER` the objects are only compiled into a folder,
//! with `MATRIX_OBJECTS=FOLDER` they are taken from there and the rows go to the file `MATRIX_ROWS`. Such rows, in a
//! file per kernel, are all the columns but this kernel's with `UPDATE=1 MATRIX_COLUMNS=FOLDER`.
#![cfg(test)]

#[path = "../kernel/compile.rs"]
mod compile;
mod features;
mod judge;
mod table;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ig_kernel::release::KernelRelease;
use judge::{Row, Verdict};

/// What is meant to differ from libbpf.
pub(crate) struct Departure {
    pub(crate) feature: &'static str,
    pub(crate) reason: &'static str,
    /// Before it there is no difference.
    pub(crate) since: KernelRelease,
}

const ALWAYS: KernelRelease = KernelRelease::new(0, 0, 0);
const DEPARTURES: &[Departure] = &[
    Departure {
        feature: "`socket1`",
        reason: "other loaders match the beginning of a section's name; gadgets rely on it",
        since: ALWAYS,
    },
    Departure { feature: "`classifier/ingress/x`", reason: "the same", since: ALWAYS },
    Departure { feature: "`perf_event/x`", reason: "the same", since: ALWAYS },
    Departure { feature: "`cgroup/sysctl/x`", reason: "the same", since: ALWAYS },
    Departure {
        feature: "helpers for arguments of static probes",
        reason: "since Linux 6.6 libbpf asks for the attachment's number through a uprobe-multi link, we through a perf event: another helper",
        since: KernelRelease::new(6, 6, 0),
    },
];

/// Guarantees: what libbpf loads is loaded here, into the same instructions, and does the same; what is loaded here and
/// not there is on the list above.
#[test]
fn features_agree_with_libbpf() {
    libbpf_rs::set_print(None);
    let features = match std::env::var_os("MATRIX_OBJECTS") {
        Some(folder) => features::saved(Path::new(&folder)),
        None => features::all(),
    };
    if let Some(folder) = std::env::var_os("MATRIX_SAVE") {
        return features::save(Path::new(&folder), &features);
    }
    let next = AtomicUsize::new(0);
    let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
        let work = || {
            let mut rows = Vec::new();
            while let Some((index, feature)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                features.get(index).map(|feature| (index, feature))
            } {
                rows.push((index, judge::compare(feature)));
            }
            rows
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    rows.sort_by_key(|(index, _)| *index);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();

    let mut faults = Vec::new();
    for row in &rows {
        let expected = DEPARTURES
            .iter()
            .any(|departure| departure.feature == row.feature && KernelRelease::running() >= departure.since);
        let agrees = match row.verdict {
            Verdict::Same | Verdict::Neither => !expected,
            Verdict::OursOnly | Verdict::Differs => expected,
            Verdict::LibbpfOnly => false,
        };
        if !agrees {
            faults.push(format!("{}: {}: {}", row.feature, row.verdict, row.detail));
        }
    }
    if let Some(file) = std::env::var_os("MATRIX_ROWS") {
        std::fs::write(file, table::lines(&rows)).unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    if std::env::var_os("MATRIX_OBJECTS").is_none() {
        table::check(&rows, DEPARTURES);
    }
}
