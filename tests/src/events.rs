//! Events with known counts.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A program with a name of its own, so that its events can be told from all others.
#[derive(Debug)]
pub struct Probe {
    path: PathBuf,
    comm: String,
}

impl Probe {
    /// Copies `/bin/true` to `folder` under `comm` (at most 15 bytes).
    pub fn new(folder: &Path, comm: &str) -> Self {
        assert!(comm.len() <= 15, "the kernel cuts names at 15 bytes");
        let path = folder.join(comm);
        fs::copy("/bin/true", &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, comm: comm.to_owned() }
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
