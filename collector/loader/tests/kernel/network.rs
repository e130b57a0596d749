//! Programs at sockets, interfaces and cgroups, in a network namespace of the test's own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use ig_loader::{AttachOptions, Direction, Loaded, Loader, Object};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{object, read_variable, until_quiet};

/// A network namespace with a loopback interface, as long as a child lives in it.
struct Network {
    child: Child,
    file: File,
}

impl Network {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "unshare and ip must be installed");
        let file = File::open(format!("/proc/{}/ns/net", child.id())).unwrap();
        Self { child, file }
    }

    /// Does something on a thread within.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            moved.join().unwrap()
        })
    }

    /// Sends a datagram to itself; it has arrived when this returns.
    fn datagram(&self) {
        self.within(|| {
            let (from, to) =
                (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
            from.send_to(b"hello", to.local_addr().unwrap()).unwrap();
            to.recv(&mut [0; 16]).unwrap();
        });
    }

    fn id(&self) -> u32 {
        u32::try_from(self.file.metadata().unwrap().ino()).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Waits until a datagram changes nothing in what was `seen`.
fn until_silent<T: PartialEq>(network: &Network, seen: impl Fn() -> T) {
    until_quiet(|| {
        let before = seen();
        network.datagram();
        seen() == before
    });
}

const SOCKET: usize = 0;
const INGRESS: usize = 1;
const EGRESS: usize = 2;
const XDP: usize = 3;
const CGROUP: usize = 4;
const OPERATIONS: usize = 5;
const LOOKUP: usize = 6;
const MESSAGE: usize = 7;

fn load(object: &Object) -> Loaded {
    Loader::new(object).load().unwrap_or_else(|error| panic!("{error:?}"))
}

fn seen(object: &Object, loaded: &Loaded, place: usize) -> u64 {
    let bytes = read_variable(object, loaded, "seen");
    u64::from_ne_bytes(bytes[place * 8..place * 8 + 8].try_into().unwrap())
}

fn network_of(object: &Object, loaded: &Loaded, place: usize) -> u32 {
    let bytes = read_variable(object, loaded, "networks");
    u32::from_ne_bytes(bytes[place * 4..place * 4 + 4].try_into().unwrap())
}

/// Guarantees: a socket filter sees the packets of its namespace and no others', knows which one, and ends when dropped.
#[test]
fn socket_filters_see_their_namespace() {
    let (network, other) = (Network::new(), Network::new());
    let object = object("network");
    let loaded = load(&object);
    let options = AttachOptions { network: Some(network.file.as_fd()), ..AttachOptions::default() };
    let link = loaded.attach_with("packets", &options).unwrap();
    other.datagram();
    assert_eq!(seen(&object, &loaded, SOCKET), 0);
    network.datagram();
    // Out and in.
    assert_eq!(seen(&object, &loaded, SOCKET), 2);
    assert_eq!(network_of(&object, &loaded, SOCKET), network.id());
    drop(link);
    until_silent(&network, || seen(&object, &loaded, SOCKET));
}

/// Guarantees: traffic control works with links and with filters, in both directions, and leaves the filters of others
/// alone.
#[test]
fn traffic_is_seen_beside_the_programs_of_others() {
    let network = Network::new();
    let object = object("network");
    for classic_filter in [false, true] {
        let (loaded, theirs) = (load(&object), load(&object));
        let options = AttachOptions {
            network: Some(network.file.as_fd()),
            interface: Some("lo"),
            classic_filter,
            ..AttachOptions::default()
        };
        let other = loaded_by_others(&theirs, &options);
        let links = ["incoming", "outgoing"].map(|name| loaded.attach_with(name, &options).unwrap());
        network.datagram();
        for place in [INGRESS, EGRESS] {
            assert_eq!(seen(&object, &loaded, place), 1, "{place} {classic_filter}");
            assert_eq!(network_of(&object, &loaded, place), network.id());
        }
        assert_eq!(seen(&object, &theirs, INGRESS), 1);
        drop(links);
        let theirs_before = seen(&object, &theirs, INGRESS);
        until_silent(&network, || [INGRESS, EGRESS].map(|place| seen(&object, &loaded, place)));
        assert!(seen(&object, &theirs, INGRESS) > theirs_before);
        drop(other);

        let turned = AttachOptions { direction: Some(Direction::Egress), network_id: Some(7), ..options };
        let link = loaded.attach_with("incoming", &turned).unwrap();
        network.datagram();
        assert_eq!(network_of(&object, &loaded, INGRESS), 7);
        drop(link);
    }
}

fn loaded_by_others(theirs: &Loaded, options: &AttachOptions<'_>) -> ig_loader::Link {
    theirs.attach_with("incoming", options).unwrap()
}

/// Guarantees: XDP and socket lookup attach by link to interface and namespace; a missing interface is named.
#[test]
fn early_hooks_attach() {
    let network = Network::new();
    let object = object("network");
    let loaded = load(&object);
    let options = AttachOptions {
        network: Some(network.file.as_fd()),
        interface: Some("lo"),
        ..AttachOptions::default()
    };
    let links = ["early", "lookup"].map(|name| loaded.attach_with(name, &options).unwrap());
    network.datagram();
    assert_eq!(seen(&object, &loaded, XDP), 1);
    assert!(seen(&object, &loaded, LOOKUP) >= 1);
    drop(links);
    until_silent(&network, || [XDP, LOOKUP].map(|place| seen(&object, &loaded, place)));

    let error = loaded.attach_with("early", &AttachOptions { interface: Some("eth77"), ..options });
    assert_eq!(
        error.unwrap_err().to_string(),
        "failed to attach `early`: this kernel has no interface `eth77`"
    );
    let error = loaded.attach("incoming").unwrap_err().to_string();
    assert!(error.contains("it needs an interface"), "{error}");
}

/// Guarantees: programs of the root cgroup see packets and connections; a message program serves the sockets of its map
/// until it is dropped.
#[test]
fn cgroups_and_socket_maps_are_served() {
    let network = Network::new();
    let object = object("network");
    let loaded = load(&object);
    let links = ["leaving", "operations"].map(|name| loaded.attach(name).unwrap());
    let options = AttachOptions { socket_map: Some("sockets"), ..AttachOptions::default() };
    let message = loaded.attach_with("message", &options).unwrap();
    let connect = || {
        network.within(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (out, listener.accept().unwrap().0)
        })
    };
    let (first, second) = (connect(), connect());
    assert!(seen(&object, &loaded, CGROUP) >= 1);
    assert!(seen(&object, &loaded, OPERATIONS) >= 1);
    drop(links);

    // A socket keeps the program that the map had when it was added.
    let map = loaded.map("sockets").unwrap();
    let send = |key: u32, (mut out, mut into): (TcpStream, TcpStream)| {
        let socket = u64::try_from(out.as_raw_fd()).unwrap();
        map.update(&key.to_ne_bytes(), &socket.to_ne_bytes()).unwrap();
        out.write_all(b"four").unwrap();
        into.read_exact(&mut [0; 4]).unwrap();
        seen(&object, &loaded, MESSAGE)
    };
    assert_eq!(send(1, first), 1);
    drop(message);
    let (mut key, mut pair) = (2, Some(second));
    until_quiet(|| {
        let before = seen(&object, &loaded, MESSAGE);
        let after = send(key, pair.take().unwrap_or_else(connect));
        key += 1;
        before == after
    });
    assert!(loaded.attach("message").unwrap_err().to_string().contains("needs the map"));
}

/// Guarantees: one iterator over sockets walks each network namespace it is started in, and only that.
#[test]
fn socket_iterators_walk_their_namespace() {
    let network = Network::new();
    let inside = network.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let loaded = load(&object("sockets"));
    let link = loaded.attach("tcp_ports").unwrap();
    let ports = |network: Option<std::os::fd::BorrowedFd<'_>>| -> Vec<u16> {
        let mut bytes = Vec::new();
        link.iter_reader_in(network).unwrap().read_to_end(&mut bytes).unwrap();
        bytes.chunks_exact(2).map(|port| u16::from_ne_bytes([port[0], port[1]])).collect()
    };
    let (inner, outer) = (inside.local_addr().unwrap().port(), outside.local_addr().unwrap().port());
    assert_eq!(ports(Some(network.file.as_fd())), [inner]);
    assert!(ports(None).contains(&outer));
}
