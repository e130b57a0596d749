//! Servers to scrape, each a process of its own: the collector's series store and endpoint, or a finished page.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, header},
    response::IntoResponse as _,
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use ig_exporters::{
    prometheus::{Format, Names, PageSource},
    scrape::{ScrapeSettings, Scrapes},
};
use ig_http::{Limits, Listener, Server};
use ig_model::InstrumentKind;
use ig_series::{InstrumentSpec, Labeler, Registry, RegistryLimits, Table, TableSpec};
use tokio::net::TcpListener;

const LABELS: [&str; 5] = ["k8s.namespace", "k8s.podName", "proc.comm", "uid", "operation"];
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const OPERATIONS: [&str; 8] = ["read", "write", "open", "close", "fsync", "stat", "connect", "accept"];

/// Serves `series` series from the store.
pub(crate) fn series(series: u64) {
    let (registry, table) = registry(series);
    let scrapes = Scrapes::new(PageSource::new(registry, Vec::new(), None), ScrapeSettings::default());
    let router = scrapes.router("/metrics");
    block_on(async {
        let listener = Listener::tcp(LOOPBACK).await.unwrap();
        println!("{}", listener.tcp_address().unwrap());
        Server::new(listener, Limits::default()).run(router, std::future::pending(), Duration::ZERO).await;
    });
    drop(table); // it keeps the series exposed
}

/// Serves the page of `series` series as bytes that are ready.
pub(crate) fn bytes(series: u64) {
    let page = Bytes::from(page(series));
    let packed = Bytes::from(compress(&page));
    let handler = async move |headers: HeaderMap| {
        if headers.contains_key(header::ACCEPT_ENCODING) {
            ([(header::CONTENT_ENCODING, "gzip")], packed.clone()).into_response()
        } else {
            page.clone().into_response()
        }
    };
    let router = Router::new().route("/metrics", get(handler));
    block_on(async {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, router).await.unwrap();
    });
}

/// The page of `series` series.
pub(crate) fn page(series: u64) -> Vec<u8> {
    let (registry, _table) = registry(series);
    let mut page = Vec::new();
    let mut frames = PageSource::new(registry, Vec::new(), None).page(Format::Text);
    while frames.frame(&mut page) {}
    page
}

/// The page as the endpoint compresses it.
pub(crate) fn compress(page: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(1));
    for chunk in page.chunks(64 * 1024) {
        gzip.write_all(chunk).unwrap();
    }
    gzip.finish().unwrap()
}

fn block_on(server: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(server);
}

fn registry(series: u64) -> (Registry, Table) {
    let registry = Registry::new(RegistryLimits { series_total: usize::MAX }, Arc::new(Names));
    let operations = InstrumentSpec {
        description: "Operations seen".to_owned(),
        ..InstrumentSpec::new("operations", InstrumentKind::Counter)
    };
    let spec = TableSpec::new("bench", &LABELS, 8, vec![operations]);
    let table = registry.register(spec, Box::new(Numbered)).unwrap().table;
    let mut value = 88_172_645_463_325_252_u64;
    let mut writer = table.write();
    for n in 0..series {
        // xorshift64: values of many lengths
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        let row = writer.row(&n.to_le_bytes());
        writer.add_int(row, 0, value >> (30 + n % 30));
    }
    drop(writer);
    (registry, table)
}

/// Five labels as a node with many pods has them, made from the number of the series.
struct Numbered;

impl Labeler for Numbered {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let n = u64::from_le_bytes(key.try_into().unwrap());
        let (operation, process) = (n % 8, n / 8);
        let text = match index {
            0 => format!("team-{}", process % 37),
            1 => format!("service-{}-5d8f6c7b9-{:05}", process % 211, process / 4),
            2 => format!("worker-{}", process % 97),
            3 => (1000 + process % 4).to_string(),
            _ => OPERATIONS[usize::try_from(operation).unwrap()].to_owned(),
        };
        out.push_str(&text);
    }
}
