//! A collector under test: the real binary, a configuration of its own, and its log.

use std::{
    fs::File,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{exposition, free_port, http, ig, store, wait_for};

/// A running `ig run`; killed when dropped.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    config: PathBuf,
}

impl Collector {
    /// Starts a collector with the given `gadgets:` and further sections; the Prometheus endpoint is added.
    pub fn start(sections: &str) -> Self {
        let collector = Self::spawn(sections);
        collector.wait_ready();
        collector
    }

    /// Starts a collector without waiting for it.
    pub fn spawn(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("runtime-config.yaml");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        std::fs::write(&config, document(address, sections)).unwrap();
        Self::spawn_with(folder, config, address)
    }

    /// Starts a collector on a configuration that is already written.
    pub fn spawn_with(folder: TempDir, config: PathBuf, address: SocketAddr) -> Self {
        Self::spawn_by(Command::new(ig()), folder, config, address)
    }

    /// The same with `ig` started by another program, whose arguments end where those of `ig run` begin.
    pub fn spawn_by(mut command: Command, folder: TempDir, config: PathBuf, address: SocketAddr) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .args(["run", "--store"])
            .arg(store())
            .arg("-f")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address, folder, config }
    }

    /// Waits until every gadget has been tried.
    pub fn wait_ready(&self) {
        wait_for("the collector to be ready", || {
            let answer = http::get(self.address, "/readyz", &[]).ok();
            let gone = answer.is_none() && !Path::new(&format!("/proc/{}/exe", self.pid())).exists();
            assert!(!gone, "the collector ended: {}", self.log());
            answer.filter(|answer| answer.status == 200)
        });
    }

    /// Replaces the configuration in place, as an editor that overwrites does. One write, and nothing cut off before it:
    /// whoever reads meanwhile sees the old text or the new one, so that the number of reloads is not a matter of luck.
    pub fn write_config(&self, sections: &str) {
        let mut text = document(self.address, sections);
        let old = std::fs::metadata(&self.config).unwrap().len();
        text.extend(std::iter::repeat_n('\n', usize::try_from(old).unwrap().saturating_sub(text.len())));
        let mut file = File::options().write(true).open(&self.config).unwrap();
        assert_eq!(file.write(text.as_bytes()).unwrap(), text.len());
    }

    /// Where the configuration is.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of this collector.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Prometheus endpoint.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Gets a path of the endpoint.
    pub fn get(&self, path: &str) -> http::Response {
        http::get(self.address, path, &[])
            .unwrap_or_else(|error| panic!("GET {path}: {error}; log:\n{}", self.log()))
    }

    /// The samples of a scrape.
    pub fn samples(&self) -> Vec<exposition::Sample> {
        exposition::parse(&self.get("/metrics").text())
    }

    /// The sum of the samples with this name and these labels, or 0.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        exposition::sum(&self.samples(), name, labels).unwrap_or(0.0)
    }

    /// How many reloads were carried out and refused.
    pub fn reloads(&self) -> (f64, f64) {
        let samples = self.samples();
        let count = |result| {
            exposition::sum(&samples, "ig_config_reloads_total", &[("result", result)]).unwrap_or(0.0)
        };
        (count("success"), count("failure"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the collector to end", || self.child.try_wait().unwrap())
    }

    /// Asks for the page until a sum of its samples is `expected`; more than that is wrong at once.
    pub fn wait_for_sum(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        wait_for(&format!("{name} of {labels:?} to be {expected}"), || {
            let sum = self.sum(name, labels);
            assert!(sum <= expected, "{name} of {labels:?} is {sum}, expected {expected}");
            (sum == expected).then_some(())
        });
    }

    /// Stops it with SIGTERM and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Already gone is as good.
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the log of a failed test")]
            {
                eprintln!("log of the collector:\n{}", self.log());
            }
        }
    }
}

/// A whole document around the given sections.
pub fn document(address: SocketAddr, sections: &str) -> String {
    if sections.contains("exporters:\n  prometheus") || sections.starts_with("raw:") {
        return sections.trim_start_matches("raw:").to_owned();
    }
    if let Some(rest) = sections.strip_prefix("exporters:\n") {
        return format!(
            "apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {{listen: \"{address}\"}}\n{rest}"
        );
    }
    format!(
        "apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {{listen: \"{address}\"}}\n{sections}"
    )
}
