//! Whole servers on real sockets; nothing here waits for time.

use std::net::Ipv4Addr;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::*;
use super::*;

/// A server under way.
struct Running {
    address: Option<std::net::SocketAddr>,
    stats: StatsReader,
    control: Control,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<usize>,
}

async fn tcp() -> Listener {
    Listener::tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap()
}

/// Limits under which time plays no part.
fn limits() -> Limits {
    let hour = Duration::from_hours(1);
    Limits {
        eviction_grace: Duration::ZERO,
        head_timeout: hour,
        idle_timeout: hour,
        stall_timeout: hour,
        request_timeout: hour,
        ..Limits::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
fn run<H: Handshake>(server: Server<H>, patience: Duration) -> Running {
    let (shutdown, stop) = oneshot::channel();
    let (stats, control) = (server.stats(), Control::default());
    let address = server.listener.tcp_address();
    let router = router(&control);
    let ended = tokio::spawn(server.run(router, async { drop(stop.await) }, patience));
    Running { address, stats, control, shutdown, ended }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.unwrap()).await.unwrap()
    }

    /// Waits until the counts are as they should be.
    async fn until(&self, expected: impl Fn(&Stats) -> bool) {
        while !expected(&self.stats.read()) {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) -> usize {
        self.shutdown.send(()).unwrap();
        self.ended.await.unwrap()
    }
}

/// Scenario: a peer opens a hundred connections with unfinished heads where eight are allowed, then an honest one asks.
/// Guarantees: it is answered at once; never more than the allowed number is open; the others are counted.
#[tokio::test]
async fn unfinished_heads_make_room_for_a_request() {
    let limits = Limits { connections_per_source: 8, ..limits() };
    let server = run(Server::new(tcp().await, limits), Duration::ZERO);
    let mut held = Vec::new();
    for number in 1..=100 {
        let mut peer = server.connect().await;
        peer.write_all(&GET[..20]).await.unwrap();
        server.until(|stats| stats.accepted == number).await;
        assert!(server.stats.read().open <= 8);
        held.push(peer);
    }
    let mut honest = server.connect().await;
    honest.write_all(LAST).await.unwrap();
    assert!(rest(&mut honest).await.ends_with("hello"));
    let stats = server.stats.read();
    assert_eq!((stats.accepted, stats.ended(Ending::SourceFull)), (101, 0));
    server.until(|stats| stats.ended(Ending::MadeRoom) == 93).await;
    assert_eq!(rest(&mut held[0]).await, "");
}

/// Scenario: every place is held by a reader that asked for a page without end and does not read; then a probe.
/// Guarantees: the probe is answered, at the cost of one of the readers.
#[tokio::test]
async fn slow_readers_make_room_for_a_probe() {
    let limits = Limits { connections: 4, ..limits() };
    let server = run(Server::new(tcp().await, limits), Duration::ZERO);
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut reader = server.connect().await;
        reader.write_all(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        readers.push(reader);
    }
    server.until(|stats| stats.requests == 4).await;
    // Until all are known to be slow, a new connection is refused: nobody keeps the server waiting.
    let answer = loop {
        let mut probe = server.connect().await;
        drop(probe.write_all(LAST).await);
        let answer = rest(&mut probe).await;
        if !answer.is_empty() {
            break answer;
        }
    };
    assert!(answer.ends_with("hello"));
    server.until(|stats| stats.ended(Ending::MadeRoom) >= 1).await;
}

/// Scenario: every place is taken by a request under way; one more connection comes, then a place is free.
/// Guarantees: no request under way is cut; what is too much is closed and counted; afterwards there is room again.
#[tokio::test]
async fn requests_under_way_are_not_evicted() {
    let limits = Limits { connections: 1, ..limits() };
    let server = run(Server::new(tcp().await, limits), Duration::ZERO);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    server.control.entered.notified().await;
    let mut refused = server.connect().await;
    assert_eq!(rest(&mut refused).await, "");
    assert_eq!(server.stats.read().ended(Ending::Full), 1);
    server.control.release.notify_one();
    assert!(rest(&mut busy).await.ends_with("done"));
    server.until(|stats| stats.open == 0).await;
    assert!(ask(&mut server.connect().await, GET).await.ends_with("hello"));
}

/// Scenario: a handler panics, while another connection is open.
/// Guarantees: the panic costs its own connection only, and is counted.
#[tokio::test]
async fn a_panic_costs_its_own_connection() {
    let server = run(Server::new(tcp().await, limits()), Duration::ZERO);
    let mut other = server.connect().await;
    ask(&mut other, GET).await;
    let mut panicking = server.connect().await;
    panicking.write_all(b"GET /panic HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut panicking).await, "");
    server.until(|stats| stats.ended(Ending::Panicked) == 1 && stats.open == 1).await;
    assert!(ask(&mut other, GET).await.ends_with("hello"));
    assert!(ask(&mut server.connect().await, GET).await.ends_with("hello"));
}

/// Scenario: a stop while a request is under way, a connection is idle and a head is unfinished.
/// Guarantees: the request is answered, the others are closed, nobody can connect any more, and nothing is cut off.
#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let server = run(Server::new(tcp().await, limits()), Duration::from_hours(1));
    let mut idle = server.connect().await;
    ask(&mut idle, GET).await;
    let mut half = server.connect().await;
    half.write_all(&GET[..20]).await.unwrap();
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    server.control.entered.notified().await;
    let (address, control) = (server.address.unwrap(), server.control.clone());
    server.shutdown.send(()).unwrap();
    assert_eq!(rest(&mut idle).await + &rest(&mut half).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    control.release.notify_one();
    assert!(rest(&mut busy).await.ends_with("done"));
    assert_eq!(server.ended.await.unwrap(), 0);
}

/// Scenario: a stop while a handler hangs.
/// Guarantees: the server ends by its deadline, and says and counts what it cut off.
#[tokio::test]
async fn a_stop_ends_by_its_deadline() {
    let server = run(Server::new(tcp().await, limits()), Duration::ZERO);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    server.control.entered.notified().await;
    let stats = server.stats.clone();
    assert_eq!(server.stop().await, 1);
    assert_eq!((stats.read().ended(Ending::Shutdown), stats.read().open), (1, 0));
    assert_eq!(rest(&mut busy).await, "");
}

/// Scenario: a request over a unix socket.
/// Guarantees: it is answered; the file has gone when the server has ended.
#[tokio::test]
async fn a_unix_socket_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ig.sock");
    let server = run(Server::new(Listener::unix(&path, 0o660).unwrap(), limits()), Duration::ZERO);
    let mut peer = UnixStream::connect(&path).await.unwrap();
    assert!(ask(&mut peer, GET).await.ends_with("hello"));
    assert_eq!(server.stats.read().requests, 1);
    server.stop().await;
    assert!(!path.exists());
}

/// TLS as a handshake, as an endpoint with certificates will have it.
#[derive(Clone)]
struct Secure(TlsAcceptor);

impl Handshake for Secure {
    type Io = TlsStream<Stream>;

    async fn shake(&self, stream: Stream) -> io::Result<Self::Io> {
        self.0.accept(stream).await
    }
}

/// Scenario: a server whose handshake is TLS; one peer shakes hands, one speaks plain HTTP, one says nothing.
/// Guarantees: the first is answered; the second is closed under its reason; the third delays nobody.
#[tokio::test]
async fn tls_is_a_handshake() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let secure = Secure(TlsAcceptor::from(Arc::new(config)));
    let server = run(Server::with_handshake(tcp().await, limits(), secure), Duration::ZERO);
    let _silent = server.connect().await;
    let mut plain = server.connect().await;
    plain.write_all(GET).await.unwrap();
    rest(&mut plain).await;
    server.until(|stats| stats.ended(Ending::Handshake) == 1).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let stream = server.connect().await;
    let mut peer = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    assert!(ask(&mut peer, GET).await.ends_with("hello"));
}

/// Scenario: the process has no descriptors left; a peer resets its connection before it is accepted.
/// Guarantees: both are counted; only the first makes a pause.
#[tokio::test(start_paused = true)]
async fn a_failure_to_accept_makes_a_pause() {
    let server = Server::new(tcp().await, limits());
    let mut failures = Backoff::new(ACCEPT_AGAIN);
    let none_left = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    let resume = server.shared.accept_failed(&none_left, &mut failures).unwrap();
    assert!(resume - Instant::now() <= ACCEPT_AGAIN.initial);
    assert_eq!(server.shared.accept_failed(&ErrorKind::ConnectionAborted.into(), &mut failures), None);
    assert_eq!(server.stats().read().accept_failures, 2);
}
