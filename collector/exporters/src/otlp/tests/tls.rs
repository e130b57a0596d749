//! TLS with an authority of one's own, and a client certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::receiver::Receiver;
use super::*;
use ig_series::testing::{counter, key, labeler, registry, spec};

/// PEM files of an authority, a server named `receiver.test`, and a client.
pub(super) struct Pki {
    dir: tempfile::TempDir,
}

impl Pki {
    pub(super) fn new() -> Self {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: String| std::fs::write(dir.path().join(name), pem).unwrap();
        write("ca.pem", issuer.pem());
        for (name, host) in [("server", "receiver.test"), ("local", "localhost"), ("client", "client.test")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(super) fn client(&self, server_name: Option<&str>) -> TlsSettings {
        TlsSettings {
            ca_file: Some(self.path("ca.pem")),
            cert_file: Some(self.path("client.pem")),
            key_file: Some(self.path("client.key")),
            server_name: server_name.map(str::to_owned),
        }
    }
}

pub(super) async fn serve_grpc(pki: &Pki, receiver: &Receiver) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(pki.read("server.pem"), pki.read("server.key")))
        .client_ca_root(Certificate::from_pem(pki.read("ca.pem")));
    let server = Server::builder().tls_config(tls).unwrap().add_service(receiver.service());
    spawn(async move {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    address
}

/// A TLS listener for the HTTP receiver.
struct Secure {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

pub(super) async fn serve_http(pki: &Pki, receiver: &Receiver, name: &str) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&pki.path("ca.pem")) {
        roots.add(certificate).unwrap();
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certificates(&pki.path(&format!("{name}.pem"))),
            PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let secure = Secure { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
    let router = receiver.router();
    spawn(async move { axum::serve(secure, router).await.unwrap() });
    address
}

pub(super) async fn export(settings: OtlpSettings, proxies: &Proxies) -> (FlushReport, OtlpStats) {
    let (registry, _) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    table.write().row(&key(1));
    let settings = OtlpSettings {
        retry: RetrySettings {
            initial: Duration::from_millis(1),
            max: Duration::from_millis(1),
            max_elapsed: Duration::from_millis(5),
        },
        ..settings
    };
    let (exporter, handle) = OtlpExporter::new(&settings, &resource(), &registry, proxies, None).unwrap();
    run(exporter);
    (handle.flush_and_stop(in_a_minute()).await, handle.metrics())
}

/// Scenario: receivers with certificates of a private authority that ask for a client certificate; an exporter that
/// trusts it, and one that trusts the system's authorities only.
/// Guarantees: the first delivers over both protocols; the second delivers nothing and says why.
#[tokio::test]
async fn only_the_given_authority_is_trusted() {
    let pki = Pki::new();
    let no_proxies = Proxies::default();
    let receiver = Receiver::new([]);
    let grpc = serve_grpc(&pki, &receiver).await;
    let http = serve_http(&pki, &receiver, "local").await;
    let grpc = settings(&format!("https://{grpc}"), OtlpProtocol::Grpc);
    let http = settings(&format!("https://localhost:{}", http.port()), OtlpProtocol::HttpProtobuf);

    let trusting = OtlpSettings { tls: pki.client(Some("receiver.test")), ..grpc.clone() };
    assert_eq!(export(trusting, &no_proxies).await.0.delivered_items, 1);
    let trusting = OtlpSettings { tls: pki.client(None), ..http.clone() };
    assert_eq!(export(trusting, &no_proxies).await.0.delivered_items, 1);
    assert_eq!(receiver.received().len(), 2);

    let mut anonymous = pki.client(Some("receiver.test"));
    (anonymous.cert_file, anonymous.key_file) = (None, None);
    for settings in [grpc.clone(), http, OtlpSettings { tls: anonymous, ..grpc }] {
        let (report, stats) = export(settings, &no_proxies).await;
        assert_eq!(report, FlushReport { delivered_items: 0, dropped_items: 1 });
        assert!(stats.last_error.is_some());
    }
    assert_eq!(receiver.received().len(), 2);
}
