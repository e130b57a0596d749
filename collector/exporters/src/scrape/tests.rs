//! The endpoint over a real socket, with a real reader where one is installed.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use ig_http::{Ending, Limits, Listener, Server as HttpServer, StatsReader};
use reqwest::{Client, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::prometheus::parse::parse;
use crate::prometheus::{Exposition, Format};
use ig_series::Table;
use ig_series::testing::{counter, key, labeler, registry, spec};

struct Server {
    address: SocketAddr,
    stats: StatsReader,
    _stop: DropGuard,
}

#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
async fn start(router: Router) -> Server {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.tcp_address().unwrap();
    let server = HttpServer::new(listener, Limits { eviction_grace: Duration::ZERO, ..Limits::default() });
    let stop = CancellationToken::new();
    let stats = server.stats();
    tokio::spawn(server.run(router, stop.clone().cancelled_owned(), Duration::ZERO));
    Server { address, stats, _stop: stop.drop_guard() }
}

fn client() -> Client {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn fetch(server: &Server, headers: &[(&'static str, &'static str)]) -> Response {
    let mut request = client().get(format!("http://{}/metrics", server.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn many(series: u32) -> (PageSource, Table) {
    let (registry, _) = registry(1_000_000);
    let table = registry.register(spec("a", vec![counter("c")], 1_000_000), labeler()).unwrap().table;
    for n in 0..series {
        let mut writer = table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, u64::from(n));
    }
    (PageSource::new(registry, Vec::new(), None), table)
}

/// Scenario: readers of both formats, with and without gzip, and HEAD.
/// Guarantees: the same values in every form, with the right headers.
#[tokio::test]
async fn every_form_carries_the_same_values() {
    let (source, _table) = many(3000);
    let server = start(Scrapes::new(source, ScrapeSettings::default()).router("/metrics")).await;
    let open = "application/openmetrics-text;version=1.0.0";
    for (accept, format) in [("*/*", Format::Text), (open, Format::OpenMetrics)] {
        let plain = fetch(&server, &[("accept", accept)]).await;
        assert_eq!(plain.headers()["content-type"], Exposition::from(format).content_type());
        assert!(plain.headers().get("content-encoding").is_none());
        let plain = plain.text().await.unwrap();
        let gzip = fetch(&server, &[("accept", accept), ("accept-encoding", "gzip")]).await;
        assert_eq!(gzip.headers()["content-encoding"], "gzip");
        let mut unpacked = String::new();
        MultiGzDecoder::new(&*gzip.bytes().await.unwrap()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(plain, unpacked);
        let families = parse(&plain, format);
        let family = &families[if format == Format::Text { "c_total" } else { "c" }];
        assert_eq!(family.samples.len(), 3000);
        assert_eq!(family.sum(), 4_498_500);
    }
    let head = client().head(format!("http://{}/metrics", server.address)).send().await.unwrap();
    assert_eq!((head.status(), head.content_length()), (StatusCode::OK, Some(0)));
    let post = client().post(format!("http://{}/metrics", server.address)).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Scenario: one place, whose reader stops in the middle of a large page, more patience than the next scrape has.
/// Guarantees: no more than the allowed number of pages is written at once; the place is free again afterwards.
#[tokio::test]
async fn scrapes_beyond_the_limit_are_turned_away() {
    let (source, _table) = many(200_000);
    let hour = Duration::from_hours(1);
    let settings = ScrapeSettings {
        concurrency: 1,
        wait: Duration::ZERO,
        reader_patience: hour,
        ..ScrapeSettings::default()
    };
    let scrapes = Scrapes::new(source, settings);
    let server = start(scrapes.router("/metrics")).await;
    let mut stalled = fetch(&server, &[]).await;
    stalled.chunk().await.unwrap().unwrap();
    let refused = fetch(&server, &[]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    while stalled.chunk().await.unwrap().is_some() {}
    // The place is given back when the server drops the page, just after its last byte.
    drop(scrapes.inner.slots.take(ConnectionHandle::default()).await);
    assert_eq!(fetch(&server, &[]).await.status(), StatusCode::OK);
}

/// Scenario: every place is held by a reader that asked for a large page and reads nothing of it, and more such readers
/// wait; then a probe, and an honest scrape.
/// Guarantees: the probe is answered and the scrape gets its whole page; the readers that lost their places lose their
/// connections, and with them what was held for them.
#[tokio::test]
async fn slow_readers_cost_others_nothing() {
    let (source, _table) = many(200_000);
    let settings =
        ScrapeSettings { concurrency: 2, reader_patience: Duration::ZERO, ..ScrapeSettings::default() };
    let scrapes = Scrapes::new(source, settings);
    let router = scrapes
        .router("/metrics")
        .merge(ig_http::status_page("/healthz", Arc::new(|_| (true, "ok\n".to_owned()))));
    let server = start(router).await;
    let mut slow = Vec::new();
    for _ in 0..6 {
        let mut reader = TcpStream::connect(server.address).await.unwrap();
        reader.write_all(b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        // The head of the answer: the page has its place.
        reader.read_exact(&mut [0; 64]).await.unwrap();
        slow.push(reader);
    }
    let health = client().get(format!("http://{}/healthz", server.address)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let page = fetch(&server, &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(
        page.text().await.unwrap().lines().filter(|line| line.starts_with("c_total{")).count() == 200_000
    );
    let given_up = server.stats.read().ended(Ending::GivenUp);
    assert!((4..=5).contains(&given_up), "{given_up}");
}

/// Scenario: what runs before a scrape writes a value; later it hangs.
/// Guarantees: the page shows what was written before it, and a hanging drain does not hang the scrape.
#[tokio::test]
async fn readers_are_drained_before_a_page() {
    let (source, table) = many(1);
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let before: BeforeScrape = Arc::new(move || {
        let (table, calls) = (table.clone(), Arc::clone(&seen));
        Box::pin(async move {
            if calls.fetch_add(1, Ordering::Relaxed) > 0 {
                std::future::pending::<()>().await;
            }
            let mut writer = table.write();
            let row = writer.row(&key(0));
            writer.add_int(row, 0, 42);
        })
    });
    let settings = ScrapeSettings {
        before_scrape: Some(before),
        before_scrape_timeout: Duration::from_millis(10),
        ..ScrapeSettings::default()
    };
    let server = start(Scrapes::new(source, settings).router("/metrics")).await;
    for _ in 0..2 {
        let page = fetch(&server, &[]).await.text().await.unwrap();
        assert!(page.contains(" 42\n"), "{page}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// Scenario: a real Prometheus scrapes a page of every kind of metric, as OpenMetrics and gzip, by its own choice.
/// Guarantees: it calls the target up and answers with the exact values.
#[tokio::test]
async fn prometheus_reads_the_page() {
    let prometheus = crate::prometheus::tests::tool("prometheus");
    let (registry, _tables) = crate::prometheus::tests::rich();
    let source = PageSource::new(registry, vec![("service.name".to_owned(), "ig".to_owned())], None);
    let server = start(Scrapes::new(source, ScrapeSettings::default()).router("/metrics")).await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: ig, static_configs: [{{targets: ['{}']}}]}}]\n",
        server.address
    );
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    // Prometheus cannot bind port 0 and say which it got.
    let port = ig_test_kit::port::free();
    let mut child = tokio::process::Command::from(Command::new(prometheus))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ask = |query: &'static str| async move {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let answer = client().post(url).form_body(query).send().await.ok()?;
        answer.text().await.ok()
    };
    // All in one question: on a busy machine any scrape but that one may be late.
    let question =
        "sum(up == 1) + sum(opens_total) + sum(open_latency_seconds_bucket{id=\"1\",le=\"2e-06\"})";
    let deadline = tokio::time::Instant::now() + Duration::from_mins(3);
    let answer = loop {
        let answer = ask(question).await.unwrap_or_default();
        if answer.contains("\"32\"") || tokio::time::Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(answer.contains("\"32\""), "1 target, 30 opens, 1 in the bucket: {answer}");
    child.kill().await.unwrap();
}

/// A form without the feature of the client library that nothing else needs.
trait FormBody {
    fn form_body(self, query: &str) -> Self;
}

impl FormBody for reqwest::RequestBuilder {
    fn form_body(self, query: &str) -> Self {
        let encoded: Vec<String> = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let encoded = encoded.concat();
        self.header("content-type", "application/x-www-form-urlencoded").body(format!("query={encoded}"))
    }
}
