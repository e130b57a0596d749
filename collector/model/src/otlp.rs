//! What is said about a receiver of OTLP: one type from the document to the exporter.
//!
//! Configuration reads it, exporters obey it, and neither knows the other; a new setting is added here once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{RetryPolicy, Secret, Temporality};

/// One OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Its name, unique among exporters.
    pub name: String,
    /// `http://host:port` or `https://host:port`; over HTTP a path may follow.
    pub endpoint: String,
    /// How to speak to it.
    pub protocol: OtlpProtocol,
    /// What to send.
    pub signals: Vec<Signal>,
    /// Time from one push to the next.
    pub interval: Duration,
    /// How long one attempt to push may take, connecting included.
    pub timeout: Duration,
    /// Whether sums count since their start or since the last push that was accepted.
    pub temporality: Temporality,
    /// How requests are compressed.
    pub compression: Compression,
    /// Headers (gRPC metadata) added to each request.
    pub headers: BTreeMap<String, Secret>,
    /// Certificates, for `https` endpoints.
    pub tls: TlsSettings,
    /// Resource attributes beside the ones the collector finds out itself.
    pub resource: BTreeMap<String, String>,
    /// What to do when the receiver is down or refuses.
    pub retry: RetrySettings,
    /// What waits while the receiver is down.
    pub queue: QueueSettings,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            name: "otlp".to_owned(),
            endpoint: "http://127.0.0.1:4317".to_owned(),
            protocol: OtlpProtocol::default(),
            signals: vec![Signal::Metrics],
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            temporality: Temporality::default(),
            compression: Compression::default(),
            headers: BTreeMap::new(),
            tls: TlsSettings::default(),
            resource: BTreeMap::new(),
            retry: RetrySettings::default(),
            queue: QueueSettings::default(),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Metrics.
    Metrics,
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
pub struct TlsSettings {
    /// Certificates (PEM) of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), for receivers that ask for one; comes with [`TlsSettings::key_file`].
    pub cert_file: Option<PathBuf>,
    /// Our private key (PEM); comes with [`TlsSettings::cert_file`].
    pub key_file: Option<PathBuf>,
    /// The name the receiver's certificate must carry, where it is not the endpoint's host; gRPC only.
    pub server_name: Option<String>,
}

/// What to do when a push fails in a way that trying again can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// The first wait; later ones double.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long one push is tried before it is given up and counted as lost.
    pub max_elapsed: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { initial, max, max_elapsed: Duration::from_mins(5) }
    }
}

impl RetrySettings {
    /// The same as a policy. A receiver may ask for as long as a push may take, and for five minutes in any case.
    pub fn policy(self) -> RetryPolicy {
        let policy = RetryPolicy::new(self.initial, self.max);
        let max_asked = policy.max_asked.max(self.max_elapsed);
        RetryPolicy { max_elapsed: self.max_elapsed, max_asked, ..policy }
    }
}

/// What waits while the receiver is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Most bytes of encoded requests kept in memory.
    pub max_bytes: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { max_bytes: 16 << 20 }
    }
}
