//! A child process that answers one line on standard output for each line on its standard input.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::process::Process;

/// The child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The first line it printed.
    pub(crate) hello: String,
}

impl Peer {
    /// Starts `command` and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ask = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, ask, answers, hello: String::new() };
        peer.hello = peer.line();
        peer
    }

    /// Starts this program in another role.
    pub(crate) fn role(arguments: &[&str]) -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()).args(arguments))
    }

    /// Asks; returns the numbers of the answer.
    pub(crate) fn ask(&mut self) -> Vec<u64> {
        self.ask.write_all(b"\n").unwrap();
        self.line().split(' ').map(|number| number.parse().unwrap()).collect()
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "a helper process of the benchmark ended early");
        line.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
