//! The accept loop and the life of a connection.
//!
//! Each connection is a task of a set that the server's own future owns: dropping that future closes them all.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use ig_model::{Backoff, RetryPolicy};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::body::Noted as NotedBody;
use crate::handshake::{Handshake, Plain};
use crate::limits::Limits;
use crate::listen::{Listener, Peer, Stream};
use crate::places::{ConnectionHandle, Place, Places};
use crate::pulse::{Noted, Pulse};
use crate::stats::{Counters, Ending, Stats};

/// Pauses where the system has no more connections to give.
const ACCEPT_AGAIN: RetryPolicy = RetryPolicy::new(Duration::from_millis(10), Duration::from_secs(1));

/// A server on one listener.
#[derive(Debug)]
pub struct Server<H = Plain> {
    listener: Listener,
    shared: Arc<Shared<H>>,
}

/// What the server's connections have in common.
#[derive(Debug)]
struct Shared<H> {
    handshake: H,
    places: Arc<Places>,
    counters: Arc<Counters>,
}

/// Reads the counts of a server, also while and after it runs.
#[derive(Clone, Debug)]
pub struct StatsReader {
    places: Arc<Places>,
    counters: Arc<Counters>,
}

impl StatsReader {
    /// The counts now.
    pub fn read(&self) -> Stats {
        self.counters.read(self.places.open())
    }
}

impl Server {
    /// A server of plain HTTP.
    pub fn new(listener: Listener, limits: Limits) -> Self {
        Self::with_handshake(listener, limits, Plain)
    }
}

impl<H: Handshake> Server<H> {
    /// A server that shakes hands with each peer before.
    pub fn with_handshake(listener: Listener, limits: Limits, handshake: H) -> Self {
        let places = Arc::new(Places::new(limits));
        Self { listener, shared: Arc::new(Shared { handshake, places, counters: Arc::default() }) }
    }

    /// Where its counts can be read.
    pub fn stats(&self) -> StatsReader {
        let Shared { places, counters, .. } = &*self.shared;
        StatsReader { places: Arc::clone(places), counters: Arc::clone(counters) }
    }

    /// Serves `router` until `shutdown` completes, then stops listening, closes what is idle and lets requests under
    /// way finish for as long as `patience`. Returns the number of connections cut off at the end.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and every connection.
    pub async fn run(self, router: Router, shutdown: impl Future<Output = ()>, patience: Duration) -> usize {
        let Self { listener, shared } = self;
        let drain = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut failures = Backoff::new(ACCEPT_AGAIN);
        let mut resume = None;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                // The end first, so that busy peers cannot put it off.
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => shared.book(ended),
                () = sleep_until(resume.unwrap_or_else(Instant::now)), if resume.is_some() => resume = None,
                accepted = listener.accept(), if resume.is_none() => match accepted {
                    Ok((stream, peer)) => {
                        failures.reset();
                        if let Some(place) = shared.admit(peer) {
                            let shared = Arc::clone(&shared);
                            connections.spawn(shared.serve(stream, place, router.clone(), drain.clone()));
                        }
                    }
                    Err(cause) => resume = shared.accept_failed(&cause, &mut failures),
                },
            }
        }
        drop(listener);
        drain.cancel();
        let finish = async {
            while let Some(ended) = connections.join_next().await {
                shared.book(ended);
            }
        };
        let left = if timeout(patience, finish).await.is_ok() { 0 } else { connections.len() };
        for _ in 0..left {
            shared.counters.ended(Ending::Shutdown);
        }
        connections.shutdown().await;
        left
    }
}

impl<H: Handshake> Shared<H> {
    fn admit(&self, peer: Peer) -> Option<Place> {
        Counters::count(&self.counters.accepted);
        self.places.take(peer.source()).inspect_err(|ending| self.counters.ended(*ending)).ok()
    }

    /// Counts a failure; returns when to accept again, if not at once.
    fn accept_failed(&self, cause: &io::Error, failures: &mut Backoff) -> Option<Instant> {
        Counters::count(&self.counters.accept_failures);
        if matches!(cause.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return None; // that peer has gone, the next is welcome
        }
        if failures.failures() == 0 {
            warn!(name: "http.accept.failed", error = cause as &dyn std::error::Error);
        }
        failures.next(None, Duration::ZERO).map(|pause| Instant::now() + pause)
    }

    /// Counts the end of a connection.
    fn book(&self, ended: Result<Option<Ending>, JoinError>) {
        match ended {
            Ok(None) => {}
            Ok(Some(ending)) => self.counters.ended(ending),
            Err(panic) => {
                self.counters.ended(Ending::Panicked);
                error!(name: "http.handler.panicked", error = &panic as &dyn std::error::Error);
            }
        }
    }

    /// One connection from handshake to end; says why it ended if neither by its peer nor by our own wish.
    async fn serve(
        self: Arc<Self>,
        stream: Stream,
        place: Place,
        router: Router,
        drain: CancellationToken,
    ) -> Option<Ending> {
        let io = tokio::select! {
            biased;
            ending = place.handle.closed() => return Some(ending),
            () = drain.cancelled() => return None,
            shaken = timeout(self.places.limits().head_timeout, self.handshake.shake(stream)) => match shaken {
                Ok(Ok(io)) => io,
                Ok(Err(_refused)) => return Some(Ending::Handshake),
                Err(_elapsed) => return Some(Ending::HeadTimeout),
            },
        };
        self.speak(io, place, router, drain).await
    }

    /// Speaks HTTP.
    async fn speak(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        place: Place,
        router: Router,
        drain: CancellationToken,
    ) -> Option<Ending> {
        let limits = *self.places.limits();
        let service = Service {
            router: TowerToHyperService::new(router),
            pulse: Arc::clone(&place.pulse),
            handle: place.handle.clone(),
            counters: Arc::clone(&self.counters),
            most_body_bytes: limits.most_body_bytes,
        };
        let mut http = http1::Builder::new();
        // Our own deadlines tell an unfinished head from an idle connection.
        http.header_read_timeout(None).max_buf_size(limits.most_head_bytes);
        let connection =
            http.serve_connection(TokioIo::new(Noted::new(io, Arc::clone(&place.pulse))), service);
        let mut connection = std::pin::pin!(connection);
        let mut sleep = std::pin::pin!(sleep_until(place.pulse.deadline(&limits).0));
        let mut draining = false;
        loop {
            let watched = std::future::poll_fn(|cx| {
                watched(connection.as_mut(), &place.pulse, &limits, sleep.as_mut(), cx)
            });
            tokio::select! {
                biased;
                ending = place.handle.closed() => return Some(ending),
                () = drain.cancelled(), if !draining => {
                    if !place.pulse.is_busy() {
                        return None; // an unfinished head is no request yet
                    }
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                ending = watched => return ending,
            }
        }
    }
}

/// Drives a connection until it ends or its deadline has passed. The deadline moves with what happens while it is
/// driven, all of it in this task, so it is read after each step.
fn watched<C>(
    connection: Pin<&mut C>,
    pulse: &Pulse,
    limits: &Limits,
    mut sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Option<Ending>>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    match connection.poll(cx) {
        Poll::Ready(Err(error)) if error.is_parse() => return Poll::Ready(Some(Ending::BadRequest)),
        // Whatever else went wrong is the peer's going away.
        Poll::Ready(_) => return Poll::Ready(None),
        Poll::Pending => {}
    }
    let (deadline, ending) = pulse.deadline(limits);
    if sleep.deadline() != deadline {
        sleep.as_mut().reset(deadline);
    }
    sleep.poll(cx).map(|()| Some(ending))
}

/// The router as hyper calls it.
struct Service {
    router: TowerToHyperService<Router>,
    pulse: Arc<Pulse>,
    handle: ConnectionHandle,
    counters: Arc<Counters>,
    most_body_bytes: u64,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<NotedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.pulse.request_begins();
        Counters::count(&self.counters.requests);
        let pulse = Arc::clone(&self.pulse);
        if request.body().size_hint().lower() > self.most_body_bytes {
            let response = StatusCode::PAYLOAD_TOO_LARGE.into_response();
            return Box::pin(async move { Ok(response.map(|body| NotedBody::new(body, pulse))) });
        }
        let most = usize::try_from(self.most_body_bytes).unwrap_or(usize::MAX);
        let mut request = request.map(|body| Body::new(Limited::new(body, most)));
        request.extensions_mut().insert(self.handle.clone());
        let answer = hyper::service::Service::call(&self.router, request);
        Box::pin(async move { Ok(answer.await?.map(|body| NotedBody::new(body, pulse))) })
    }
}
