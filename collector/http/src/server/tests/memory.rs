//! One connection through memory, on a paused clock.

use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::*;
use crate::listen::Source;

const SECOND: Duration = Duration::from_secs(1);

struct Connection {
    peer: DuplexStream,
    control: Control,
    ended: JoinHandle<(Option<Ending>, Duration)>,
    began: Instant,
}

/// A connection whose pipe holds 1 KiB in each direction.
fn connect() -> Connection {
    connect_with(Limits::default())
}

#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
fn connect_with(limits: Limits) -> Connection {
    let shared = Shared { handshake: Plain, places: Arc::new(Places::new(limits)), counters: Arc::default() };
    let place = shared.places.take(Source::User(None)).unwrap();
    let (near, peer) = tokio::io::duplex(1024);
    let (began, control) = (Instant::now(), Control::default());
    let router = router(&control);
    let ended = tokio::spawn(async move {
        let ending = shared.speak(near, place, router, CancellationToken::new()).await;
        assert_eq!(shared.places.open(), 0, "the place is free again");
        (ending, began.elapsed())
    });
    Connection { peer, control, ended, began }
}

impl Connection {
    /// Why and when the connection ended.
    async fn ended(self) -> (Option<Ending>, Duration) {
        self.ended.await.unwrap()
    }
}

/// Scenario: a peer sends nothing; one sends half a head; one sends a byte a second.
/// Guarantees: each is closed when the time for a head is over, counted from the connection.
#[tokio::test(start_paused = true)]
async fn an_unfinished_head_ends_in_time() {
    let limits = Limits::default();
    let silent = connect();
    assert_eq!(silent.ended().await, (Some(Ending::HeadTimeout), limits.head_timeout));
    let mut half = connect();
    half.peer.write_all(&GET[..20]).await.unwrap();
    assert_eq!(half.ended().await, (Some(Ending::HeadTimeout), limits.head_timeout));
    let mut dripping = connect();
    for byte in &GET[..9] {
        dripping.peer.write_all(&[*byte]).await.unwrap();
        sleep(SECOND).await;
    }
    assert_eq!(dripping.ended().await, (Some(Ending::HeadTimeout), limits.head_timeout));
}

/// Scenario: a scraper asks every two minutes, then no more; another begins a second request and stops.
/// Guarantees: a connection is kept between requests for the idle time, counted from the last response; a head that has
/// begun has the time of a head.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_in_time() {
    let limits = Limits::default();
    let mut scraper = connect();
    for _ in 0..5 {
        assert!(ask(&mut scraper.peer, GET).await.ends_with("hello"));
        sleep(Duration::from_mins(2)).await;
    }
    let (ending, after) = scraper.ended().await;
    assert_eq!(
        (ending, after),
        (Some(Ending::IdleTimeout), 4 * Duration::from_mins(2) + limits.idle_timeout)
    );

    let mut half = connect();
    ask(&mut half.peer, GET).await;
    sleep(60 * SECOND).await;
    half.peer.write_all(&GET[..20]).await.unwrap();
    assert_eq!(half.ended().await, (Some(Ending::HeadTimeout), 60 * SECOND + limits.head_timeout));
}

/// Scenario: a reader asks for a page without end and never reads; another reads a little every second.
/// Guarantees: the first is closed when it has stalled for too long, the second when its request has taken too long; what
/// the server buffers for them meanwhile is bounded.
#[tokio::test(start_paused = true)]
async fn slow_readers_end_in_time() {
    let limits = Limits::default();
    let mut stalled = connect();
    let made = Arc::clone(&stalled.control.made);
    stalled.peer.write_all(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert_eq!(stalled.ended().await, (Some(Ending::Stalled), limits.stall_timeout));
    let made = made.load(Ordering::Relaxed);
    assert!(made <= limits.most_head_bytes + 2 * 4096, "{made} bytes made for a reader that reads none");
    let mut dripping = connect();
    dripping.peer.write_all(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    while dripping.peer.read_exact(&mut [0; 100]).await.is_ok() && !dripping.ended.is_finished() {
        sleep(SECOND).await;
    }
    assert_eq!(dripping.ended().await, (Some(Ending::RequestTimeout), limits.request_timeout));
}

/// Scenario: a head without end, as fast as the server takes it.
/// Guarantees: it is refused with 431 after the limit, and no more than the limit is taken.
#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_refused() {
    let mut connection = connect();
    connection.peer.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let (mut answers, mut requests) = tokio::io::split(connection.peer);
    let mut taken = 0;
    while taken < 10 << 20 && requests.write_all(&[b'a'; 512]).await.is_ok() {
        taken += 512;
    }
    assert!(taken <= Limits::default().most_head_bytes + 2048, "{taken}");
    assert!(rest(&mut answers).await.starts_with("HTTP/1.1 431"));
    assert_eq!(connection.ended.await.unwrap().0, Some(Ending::BadRequest));
    assert_eq!(connection.began.elapsed(), Duration::ZERO);
}

/// Scenario: bodies within the limit, announced beyond it, and sent beyond it in chunks.
/// Guarantees: the first is taken, the others are refused with 413 before more than the limit is kept.
#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_refused() {
    let limits = Limits { most_body_bytes: 10, ..Limits::default() };
    let mut connection = connect_with(limits);
    let small = b"POST /take HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n12345";
    assert!(ask(&mut connection.peer, small).await.ends_with("\r\n\r\n5"));
    let announced = b"POST /take HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\n";
    assert!(ask(&mut connection.peer, announced).await.starts_with("HTTP/1.1 413"));
    let mut connection = connect_with(limits);
    let chunked =
        b"POST /take HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n";
    assert!(ask(&mut connection.peer, chunked).await.starts_with("HTTP/1.1 413"));
}

/// Scenario: a handler gives its connection up; a peer speaks no HTTP; one goes away.
/// Guarantees: each end has its reason, and a peer that leaves is none.
#[tokio::test(start_paused = true)]
async fn ends_have_their_reasons() {
    let mut given_up = connect();
    given_up.peer.write_all(b"GET /give-up HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    rest(&mut given_up.peer).await;
    assert_eq!(given_up.ended().await, (Some(Ending::GivenUp), Duration::ZERO));
    let mut rubbish = connect();
    rubbish.peer.write_all(b"\x16\x03\x01 hello").await.unwrap();
    assert_eq!(rubbish.ended().await, (Some(Ending::BadRequest), Duration::ZERO));
    let mut leaving = connect();
    ask(&mut leaving.peer, GET).await;
    leaving.peer.shutdown().await.unwrap();
    assert_eq!(leaving.ended().await, (None, Duration::ZERO));
}
