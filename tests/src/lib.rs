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
    clippy::float_cmp,
    reason = "test support: a broken assumption must end the test where it broke; floats that are compared are counts"
)]

pub mod collector;
pub mod events;
pub mod exposition;
pub mod http;
pub mod prometheus;
pub mod registry;

pub use ig_test_kit::port::free as free_port;

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

/// Time anything may take before it counts as hanging. Nothing is told from anything else by it: a machine that is busy
/// with other things is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Asks until the answer is there; panics with `what` when [`PATIENCE`] is over.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up after {PATIENCE:?} waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A name that nothing else on the machine has, now or before: for what outlives a process, such as cgroups.
pub fn unique(prefix: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}-{}-{now}", std::process::id())
}

/// Processor time that a process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|text| text.parse::<u64>().unwrap()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
