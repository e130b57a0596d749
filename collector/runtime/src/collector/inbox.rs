//! What the collector is told from outside: by signals, by the file and, as their peer, by whoever else holds a sender.

use tokio::sync::{mpsc, oneshot};

use crate::status::Reason;

/// Commands that may wait. They are taken at once, also while a reload waits for registries, so only a switch lets a few
/// pile up; whoever sends more waits.
const COMMANDS: usize = 16;

/// What the collector is told.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again, changed or not, with credentials and keys.
    Reload {
        /// Where to say what came of it.
        reply: Option<oneshot::Sender<Reloaded>>,
    },
    /// The configuration, or a file that it names, may have changed.
    FileChanged,
    /// Drain and end.
    Stop,
}

/// What came of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// It is in force.
    Applied,
    /// Something is wrong; the configuration in force stays as it was.
    Refused(Vec<Reason>),
    /// A newer command came while it waited for images; that one is carried out instead.
    Superseded,
    /// The collector ends.
    Stopped,
}

/// A way to tell the collector something, and the end that it listens at.
pub fn commands() -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    mpsc::channel(COMMANDS)
}

/// Commands that wait, joined: any number of reloads is one.
#[derive(Debug)]
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    waiting: Option<Request>,
    is_stopping: bool,
}

/// To read the configuration again.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Even if nothing was edited.
    pub(super) is_forced: bool,
    replies: Vec<oneshot::Sender<Reloaded>>,
}

impl Request {
    /// Tells all who asked. A reason is shared by its clones.
    pub(super) fn answer(self, answer: impl Fn() -> Reloaded) {
        for reply in self.replies {
            // An error means that nobody waits for it any more.
            drop(reply.send(answer()));
        }
    }
}

impl Inbox {
    pub(super) fn new(commands: mpsc::Receiver<Command>) -> Self {
        Self { commands, waiting: None, is_stopping: false }
    }

    /// The next request; `None` once the collector is to end.
    ///
    /// # Cancel safety
    /// No command is lost.
    pub(super) async fn next(&mut self) -> Option<Request> {
        loop {
            self.look();
            if self.is_stopping {
                return None;
            }
            if let Some(request) = self.waiting.take() {
                return Some(request);
            }
            self.receive().await;
        }
    }

    /// Waits until there is something new: a request, which stays in the inbox, or the end.
    ///
    /// # Cancel safety
    /// No command is lost.
    pub(super) async fn news(&mut self) {
        self.look();
        while !self.is_stopping && self.waiting.is_none() {
            self.receive().await;
        }
    }

    /// Waits until the collector is to end; requests stay in the inbox.
    ///
    /// # Cancel safety
    /// No command is lost.
    pub(super) async fn stopped(&mut self) {
        self.look();
        while !self.is_stopping {
            self.receive().await;
        }
    }

    /// Notes that a followed file changed.
    pub(super) fn file_changed(&mut self) {
        self.take(Command::FileChanged);
    }

    /// Whether the collector is to end.
    pub(super) fn is_stopping(&mut self) -> bool {
        self.look();
        self.is_stopping
    }

    /// Whether the request that waits is to be carried out even if nothing was edited.
    pub(super) fn is_forced(&self) -> bool {
        self.waiting.as_ref().is_some_and(|request| request.is_forced)
    }

    /// What waits takes the place of `request`, and is as urgent.
    pub(super) fn inherit(&mut self, request: &Request) {
        if let Some(waiting) = &mut self.waiting {
            waiting.is_forced |= request.is_forced;
        }
    }

    /// Forgets that a file may have changed.
    pub(super) fn nothing_changed(&mut self) {
        self.waiting = None;
    }

    fn look(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
    }

    async fn receive(&mut self) {
        match self.commands.recv().await {
            Some(command) => self.take(command),
            None => self.is_stopping = true,
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Stop => self.is_stopping = true,
            Command::FileChanged => {
                self.waiting.get_or_insert_default();
            }
            Command::Reload { reply } => {
                let waiting = self.waiting.get_or_insert_default();
                waiting.is_forced = true;
                waiting.replies.extend(reply);
            }
        }
    }
}
