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
    /// `http://host:port` or `https://host:port`. Over HTTP it is a base: the path of a signal is appended to it, see
    /// [`OtlpSettings::url`]. Empty if every signal has an address of its own.
    pub endpoint: String,
    /// Addresses of single signals, taken as they are; HTTP only.
    pub endpoints: BTreeMap<Signal, String>,
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
            endpoints: BTreeMap::new(),
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

/// Paths of every signal that there is, also of those that are not sent.
///
/// # Source
/// OTLP specification, "OTLP/HTTP Request".
const PATHS: [&str; 4] = [Signal::Metrics.path(), "/v1/traces", "/v1/logs", "/v1development/profiles"];

impl OtlpSettings {
    /// Where messages are sent, for the log: the endpoint, or an address that a signal has for itself. What a query holds may
    /// be a secret and is left out.
    pub fn shown_endpoint(&self) -> &str {
        let address = self.endpoints.values().next().unwrap_or(&self.endpoint);
        address.split('?').next().unwrap_or_default()
    }

    /// Where the messages of a signal are sent: its own address as it is, else the endpoint, over HTTP with the path of the
    /// signal behind it unless it ends so already.
    ///
    /// # Errors
    /// The path of another signal that the endpoint ends in: nobody takes this one there.
    pub fn url(&self, signal: Signal) -> Result<String, &'static str> {
        if let Some(own) = self.endpoints.get(&signal) {
            return Ok(own.clone());
        }
        match self.protocol {
            OtlpProtocol::Grpc => Ok(self.endpoint.clone()),
            OtlpProtocol::HttpProtobuf => url_below(&self.endpoint, signal),
        }
    }
}

/// The address of a signal below a base; a query stays where it is.
fn url_below(base: &str, signal: Signal) -> Result<String, &'static str> {
    let (base, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    let base = base.trim_end_matches('/');
    if base.ends_with(signal.path()) {
        return Ok(format!("{base}{query}"));
    }
    match PATHS.into_iter().find(|path| base.ends_with(path)) {
        Some(other) => Err(other),
        None => Ok(format!("{base}{}{query}", signal.path())),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Metrics.
    Metrics,
}

impl Signal {
    /// What is appended to an endpoint over HTTP.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
        }
    }
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
    /// The name the receiver's certificate must carry, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// What to do when a push fails in a way that trying again can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// The first wait; later ones double.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long one push is tried before it is given up and counted as lost; pauses that the receiver asks for do not
    /// count.
    pub max_elapsed: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { initial, max, max_elapsed: Duration::from_mins(5) }
    }
}

impl RetrySettings {
    /// The same as a policy. A receiver may ask for a pause as long as a push is tried, and for five minutes in any case;
    /// one that asks for more is left alone for that long.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: bases with and without a path, one that is the whole address already, those of other signals, and an
    /// address that a signal has for itself.
    /// Guarantees: OpenTelemetry's rule: a path is appended to a base, an own address is taken as it is; the address of
    /// another signal is none for this one.
    #[test]
    fn a_base_gets_the_path_and_an_own_address_stays() {
        let over_http = |endpoint: &str| OtlpSettings {
            endpoint: endpoint.to_owned(),
            protocol: OtlpProtocol::HttpProtobuf,
            ..OtlpSettings::default()
        };
        for (endpoint, expected) in [
            ("http://h:4318", Ok("http://h:4318/v1/metrics")),
            ("http://h:4318/", Ok("http://h:4318/v1/metrics")),
            ("https://h/otlp", Ok("https://h/otlp/v1/metrics")),
            ("https://h/otlp/", Ok("https://h/otlp/v1/metrics")),
            ("https://h/otlp/v1/metrics", Ok("https://h/otlp/v1/metrics")),
            ("https://h/otlp/v1/metrics/", Ok("https://h/otlp/v1/metrics")),
            ("https://h/x?key=1", Ok("https://h/x/v1/metrics?key=1")),
            ("https://h/v1", Ok("https://h/v1/v1/metrics")),
            ("http://h/v1/traces", Err("/v1/traces")),
            ("http://h/v1/logs/", Err("/v1/logs")),
        ] {
            let url = over_http(endpoint).url(Signal::Metrics);
            assert_eq!(url.as_deref().map_err(|other| *other), expected, "{endpoint}");
        }
        let own = BTreeMap::from([(Signal::Metrics, "http://h/in/?a=b".to_owned())]);
        let settings = OtlpSettings { endpoints: own, ..over_http("http://other/v1/traces") };
        assert_eq!(settings.url(Signal::Metrics).unwrap(), "http://h/in/?a=b");
        let grpc = OtlpSettings { endpoint: "http://h:4317".to_owned(), ..OtlpSettings::default() };
        assert_eq!(grpc.url(Signal::Metrics).unwrap(), "http://h:4317");
    }
}
