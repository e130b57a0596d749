//! Whom a connection waits for, and since when.
//!
//! The stream, the service and the body of a connection note what happens; the connection's own task reads its deadline
//! from it, and whoever needs a place reads how long it has kept us waiting.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::limits::Limits;
use crate::stats::Ending;

#[derive(Debug)]
pub(crate) struct Pulse(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// Since when the phase lasts.
    since: Instant,
    /// Since when the peer takes nothing of what is there for it.
    blocked: Option<Instant>,
    /// The peer has let this request's response wait before.
    is_slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Part of a head, or of a handshake, is still to come.
    Head,
    /// A request is answered.
    Busy,
    /// The last response is out, nothing of a next request is there.
    Idle,
}

impl Pulse {
    /// The pulse of a connection that has just been accepted.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { phase: Phase::Head, since: Instant::now(), blocked: None, is_slow: false }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request_begins(&self) {
        let mut state = self.lock();
        (state.phase, state.since, state.is_slow) = (Phase::Busy, Instant::now(), false);
    }

    pub(crate) fn response_ends(&self) {
        let mut state = self.lock();
        (state.phase, state.since) = (Phase::Idle, Instant::now());
    }

    fn has_read(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }

    fn has_written(&self, progress: bool) {
        let mut state = self.lock();
        if progress {
            state.blocked = None;
        } else if state.blocked.is_none() {
            state.blocked = Some(Instant::now());
            state.is_slow = true;
        }
    }

    /// When the connection ends unless something happens, and why.
    pub(crate) fn deadline(&self, limits: &Limits) -> (Instant, Ending) {
        let state = self.lock();
        let (time, ending) = match state.phase {
            Phase::Head => (limits.head_timeout, Ending::HeadTimeout),
            Phase::Busy => (limits.request_timeout, Ending::RequestTimeout),
            Phase::Idle => (limits.idle_timeout, Ending::IdleTimeout),
        };
        let by_phase = (state.since + time, ending);
        match state.blocked.map(|since| since + limits.stall_timeout) {
            Some(stalled) if stalled < by_phase.0 => (stalled, Ending::Stalled),
            _ => by_phase,
        }
    }

    /// Since when we have waited for the peer; `None` if it waits for us.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.phase != Phase::Busy || state.is_slow).then_some(state.since)
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().phase == Phase::Busy
    }
}

/// A stream whose reads and writes are noted.
pub(crate) struct Noted<Io> {
    io: Io,
    pulse: Arc<Pulse>,
}

impl<Io> Noted<Io> {
    pub(crate) fn new(io: Io, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(bytes)) if *bytes > 0 => self.pulse.has_written(true),
            Poll::Pending => self.pulse.has_written(false),
            Poll::Ready(_) => {}
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Noted<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, into);
        if into.filled().len() > before {
            self.pulse.has_read();
        }
        result
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Noted<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, from);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, from);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
