//! The thread that writes.

use std::{
    io::{self, Write},
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Chunk, Ended, OutputError, Shared};

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Box<dyn Write + Send>,
    /// The descriptor behind `target`, to notice that its reader has gone.
    pub(super) watched: Option<OwnedFd>,
}

enum Next {
    Chunk(Chunk),
    Wait,
    Finish,
}

/// Ends the output if its thread panics, so that nobody waits for it and rows are counted as lost.
struct EndOnPanic(Arc<Shared>);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ended.send_replace(Some(failed(io::Error::other("the thread that writes panicked"))));
        }
    }
}

impl Writer {
    pub(super) fn run(mut self) {
        let _end_on_panic = EndOnPanic(Arc::clone(&self.shared));
        let ended = loop {
            match self.next() {
                Next::Chunk(chunk) => {
                    let written = self.write(&chunk.bytes);
                    let buffer = if written.is_ok() { chunk.bytes } else { chunk.lose() };
                    self.shared.recycle(buffer);
                    if let Err(error) = written {
                        break failed(error);
                    }
                }
                Next::Wait => {
                    if self.reader_went_away_while_waiting() {
                        break Ended::ReaderGone;
                    }
                }
                Next::Finish => break self.target.flush().map_or_else(failed, |()| Ended::Finished),
            }
        };
        let mut queue = self.shared.lock();
        queue.chunks.drain(..).for_each(|chunk| drop(chunk.lose()));
        queue.spare.clear();
        if !matches!(ended, Ended::Finished) {
            queue.bytes = 0;
        }
        drop(queue);
        self.shared.ended.send_replace(Some(ended));
    }

    fn next(&self) -> Next {
        let mut queue = self.shared.lock();
        match queue.chunks.pop_front() {
            Some(chunk) => Next::Chunk(chunk),
            None if queue.closing => Next::Finish,
            None => Next::Wait,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.target.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the terminal with us made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room(error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, error: io::Error) -> io::Result<()> {
        let Some(watched) = &self.watched else { return Err(error) };
        let mut fds = [PollFd::new(watched, PollFlags::OUT)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sleeps until there is something to do; true if the reader closed its end meanwhile.
    fn reader_went_away_while_waiting(&self) -> bool {
        let wake = PollFd::new(&self.shared.wake, PollFlags::IN);
        let polled = match &self.watched {
            Some(watched) => {
                // No event is asked for: a closed end is always reported.
                let mut fds = [wake, PollFd::from_borrowed_fd(watched.as_fd(), PollFlags::empty())];
                let polled = poll(&mut fds, None);
                let [_, end] = &fds;
                if polled.is_ok() && end.revents().intersects(PollFlags::ERR | PollFlags::HUP) {
                    return true;
                }
                polled
            }
            None => poll(&mut [wake], None),
        };
        if polled.is_ok() {
            // Empty is fine: somebody else's wake-up was read with the one before.
            let _empty = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        }
        false
    }
}

fn failed(error: io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Ended::ReaderGone
    } else {
        Ended::Failed(Arc::new(OutputError::Write(error)))
    }
}
