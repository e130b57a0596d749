//! How receivers are reached: proxies, names in certificates, authorities.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::receiver::Receiver;
use super::tls::{Pki, export, serve_grpc, serve_http};
use super::*;

/// A proxy that brings whatever it is asked for to one receiver, and keeps the heads of the requests.
struct TestProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn to(receiver: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                spawn(serve(near, receiver, Arc::clone(&kept)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The environment that names it for everything but `direct`.
    fn named(&self, direct: &str) -> Proxies {
        let url = format!("http://me:secret@{}", self.address);
        Proxies::of(|name| match name {
            "HTTP_PROXY" | "HTTPS_PROXY" => Some(url.clone()),
            "NO_PROXY" => Some(direct.to_owned()),
            _ => None,
        })
    }
}

async fn serve(mut near: TcpStream, receiver: SocketAddr, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match near.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let mut far = TcpStream::connect(receiver).await.unwrap();
    let text = String::from_utf8(head.clone()).unwrap();
    if text.starts_with("CONNECT ") {
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        far.write_all(&head).await.unwrap();
    }
    heads.lock().unwrap().push(text);
    drop(copy_bidirectional(&mut near, &mut far).await);
}

/// Scenario: the environment names a proxy with credentials; receivers of both protocols, in plain text and by TLS, have
/// names that only the proxy knows.
/// Guarantees: one rule for all: each message comes by the proxy, which gets its credentials; plain HTTP as a request to
/// pass on, everything else by `CONNECT`, so that TLS is spoken with the receiver.
#[tokio::test]
async fn both_protocols_go_by_the_proxy() {
    let pki = Pki::new();
    let receiver = Receiver::new([]);
    let plain = |protocol| settings("http://receiver.test:4317", protocol);
    let secure =
        |protocol| OtlpSettings { tls: pki.client(None), ..settings("https://receiver.test:4317", protocol) };
    let cases = [
        (plain(OtlpProtocol::Grpc), receiver.serve_grpc().await, "CONNECT receiver.test:4317 HTTP/1.1\r\n"),
        (
            plain(OtlpProtocol::HttpProtobuf),
            receiver.serve_http().await,
            "POST http://receiver.test:4317/v1/metrics HTTP/1.1\r\n",
        ),
        (
            secure(OtlpProtocol::Grpc),
            serve_grpc(&pki, &receiver).await,
            "CONNECT receiver.test:4317 HTTP/1.1\r\n",
        ),
        (
            secure(OtlpProtocol::HttpProtobuf),
            serve_http(&pki, &receiver, "server").await,
            "CONNECT receiver.test:4317 HTTP/1.1\r\n",
        ),
    ];
    for (number, (settings, address, head)) in cases.into_iter().enumerate() {
        let proxy = TestProxy::to(address).await;
        let (report, stats) = export(settings.clone(), &proxy.named("")).await;
        assert_eq!(report.delivered_items, 1, "{settings:?} {stats:?}");
        assert_eq!(receiver.received().len(), number + 1);
        let heads = proxy.heads();
        assert!(heads.iter().all(|seen| seen.starts_with(head)), "{heads:?}");
        let credentials = "proxy-authorization: basic bwu6c2vjcmv0\r\n";
        assert!(!heads.is_empty() && heads[0].to_ascii_lowercase().contains(credentials), "{heads:?}");
    }
}

/// Scenario: the environment names a proxy; receivers are on loopback, or listed in `NO_PROXY`.
/// Guarantees: they are reached directly, over both protocols.
#[tokio::test]
async fn loopback_and_exceptions_are_reached_directly() {
    let receiver = Receiver::new([]);
    let proxy = TestProxy::to(receiver.serve_http().await).await;
    let grpc = settings(&format!("http://{}", receiver.serve_grpc().await), OtlpProtocol::Grpc);
    let http = receiver.serve_http().await;
    let http = settings(&format!("http://localhost:{}", http.port()), OtlpProtocol::HttpProtobuf);
    for settings in [grpc, http] {
        assert_eq!(export(settings, &proxy.named("")).await.0.delivered_items, 1);
    }
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let elsewhere = settings("http://no-such-host.invalid:4317", protocol);
        let (report, stats) = export(elsewhere, &proxy.named("invalid")).await;
        assert_eq!(report.delivered_items, 0, "{stats:?}");
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

/// Scenario: the environment names proxies that cannot be used, and one that refuses.
/// Guarantees: the first are errors of the exporter before anything is sent, the last is in its last error; the password
/// is in neither.
#[tokio::test]
async fn unusable_proxies_are_said_without_their_password() {
    let registry = ig_series::testing::registry(1).0;
    for (url, expected) in
        [("http://me:secret@ h", "is not a URL"), ("socks5://me:secret@h", "scheme other than")]
    {
        let proxies = Proxies::of(|name| (name == "ALL_PROXY").then(|| url.to_owned()));
        for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
            let settings = settings("http://h:4317", protocol);
            let error =
                OtlpExporter::new(&settings, &resource(), &registry, &proxies, None).map(|_| ()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected) && !text.contains("secret"), "{text}");
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                drop(stream.read(&mut [0; 1024]).await);
                drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await);
            });
        }
    });
    let proxies = Proxies::of(|name| (name == "HTTP_PROXY").then(|| format!("http://me:secret@{address}")));
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let (report, stats) = export(settings("http://h.test:4317", protocol), &proxies).await;
        assert_eq!(report.delivered_items, 0);
        let text = stats.last_error.unwrap();
        assert!(text.contains("403") && !text.contains("secret"), "{text}");
    }
}

/// Scenario: receivers whose certificate carries another name than their address has, and settings that say so.
/// Guarantees: the name counts over both protocols, and without it nothing is delivered.
#[tokio::test]
async fn a_server_name_counts_over_both_protocols() {
    let pki = Pki::new();
    let receiver = Receiver::new([]);
    let grpc = serve_grpc(&pki, &receiver).await;
    let http = serve_http(&pki, &receiver, "server").await;
    for (address, protocol) in [(grpc, OtlpProtocol::Grpc), (http, OtlpProtocol::HttpProtobuf)] {
        let endpoint = format!("https://{address}");
        let named = OtlpSettings { tls: pki.client(Some("receiver.test")), ..settings(&endpoint, protocol) };
        assert_eq!(export(named, &Proxies::default()).await.0.delivered_items, 1);
        let unnamed = OtlpSettings { tls: pki.client(None), ..settings(&endpoint, protocol) };
        let (report, stats) = export(unnamed, &Proxies::default()).await;
        assert_eq!(report.delivered_items, 0);
        let text = stats.last_error.unwrap();
        assert!(text.contains("failed to agree on TLS with receiver `127.0.0.1`"), "{text}");
    }
}

/// Scenario: a machine without certificates of authorities, as a slim image is.
/// Guarantees: exporters to plain endpoints can be made, also those with authorities of their own; one that needs the
/// system's is refused by name, with the remedy.
#[test]
fn plain_endpoints_need_no_authorities() {
    if std::env::var_os("SSL_CERT_FILE").as_deref() != Some("/no/authorities".as_ref()) {
        let name = "otlp::tests::reach::plain_endpoints_need_no_authorities";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("SSL_CERT_FILE", "/no/authorities")
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
        return;
    }
    let registry = ig_series::testing::registry(1).0;
    let pki = Pki::new();
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        exporter(&settings("http://h:4317", protocol), &registry).unwrap();
        let own = OtlpSettings { tls: pki.client(None), ..settings("https://h:4317", protocol) };
        exporter(&own, &registry).unwrap();
        let error = exporter(&settings("https://h:4317", protocol), &registry).map(|_| ()).unwrap_err();
        let text = ig_model::chain(&error);
        assert!(
            text.contains("otlp exporter `main` trusts the system's authorities, and there are none"),
            "{text}"
        );
        assert!(ig_model::Hint::hint(&error).unwrap().contains("ca-certificates"));
    }
}
