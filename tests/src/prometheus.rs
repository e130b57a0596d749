//! Debian's Prometheus, scraping a collector every second.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{free_port, http, wait_for};

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes `target` every second.
    pub fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: ig\n    honor_labels: true\n    \
                 static_configs: [{{targets: [\"{target}\"]}}]\n"
            ),
        )
        .unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("prometheus is not installed: run tests/tools.sh test");
        let server = Self { child, address, _folder: folder };
        wait_for("Prometheus", || {
            http::get(address, "/-/ready", &[]).ok().filter(|answer| answer.status == 200)
        });
        server
    }

    /// The value of an instant query with a single result, if there is one.
    pub fn query(&self, query: &str) -> Option<f64> {
        let path = format!("/api/v1/query?query={}", encode(query));
        let answer = http::get(self.address, &path, &[]).ok()?;
        let document: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        let results = document["data"]["result"].as_array()?;
        assert!(results.len() <= 1, "{query} has several results: {document}");
        results.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Asks until the query has this value.
    pub fn wait_for_value(&self, query: &str, value: f64) {
        wait_for(&format!("`{query}` to be {value}"), || (self.query(query) == Some(value)).then_some(()));
    }

    /// The error of the last scrape, empty when it went well.
    pub fn scrape_error(&self) -> String {
        let answer = http::get(self.address, "/api/v1/targets", &[]).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        document["data"]["activeTargets"][0]["lastError"].as_str().unwrap_or("no target").to_owned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
