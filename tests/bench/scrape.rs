//! Scrape time and memory at 1,000, 10,000 and 100,000 series, against the same bytes served ready-made.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use crate::{
    options::Options,
    peer::Peer,
    report::{Figure, Report},
    serve,
};

/// Times of one kind of answer, in milliseconds.
#[derive(Debug, Default)]
struct Samples {
    first: Vec<f64>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    bytes: usize,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section("scrape", "of series with five labels over loopback, one connection a scrape");
    let empty = Peer::role(&["--as-series", "0"]);
    scrape(&empty, false);
    let floor = empty.process().memory().anonymous;
    for series in [1000_u64, 10_000, 100_000] {
        let count = series.to_string();
        let store = Peer::role(&["--as-series", &count]);
        let memory = store.process().memory();
        let ready = Peer::role(&["--as-bytes", &count]);
        let page = serve::page(series);
        let (mut plain, mut plain_ready) = (Samples::default(), Samples::default());
        let (mut gzip, mut gzip_ready) = (Samples::default(), Samples::default());
        let mut compressor = Vec::new();
        scrape(&store, false);
        scrape(&ready, false);
        let grown = store.process().memory();
        store.process().reset_peak();
        for _ in 0..options.pick(21, 7) {
            plain_ready.take(&ready, false);
            plain.take(&store, false);
        }
        let extra = store.process().peak() - grown.resident;
        for _ in 0..options.pick(15, 5) {
            gzip_ready.take(&ready, true);
            gzip.take(&store, true);
            let began = Instant::now();
            std::hint::black_box(serve::compress(&page));
            compressor.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let name = |what: &str| format!("{series} series, {what}");
        report.add(
            Figure::new(name("identity"), "ms", plain.wall.clone())
                .against("ready bytes", &plain_ready.wall)
                .note(format!("{:.0} bytes a series", plain.bytes as f64 / series as f64)),
        );
        let first = Figure::new(name("identity, first byte"), "ms", plain.first.clone());
        report.add(first.against("ready bytes", &plain_ready.first));
        let cpu = Figure::new(name("identity, server CPU"), "ms", plain.cpu.clone());
        report.add(cpu.against("ready bytes", &plain_ready.cpu));
        report.add(
            Figure::new(name("gzip"), "ms", gzip.wall.clone())
                .against("compressor alone", &compressor)
                .note(format!("{:.1} bytes a series on the wire", gzip.bytes as f64 / series as f64)),
        );
        let first = Figure::new(name("gzip, first byte"), "ms", gzip.first.clone());
        report.add(first.against("ready bytes", &gzip_ready.first));
        report.add(Figure::new(name("extra memory of a scrape"), "KiB", vec![extra.max(0.0)]));
        let each = (memory.anonymous - floor) * 1024.0 / series as f64;
        report.add(Figure::new(name("memory"), "B/series", vec![each]));
    }
    report.remark(
        "the store and the pages by themselves: cargo run --release -p ig-exporters --example series_bench",
    );
}

impl Samples {
    fn take(&mut self, server: &Peer, gzip: bool) {
        let before = server.process().cpu_ns();
        let (first, wall, bytes) = scrape(server, gzip);
        self.first.push(first);
        self.wall.push(wall);
        self.cpu.push((server.process().cpu_ns() - before) as f64 / 1e6);
        self.bytes = bytes;
    }
}

/// Milliseconds from request to first byte and to the last, and bytes in all.
fn scrape(server: &Peer, gzip: bool) -> (f64, f64, usize) {
    let address: SocketAddr = server.hello.parse().unwrap();
    let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n{encoding}Connection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    let mut buffer = vec![1; 256 * 1024];
    let began = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = stream.read(&mut buffer).unwrap();
    let first = began.elapsed().as_secs_f64() * 1e3;
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..bytes]));
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            return (first, began.elapsed().as_secs_f64() * 1e3, bytes);
        }
        bytes += read;
    }
}
