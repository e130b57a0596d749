//! A collector under test: the real binary, a configuration of its own, and its log.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{exposition, free_port, http, ig, store, wait_for};

/// Time a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

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
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(ig())
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
        wait_for("the collector to be ready", START, || {
            let answer = http::get(self.address, "/readyz", &[]).ok();
            let gone = answer.is_none() && !Path::new(&format!("/proc/{}/exe", self.pid())).exists();
            assert!(!gone, "the collector ended: {}", self.log());
            answer.filter(|answer| answer.status == 200)
        });
    }

    /// Replaces the configuration in place, as an editor that overwrites does.
    pub fn write_config(&self, sections: &str) {
        std::fs::write(&self.config, document(self.address, sections)).unwrap();
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
        wait_for("the collector to end", START, || self.child.try_wait().unwrap())
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
