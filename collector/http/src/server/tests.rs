//! Peers that keep the rules and peers that do not: time on a paused clock in memory, limits on real sockets.

mod memory;
mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::places::ConnectionHandle;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

/// What a test tells its handlers.
#[derive(Clone, Default)]
struct Control {
    entered: Arc<Notify>,
    release: Arc<Notify>,
    /// Bytes of the large page that were asked for.
    made: Arc<AtomicUsize>,
}

/// Pages of each kind.
fn router(control: &Control) -> Router {
    let Control { entered, release, made } = control.clone();
    let wait = async move || {
        entered.notify_one();
        release.notified().await;
        "done"
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async move || Body::new(Endless(made))))
        .route("/wait", get(wait))
        .route("/panic", get(async || -> () { panic!("a handler that panics") }))
        .route(
            "/give-up",
            get(async |axum::Extension(handle): axum::Extension<ConnectionHandle>| handle.give_up()),
        )
        .route("/take", post(async |body: Bytes| body.len().to_string()))
}

/// A body without end.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.0.fetch_add(4096, Ordering::Relaxed);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 4096])))))
    }
}

/// Asks on an open connection and reads the answer, whose length must be given.
async fn ask(peer: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> String {
    peer.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.unwrap().trim().parse().unwrap() {
                return text;
            }
        }
        assert_ne!(peer.read_buf(&mut answer).await.unwrap(), 0, "closed after {text:?}");
    }
}

/// Everything until the connection is closed.
async fn rest(peer: &mut (impl AsyncRead + Unpin)) -> String {
    let mut rest = Vec::new();
    // A reset is a close as well.
    drop(peer.read_to_end(&mut rest).await);
    String::from_utf8_lossy(&rest).into_owned()
}
