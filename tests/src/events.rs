//! Events with known counts.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use crate::{cpu_seconds, wait_for};

/// A name that no other process has, not even another run of the same test: `prefix` of at most 7 bytes and the number
/// of this process.
pub fn own_name(prefix: &str) -> String {
    let name = format!("{prefix}-{}", std::process::id());
    assert!(name.len() <= 15, "the kernel cuts names at 15 bytes: {name}");
    name
}

/// A program with a name of its own, so that its events can be told from all others.
#[derive(Debug)]
pub struct Probe {
    path: PathBuf,
    comm: String,
}

impl Probe {
    /// Copies `/bin/true` to `folder` under [`own_name`].
    pub fn new(folder: &Path, prefix: &str) -> Self {
        let comm = own_name(prefix);
        let path = folder.join(&comm);
        ig_test_kit::executable::copy(Path::new("/bin/true"), &path);
        Self { path, comm }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name as the kernel shows it.
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// Runs the program once.
    pub fn run(&self) {
        run(&self.path);
    }

    /// Runs the program `count` times.
    pub fn run_times(&self, count: u64) {
        for _ in 0..count {
            self.run();
        }
    }

    /// Runs the program over and over until told to stop.
    pub fn run_until_stopped(&self) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let (path, stopped, counted) = (self.path.clone(), Arc::clone(&stop), Arc::clone(&count));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                run(&path);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Load { stop, count, thread: Some(thread) }
    }
}

fn run(path: &Path) {
    let status = Command::new(path).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

/// A shell that keeps a processor busy under a name of its own; killed when dropped.
#[derive(Debug)]
pub struct Busy {
    child: Child,
    folder: TempDir,
}

impl Busy {
    /// Starts one called `comm` (at most 15 bytes) that runs `before`, shell commands that end in `;`, first.
    pub fn start(comm: &str, before: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(comm);
        ig_test_kit::executable::copy(Path::new("/bin/sh"), &program);
        let script = format!("{before}while :; do :; done");
        let child = Command::new(&program).arg("-c").arg(script).stdin(Stdio::null()).spawn().unwrap();
        Self { child, folder }
    }

    /// Starts a copy of dd(1) of that name, which has the kernel copy zeroes.
    pub fn in_kernel(comm: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(comm);
        ig_test_kit::executable::copy(Path::new("/bin/dd"), &program);
        let mut command = Command::new(&program);
        command.args(["if=/dev/zero", "of=/dev/null", "bs=1M"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, folder }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its program is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until it has used this much more processor time than now.
    pub fn wait_for_work(&self, seconds: f64) {
        let until = cpu_seconds(self.pid()) + seconds;
        wait_for("a busy process to get the processor", || (cpu_seconds(self.pid()) >= until).then_some(()));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A load that goes on in the background.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Events so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends the load; returns how many events there were in all.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.count()
    }
}
