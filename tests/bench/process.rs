//! What another process uses, from `/proc`.

use std::{fs, thread, time::Duration};

/// Memory in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) anonymous: f64,
}

/// A process looked at from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// What is resident now.
    pub(crate) fn memory(self) -> Memory {
        let text = self.read("smaps_rollup");
        Memory { resident: kib(&text, "Rss:"), anonymous: kib(&text, "Anonymous:") }
    }

    /// The median of some readings, once it has been the same for a while or `patience` is over.
    pub(crate) fn settled_memory(self, patience: Duration) -> Memory {
        const PAUSE: Duration = Duration::from_millis(100);
        const CALM: usize = 8;
        let mut readings: Vec<Memory> = Vec::new();
        for _ in 0..patience.as_millis() / PAUSE.as_millis() {
            readings.push(self.memory());
            let recent = &readings[readings.len().saturating_sub(CALM)..];
            let first = recent[0].anonymous;
            if recent.len() == CALM && recent.iter().all(|reading| (reading.anonymous - first).abs() < 64.0) {
                break;
            }
            thread::sleep(PAUSE);
        }
        let recent = &readings[readings.len().saturating_sub(CALM)..];
        let median = |of: fn(&Memory) -> f64| {
            let values: Vec<f64> = recent.iter().map(of).collect();
            crate::report::spread(&values).map_or(0.0, |(_, median, _)| median)
        };
        Memory {
            resident: median(|reading| reading.resident),
            anonymous: median(|reading| reading.anonymous),
        }
    }

    /// The greatest resident size since [`Process::reset_peak`], in KiB.
    pub(crate) fn peak(self) -> f64 {
        kib(&self.read("status"), "VmHWM:")
    }

    /// Forgets the peak.
    pub(crate) fn reset_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").unwrap();
    }

    /// Resident KiB of mappings whose name holds `what`.
    pub(crate) fn mapped(self, what: &str) -> f64 {
        let (mut sum, mut wanted) = (0.0, false);
        for line in self.read("smaps").lines() {
            let key = line.split(' ').next().unwrap_or_default();
            if !key.ends_with(':') {
                wanted = line.contains(what);
            } else if wanted && key == "Rss:" {
                sum += kib(line, key);
            }
        }
        sum
    }

    /// How often its threads went to sleep by themselves: each time is a wake-up.
    pub(crate) fn sleeps(self) -> u64 {
        self.threads_sum("status", |text| {
            text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
        })
    }

    /// Threads.
    pub(crate) fn threads(self) -> f64 {
        self.read("status")
            .lines()
            .find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())
            .unwrap_or(0.0)
    }

    /// CPU time of all living threads in nanoseconds; the clock ticks of `stat` are too coarse.
    pub(crate) fn cpu_ns(self) -> u64 {
        self.threads_sum("schedstat", |text| text.split(' ').next()?.parse().ok())
    }

    fn threads_sum(self, file: &str, number: impl Fn(&str) -> Option<u64>) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join(file)).ok())
            .filter_map(|text| number(&text))
            .sum()
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap()
    }
}

fn kib(text: &str, key: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {key} in {text}"))
}
