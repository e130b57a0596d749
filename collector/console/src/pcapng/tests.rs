//! Captures as the real tcpdump reads them.

use std::{fs, process::Command};

use ig_datasource::{DataSource, Rest};
use ig_model::FieldKind;
use ig_operators::Batch;

use crate::{
    ConsoleError, ConsoleOptions, Mode, Output, Terminal,
    output::tests::Memory,
    sink,
    tests::{columns, field, finish, print, source},
};

const ANNOTATIONS: [(&str, &str); 4] = [
    ("cli.supported-output-modes", "pcap-ng,columns,json"),
    ("pcap.payload", "payload"),
    ("pcap.timestamp", "timestamp"),
    ("pcap.packet-length", "packet_size"),
];

/// `timestamp_raw`, `ifindex`, `payload_len`, `packet_size`, `pod`, and the payload behind.
fn packets() -> DataSource {
    let fields = [
        field("timestamp_raw", FieldKind::Uint64, 0, 8, &["gadget_timestamp"], &[]),
        field("ifindex", FieldKind::Uint32, 8, 4, &[], &[("pcap.interface-key", "true")]),
        field("payload_len", FieldKind::Uint32, 12, 4, &[], &[]),
        field("packet_size", FieldKind::Uint32, 16, 4, &[], &[]),
        field("pod", FieldKind::CString, 20, 12, &[], &[("pcap.interface-var", "k8s.podName")]),
    ];
    let mut source = source(&fields, &ANNOTATIONS);
    source.rest = Some(Rest { name: "payload".to_owned(), start: 32, len: Some(12..16) });
    source
}

/// An ARP request for 10.0.0.`host`, captured in full, of a packet of `size` bytes.
fn packet(nanoseconds: u64, ifindex: u32, size: u32, pod: &[u8], host: u8) -> Vec<u8> {
    let mut payload = vec![0xff; 6];
    payload.extend_from_slice(&[
        2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1,
    ]);
    payload.extend_from_slice(&[0, 0, 0, 0, 0, 0, 10, 0, 0, host]);
    let mut record = nanoseconds.to_ne_bytes().to_vec();
    for word in [ifindex, u32::try_from(payload.len()).unwrap(), size] {
        record.extend_from_slice(&word.to_ne_bytes());
    }
    record.extend_from_slice(pod);
    record.resize(32, 0);
    record.extend_from_slice(&payload);
    // Perf buffers pad; the padding is no part of the packet.
    record.extend_from_slice(&[0xee; 6]);
    record
}

fn read_back(capture: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng");
    fs::write(&path, capture).unwrap();
    let out = Command::new("tcpdump")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-n", "-e", "-tt", "--nano", "-r"])
        .arg(&path)
        .output()
        .expect("tcpdump is not installed; run tests/tools.sh test");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Scenario: packets of two interfaces, one of them cut short by the gadget, stamped to the nanosecond.
/// Guarantees: tcpdump reads each packet with its time and its length on the wire, without the padding.
#[test]
fn tcpdump_reads_it() {
    let records = [
        packet(1_700_000_000_123_456_789, 1, 42, b"a;b=c d", 2),
        packet(1_700_000_001_000_000_001, 2, 1500, b"", 3),
        packet(1_700_000_002_000_000_000, 1, 42, b"a;b=c d", 4),
    ];
    let source = packets();
    let options = ConsoleOptions::default();
    let capture =
        print(&Mode::PcapNg, &source, &columns(&source), &options, Terminal::none(), &records).unwrap();
    let lines = read_back(&capture);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("1700000000.123456789 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("length 42: Request who-has 10.0.0.2 tell 10.0.0.1"), "{}", lines[0]);
    assert!(lines[1].starts_with("1700000001.000000001") && lines[1].contains("length 1500"), "{}", lines[1]);
    assert!(lines[2].contains("who-has 10.0.0.4"), "{}", lines[2]);
    let text = String::from_utf8_lossy(&capture);
    assert_eq!(text.matches("ifindex=").count(), 2, "each interface is announced once");
    assert!(text.contains("k8s.podName=a%3Bb%3Dc+d"));
}

/// A writer whose first byte waits for a channel.
struct Held(Memory, std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>);

impl std::io::Write for Held {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.2.send(()).unwrap();
        self.1.recv().unwrap();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Scenario: the queue is full when a new interface is announced, so that the chunk with it is dropped.
/// Guarantees: it is announced again with the next packet, and the file stays readable.
#[test]
fn a_dropped_chunk_takes_its_interfaces_with_it() {
    let (open, gate) = std::sync::mpsc::channel();
    let (began, started) = std::sync::mpsc::channel();
    let memory = Memory::default();
    let output = Output::to(Box::new(Held(memory.clone(), gate, began)), Terminal::none(), 200).unwrap();
    let source = packets();
    let mut sink = sink(&Mode::PcapNg, &source, &columns(&source), &ConsoleOptions::default(), &output)
        .unwrap()
        .unwrap();
    started.recv().unwrap();
    for ifindex in 1..4 {
        sink.take(&Batch::from_iter([packet(1, ifindex, 42, b"", 2).as_slice()]));
        sink.flush();
    }
    let dropped = output.dropped().rows;
    assert!(dropped > 0);
    (0..100).for_each(|_| open.send(()).unwrap());
    // Everything that waited is written before the next packet comes.
    while output.waiting() > 0 {
        std::thread::yield_now();
    }
    sink.take(&Batch::from_iter([packet(1_700_000_000_000_000_000, 3, 42, b"", 9).as_slice()]));
    sink.finish();
    finish(&output);
    let lines = read_back(&memory.taken());
    assert_eq!(lines.lines().count() as u64, 4 - dropped);
    assert!(lines.contains("who-has 10.0.0.9"));
}

/// Scenario: a data source without the annotations, one whose payload is a number, and a terminal.
/// Guarantees: each is refused before anything runs, with the reason.
#[test]
fn what_is_no_capture_is_refused() {
    let error = |source: &DataSource, terminal| {
        let options = ConsoleOptions::default();
        print(&Mode::PcapNg, source, &columns(source), &options, terminal, &[]).unwrap_err()
    };
    let mut bare = packets();
    bare.annotations.remove("pcap.timestamp");
    assert_eq!(
        error(&bare, Terminal::none()).to_string(),
        "output mode `pcap-ng` needs annotation pcap.timestamp on data source `events`"
    );
    let mut wrong = packets();
    wrong.annotations.insert("pcap.payload".to_owned(), "ifindex".to_owned());
    assert!(error(&wrong, Terminal::none()).to_string().contains("field `ifindex` holds no bytes"));
    let screen = Terminal::fixed(crate::Size { columns: 80, rows: 24 }, true);
    assert_eq!(error(&packets(), screen), ConsoleError::Terminal { mode: "pcap-ng" });
}
