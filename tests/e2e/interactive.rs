//! `ig run IMAGE` as somebody uses it by hand or in a pipe: output modes, flags, faults, and how a run ends.

mod faults;
mod modes;
mod screen;

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use ig_tests::{ig, store, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How a run ended, and all it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Standard output of modes that are no text.
    raw: Vec<u8>,
}

/// `ig run IMAGE` with its streams in files; killed when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    child: Child,
    folder: TempDir,
}

impl Watch {
    /// Starts a gadget and waits until its programs are attached.
    pub(crate) fn start(image: &str, flags: &[&str]) -> Self {
        let mut watch = Self::spawn(image, flags);
        wait_for("the gadget to start", || {
            let log = watch.read("stderr");
            let ended = watch.child.try_wait().unwrap();
            assert!(ended.is_none(), "the run ended with {ended:?}: {log}");
            log.contains("gadget.started").then_some(())
        });
        watch
    }

    fn spawn(image: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command(image, flags).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { child, folder }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    /// Waits until standard output holds `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_for(text, || self.read("stdout").contains(text).then_some(()));
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    pub(crate) fn interrupt(self) -> Ended {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.wait()
    }

    /// Waits for the run to end by itself.
    fn wait(mut self) -> Ended {
        let status = wait_for("the run to end", || self.child.try_wait().unwrap());
        let raw = fs::read(self.folder.path().join("stdout")).unwrap();
        Ended { status, stdout: self.read("stdout"), stderr: self.read("stderr"), raw }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Already gone is as good.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// `ig run IMAGE` on the tests' own store, logging its start; it never asks a registry.
fn command(image: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(ig());
    command
        .args(["-v", "run", "--pull", "never", "--store"])
        .arg(store())
        .arg(image)
        .args(flags)
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    command
}

/// A run that ends by itself.
fn run(image: &str, flags: &[&str]) -> Ended {
    Watch::spawn(image, flags).wait()
}

/// A process that sleeps under a name of its own; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new(path: &Path) -> Self {
        ig_test_kit::executable::copy(Path::new("/bin/sleep"), path);
        let child = Command::new(path).arg("600").stdin(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
