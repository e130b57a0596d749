//! Where metrics go: scraped by Prometheus, pushed by OTLP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::Secret;
use crate::Position;

/// Where metrics go.
#[derive(Clone, Debug, PartialEq)]
pub struct Exporters {
    /// The scrape endpoint, if any.
    pub prometheus: Option<Prometheus>,
    /// OTLP receivers by name.
    pub otlp: BTreeMap<String, Otlp>,
}

impl Default for Exporters {
    /// The scrape endpoint on loopback and nothing else: what runs when a document says nothing of exporters.
    fn default() -> Self {
        Self { prometheus: Some(Prometheus::default()), otlp: BTreeMap::new() }
    }
}

impl Exporters {
    /// The name by which gadgets refer to the scrape endpoint.
    pub const PROMETHEUS: &'static str = "prometheus";

    /// The names gadgets may refer to.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let scrape = self.prometheus.as_ref().map(|_| Self::PROMETHEUS);
        scrape.into_iter().chain(self.otlp.keys().map(String::as_str))
    }
}

/// The endpoint that Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Address and port to listen on; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Where it is written.
    pub at: Position,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2224)), at: Position::default() }
    }
}

/// One OTLP receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Its name, unique among exporters.
    pub name: String,
    /// `http://host:port` or `https://host:port`; over HTTP a path may follow. See [`Otlp::metrics_url`].
    pub endpoint: String,
    /// How to speak to it.
    pub protocol: OtlpProtocol,
    /// What to send.
    pub signals: Vec<Signal>,
    /// Time from one push to the next.
    pub interval: Duration,
    /// How long one push may take.
    pub timeout: Duration,
    /// Whether counters are sent since start or since the last push.
    pub temporality: Temporality,
    /// How requests are compressed.
    pub compression: Compression,
    /// Headers (gRPC metadata) added to each request.
    pub headers: BTreeMap<String, Secret>,
    /// Certificates, for `https` endpoints.
    pub tls: Tls,
    /// Resource attributes beside the ones the collector finds out itself.
    pub resource: BTreeMap<String, String>,
    /// What to do when the receiver is down or refuses.
    pub retry: Retry,
    /// What waits while the receiver is down.
    pub queue: Queue,
    /// Where it is written.
    pub at: Position,
}

impl Otlp {
    /// The URL that metrics are posted to over HTTP: `/v1/metrics` is added unless the endpoint has a path.
    pub fn metrics_url(&self) -> String {
        let after_scheme = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, rest)| rest);
        match after_scheme.split_once('/') {
            Some((_, path)) if !path.is_empty() => self.endpoint.clone(),
            _ => format!("{}/v1/metrics", self.endpoint.trim_end_matches('/')),
        }
    }
}

/// How to speak to an OTLP receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// Protobuf bodies over HTTP/1.1.
    HttpProtobuf,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Metrics.
    Metrics,
}

/// Since when a sum counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Since the gadget started.
    #[default]
    Cumulative,
    /// Since the last push that was accepted.
    Delta,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    #[default]
    Gzip,
}

/// Certificates for an `https` endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), for receivers that ask for one; comes with [`Tls::key_file`].
    pub cert_file: Option<PathBuf>,
    /// Our private key (PEM); comes with [`Tls::cert_file`].
    pub key_file: Option<PathBuf>,
    /// The name the receiver's certificate must carry, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// What to do when a push fails in a way that trying again can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait; later ones double.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long one push is tried before it is given up and counted as lost.
    pub max_elapsed: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        let (initial, max, max_elapsed) = (1, 30, 300);
        Self {
            initial: Duration::from_secs(initial),
            max: Duration::from_secs(max),
            max_elapsed: Duration::from_secs(max_elapsed),
        }
    }
}

/// What waits while the receiver is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Most bytes of encoded requests kept in memory.
    pub max_bytes: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { max_bytes: 16 << 20 }
    }
}
