//! What end-to-end tests share: a running collector, Prometheus beside it, events to count, and HTTP to ask.
//!
//! Everything here is the real thing: the `ig` binary as built, the kernel underneath, Debian's Prometheus. A piece
//! that is missing is a failure with its name, never a silent skip.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test support: a broken assumption must end the test where it broke"
)]

pub mod collector;
pub mod events;
pub mod exposition;
pub mod http;
pub mod prometheus;
pub mod registry;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The `ig` binary: the one `IG_BINARY` names, else the debug build.
pub fn ig() -> PathBuf {
    let path = std::env::var_os("IG_BINARY").map_or_else(|| target().join("debug/ig"), PathBuf::from);
    assert!(path.exists(), "{} does not exist; build it with `cargo build -p ig`", path.display());
    path
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A store with every gadget of the repository, built by `ig image build` once per test run.
pub fn store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = target().join("e2e-store");
        for gadget in gadgets() {
            build_gadget(&store, &root().join("gadgets").join(&gadget), &gadget);
        }
        store
    })
}

/// Names of the repository's gadgets.
pub fn gadgets() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("gadgets"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("gadget.yaml").exists())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Builds the gadget in `folder` into `store` under `name`.
pub fn build_gadget(store: &Path, folder: &Path, name: &str) {
    let output = Command::new(ig())
        .args(["image", "--store"])
        .arg(store)
        .arg("build")
        .arg(folder)
        .args(["-t", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "building {name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Asks until the answer is there; panics with `what` after `patience`.
pub fn wait_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up after {patience:?} waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port of the loopback that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
