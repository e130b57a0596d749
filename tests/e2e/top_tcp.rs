//! top_tcp counts bytes, and counts them exactly.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use ig_tests::{collector::Collector, wait_for};
use rustix::net::{RecvFlags, recv};

use crate::interactive::Watch;

/// Bytes written at once, and by sendfile().
const WRITTEN: usize = 123_457;
const SENT_FILE: usize = 7_777;
const TOTAL: usize = WRITTEN + SENT_FILE;

/// Both ends of a connection over `address`, a loopback with a free port.
fn connection(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (client, accepted)
}

/// Sends `TOTAL` bytes by two ways and reads them, after a look that takes nothing.
fn transfer(client: &mut TcpStream, accepted: &mut TcpStream) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, vec![7; SENT_FILE]).unwrap();
    let file = fs::File::open(&path).unwrap();
    let mut sender = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        sender.write_all(&vec![1; WRITTEN]).unwrap();
        let mut left = SENT_FILE;
        while left > 0 {
            left -= rustix::fs::sendfile(&sender, &file, None, left).unwrap();
        }
    });
    let mut looked = [0_u8; 100];
    recv(&*accepted, &mut looked, RecvFlags::PEEK).unwrap();
    accepted.read_exact(&mut vec![0; TOTAL]).unwrap();
    writing.join().unwrap();
}

/// Scenario: bytes are written and sent from a file over IPv4 and IPv6, looked at, and read.
/// Guarantees: with an interval that never ends, what SIGINT prints last has exactly these numbers at each end.
#[test]
fn top_tcp_counts_every_byte_once() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let pid = std::process::id().to_string();
        let watch = Watch::start("top_tcp", &["-o", "json", "--map-fetch-interval", "1h", "--pid", &pid]);
        let (mut client, mut accepted) = connection(address);
        transfer(&mut client, &mut accepted);
        let ended = watch.interrupt();
        assert!(ended.status.success(), "{}", ended.stderr);
        let rows: Vec<serde_json::Value> = ended
            .stdout
            .lines()
            .flat_map(|line| serde_json::from_str::<Vec<serde_json::Value>>(line).unwrap())
            .collect();
        let port = |stream: &TcpStream| stream.local_addr().unwrap().port();
        let sum = |from: u16, to: u16, field: &str| -> u64 {
            rows.iter()
                .filter(|row| row["src"]["port"] == from && row["dst"]["port"] == to)
                .map(|row| row[field].as_u64().unwrap())
                .sum()
        };
        let (here, there) = (port(&client), port(&accepted));
        let total = TOTAL as u64;
        assert_eq!((sum(here, there, "sent"), sum(here, there, "received")), (total, 0), "{rows:?}");
        assert_eq!((sum(there, here, "sent"), sum(there, here, "received")), (0, total), "{rows:?}");
        let row = &rows[0];
        let version = if address.starts_with('[') { 6 } else { 4 };
        assert_eq!(row["src"]["version"], version);
        assert_eq!(row["src"]["proto"], "TCP");
        assert_eq!(row["pid"].as_u64().unwrap().to_string(), pid);
    }
}

/// Scenario: traffic over IPv4 while only IPv6 is asked for.
/// Guarantees: it is not counted.
#[test]
fn top_tcp_keeps_to_the_family() {
    let pid = std::process::id().to_string();
    let flags = ["-o", "json", "--map-fetch-interval", "1h", "--family", "6", "--pid", &pid];
    let watch = Watch::start("top_tcp", &flags);
    let (mut client, mut accepted) = connection("127.0.0.1:0");
    transfer(&mut client, &mut accepted);
    let port = client.local_addr().unwrap().port();
    let ended = watch.interrupt();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stdout.contains(&format!("\"port\":{port},")), "{}", ended.stdout);
}

/// Scenario: the image's own metrics, over several intervals in which bytes flow.
/// Guarantees: the counters of a process add up to exactly the bytes it sent and received.
#[test]
fn top_tcp_metrics_add_up() {
    let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
    let collector = Collector::start(&format!(
        "gadgets:\n  - {{name: g, image: top_tcp, interval: 100ms, params: {{pid: \"{}\"}}}}\n",
        std::process::id()
    ));
    let (mut client, mut accepted) = connection("127.0.0.1:0");
    for _ in 0..5 {
        transfer(&mut client, &mut accepted);
    }
    // Asking for the page is traffic of this process, too: by the size of what it says itself, so at least.
    let total = (5 * TOTAL) as f64;
    let own = [("comm", name.trim_end())];
    for (metric, labels) in [("tcp_sent_bytes_total", &[][..]), ("tcp_received_bytes_total", &own)] {
        wait_for(metric, || (collector.sum(metric, labels) >= total).then_some(()));
    }
}
