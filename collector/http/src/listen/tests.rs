use std::net::Ipv4Addr;

use super::*;

/// Scenario: a socket is bound, bound again while somebody listens, left behind by a crash, and in the way of a file.
/// Guarantees: its mode is the one asked for whatever the umask; a live socket and a file are left alone; a dead one is
/// replaced; the file goes with the listener that made it, and with no other.
#[tokio::test]
async fn a_unix_socket_has_its_mode_and_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ig.sock");
    let listener = Listener::unix(&path, 0o660).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Listener::unix(&path, 0o660).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert!(!path.exists());

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves its file as a crash does");
    let first = Listener::unix(&path, 0o600).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
    let second = Listener::unix(&path, 0o660).unwrap();
    drop(first);
    assert!(path.exists(), "the file of another listener is not removed");
    drop(second);

    std::fs::write(&path, "precious").unwrap();
    assert_eq!(Listener::unix(&path, 0o660).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// Scenario: peers by IPv4, the same in IPv6 clothes, two addresses of one IPv6 network, two users.
/// Guarantees: what one holder can vary freely counts as one source.
#[test]
fn sources_are_what_one_peer_can_hold() {
    let source = |address: &str| Peer::Tcp(address.parse().unwrap()).source();
    assert_eq!(source("10.0.0.1:1"), source("10.0.0.1:2"));
    assert_eq!(source("10.0.0.1:1"), source("[::ffff:10.0.0.1]:1"));
    assert_eq!(source("10.0.0.1:1"), Source::Ip(Ipv4Addr::new(10, 0, 0, 1).into()));
    assert_ne!(source("10.0.0.1:1"), source("10.0.0.2:1"));
    assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8::ffff:1]:1"));
    assert_ne!(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
    assert_ne!(Peer::Unix(Some(0)).source(), Peer::Unix(Some(1000)).source());
}

/// Scenario: a listener on one address of a port is replaced by one on all addresses, and that one by the first again;
/// then somebody else has the port.
/// Guarantees: each is bound while its predecessor still listens, and connections reach it once that one is gone; what
/// somebody else has is left alone, and nobody can share the port afterwards.
#[tokio::test]
async fn an_address_changes_on_the_same_port() {
    let narrow = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ig_test_kit::port::free());
    let mut current = Listener::tcp(narrow).await.unwrap();
    let wide = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), narrow.port());
    for address in [wide, narrow, wide] {
        assert_eq!(Listener::tcp(address).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        let next = Listener::tcp_after(address, &current.predecessor()).await.unwrap();
        current = next;
        assert_eq!(current.tcp_address(), Some(address));
        let (connected, accepted) = tokio::join!(TcpStream::connect(narrow), current.accept());
        assert!(connected.is_ok() && accepted.is_ok(), "{connected:?} {accepted:?}");
    }
    let other = Listener::tcp("127.0.0.2:0".parse().unwrap()).await.unwrap();
    for (address, old) in [(wide, other.predecessor()), (narrow, Predecessor::default())] {
        let error = Listener::tcp_after(address, &old).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
