//! A real OCI registry on the loopback, Debian's docker-registry.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{free_port, ig, wait_for};

/// A registry over plain HTTP; stopped when dropped.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    folder: TempDir,
    port: u16,
}

impl Registry {
    /// Starts one with nothing in it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        Self { server: serve(folder.path(), port), folder, port }
    }

    /// `host:port`, as it stands at the beginning of an image's name.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the server; what was pushed stays.
    pub fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts the server again.
    pub fn start_again(&mut self) {
        self.server = serve(self.folder.path(), self.port);
    }

    /// Pushes an image of `store`, with its signatures.
    pub fn push(&self, store: &Path, image: &str) {
        let host = self.host();
        ig_image(store, &["push", image, "--insecure-registries", &host]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn serve(folder: &Path, port: u16) -> Child {
    let config = folder.join("config.yml");
    let data = folder.join("data");
    fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: 127.0.0.1:{port}}}\n",
            data.display()
        ),
    )
    .unwrap();
    let server = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("docker-registry: {error}; `tests/tools.sh test` installs it"));
    wait_for("the registry", || TcpStream::connect(("127.0.0.1", port)).ok());
    server
}

/// Runs an `ig image` command on a store; it must succeed.
pub fn ig_image(store: &Path, arguments: &[&str]) -> String {
    let output = Command::new(ig()).args(["image", "--store"]).arg(store).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ig image {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
