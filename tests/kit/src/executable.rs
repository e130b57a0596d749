//! Executables that tests make and run.
//!
//! Linux refuses to run a file that anybody holds open for writing: `ETXTBSY`, "Text file busy". A test process has many
//! threads, and a child that one of them starts holds, until its own exec, every descriptor that any other thread had
//! open at that moment. So a test that writes a file and then runs it fails whenever another thread starts a process in
//! between, however carefully it closed the file. Here another process writes it, in which nothing starts processes.
//!
//! Every test that makes a program or script does so through this crate; what compilers write is written by a process of
//! their own already.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Copies a program, so that it can be run under another name; everybody may run the copy.
pub fn copy(program: &Path, to: &Path) {
    finish(install(program, to, Stdio::null()), to);
}

/// Writes a script that everybody may run; one that is there is replaced.
pub fn script(path: &Path, text: &str) {
    let mut child = install(Path::new("/dev/stdin"), path, Stdio::piped());
    // Dropped at the end of the statement: that ends the input.
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    finish(child, path);
}

fn install(from: &Path, to: &Path, input: Stdio) -> Child {
    Command::new("install")
        .args(["-m", "0755", "-T", "--"])
        .args([from, to])
        .stdin(input)
        .stderr(Stdio::piped())
        .spawn()
        .expect("install(1) is part of coreutils")
}

fn finish(child: Child, to: &Path) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", to.display(), String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::process::CommandExt as _,
        path::Path,
        process::Command,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::{copy, script};

    /// Makes and runs executables while four threads start processes without pause.
    fn beside_children(mut work: impl FnMut(&Path)) {
        let stop = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let user = rustix::process::getuid().as_raw();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        // A given user makes the library fork, as most threads of a test run do sooner or later.
                        assert!(Command::new("true").uid(user).status().unwrap().success());
                    }
                });
            }
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for round in 0..200 {
                    let path = folder.path().join(round.to_string());
                    work(&path);
                    let output =
                        Command::new(&path).output().unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert!(output.status.success());
                }
            }));
            stop.store(true, Ordering::Relaxed);
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    }

    /// Scenario: programs are copied and run while other threads start processes all the time.
    /// Guarantees: each of them runs; written by the test itself some are busy.
    #[test]
    fn copies_are_never_busy() {
        beside_children(|path| copy(Path::new("/bin/true"), path));
    }

    /// Scenario: the same with scripts, one written over another.
    /// Guarantees: each of them runs, and it is the last one.
    #[test]
    fn scripts_are_never_busy() {
        beside_children(|path| {
            script(path, "#!/bin/sh\nexit 1\n");
            script(path, "#!/bin/sh\nexit 0\n");
            assert_eq!(fs::read_to_string(path).unwrap(), "#!/bin/sh\nexit 0\n");
        });
    }
}
