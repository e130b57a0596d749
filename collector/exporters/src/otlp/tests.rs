//! Exporters against real receivers: a gRPC server made from the generated service, and a plain HTTP one.

mod delivery;
mod delta;
mod ends;
mod foreign;
mod limits;
mod reach;
mod receiver;
mod tls;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use ig_model::otlp::{OtlpProtocol, OtlpSettings, QueueSettings, RetrySettings, TlsSettings};
use ig_model::{Proxies, Secret};
use ig_series::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use receiver::spawn;

/// Settings for an exporter that collects every second.
fn settings(endpoint: &str, protocol: OtlpProtocol) -> OtlpSettings {
    OtlpSettings {
        name: "main".to_owned(),
        endpoint: endpoint.to_owned(),
        protocol,
        interval: Duration::from_secs(1),
        ..OtlpSettings::default()
    }
}

/// An exporter that says its name.
fn exporter(settings: &OtlpSettings, registry: &Registry) -> Result<(OtlpExporter, OtlpHandle), OtlpError> {
    OtlpExporter::new(settings, &resource(), registry, &Proxies::default(), None)
}

fn resource() -> Vec<(String, String)> {
    vec![("service.name".to_owned(), "ig".to_owned())]
}

/// Runs an exporter in the background.
fn run(exporter: OtlpExporter) {
    spawn(async move {
        exporter.run(CancellationToken::new()).await;
    });
}

/// A deadline well beyond any wait in these tests.
fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// Scenario: settings that cannot work.
/// Guarantees: a clear error names the exporter and the fault before anything is sent; header values stay secret.
#[test]
fn unusable_settings_are_refused() {
    let registry = ig_series::testing::registry(1).0;
    let base = || settings("http://127.0.0.1:4317", OtlpProtocol::Grpc);
    let header = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), Secret::new(value))]);
    let dir = tempfile::tempdir().unwrap();
    let rubbish = dir.path().join("rubbish.pem");
    std::fs::write(&rubbish, "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n").unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let tls = |ca_file| TlsSettings { ca_file, ..TlsSettings::default() };
    let cases = [
        (
            OtlpSettings { endpoint: "localhost:4317".into(), ..base() },
            "`localhost:4317` of otlp exporter `main` lacks http://",
        ),
        (OtlpSettings { endpoint: "localhost".into(), ..base() }, "lacks http://"),
        (OtlpSettings { endpoint: "http://".into(), ..base() }, "not a URL"),
        (OtlpSettings { endpoint: "ftp://h".into(), ..base() }, "scheme other than"),
        (OtlpSettings { endpoint: "http://h/path".into(), ..base() }, "has a path"),
        (
            OtlpSettings {
                endpoint: "http://h/v1/traces".into(),
                protocol: OtlpProtocol::HttpProtobuf,
                ..base()
            },
            "ends in the path of another signal, `/v1/traces`",
        ),
        (OtlpSettings { interval: Duration::ZERO, ..base() }, "interval of otlp exporter `main`"),
        (OtlpSettings { headers: header("a b", "secret"), ..base() }, "header `a b` of otlp exporter `main`"),
        (OtlpSettings { headers: header("a", "sec\nret"), ..base() }, "value that HTTP"),
        (
            OtlpSettings { headers: header("a", "sec\nret"), protocol: OtlpProtocol::HttpProtobuf, ..base() },
            "value that HTTP",
        ),
        (
            OtlpSettings { endpoint: "https://h".into(), tls: tls(Some("absent.pem".into())), ..base() },
            "failed to read ca file `absent.pem`",
        ),
        (
            OtlpSettings { endpoint: "https://h".into(), tls: tls(Some(rubbish.clone())), ..base() },
            "tls of otlp exporter `main` has a ca file with an unreadable certificate",
        ),
        (
            OtlpSettings { endpoint: "https://h".into(), tls: tls(Some(empty)), ..base() },
            "without certificates",
        ),
        (
            OtlpSettings { endpoint: "https://h".into(), tls: tls(Some("/dev/null".into())), ..base() },
            "failed to read ca file `/dev/null`",
        ),
        (
            OtlpSettings {
                tls: TlsSettings { server_name: Some("a b".into()), ..TlsSettings::default() },
                ..base()
            },
            "server name that no certificate can carry",
        ),
        (
            OtlpSettings {
                tls: TlsSettings { cert_file: Some(rubbish), ..TlsSettings::default() },
                ..base()
            },
            "without its key",
        ),
    ];
    for (settings, expected) in cases {
        let error = exporter(&settings, &registry).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && !text.contains("secret"), "{text}");
    }
}
