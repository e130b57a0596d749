//! What a receiver is told about, checked before anything is sent.

use std::path::PathBuf;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Settings of one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The name by which tables choose this exporter.
    pub name: String,
    /// `http://host:port` or `https://host:port`. For HTTP, `/v1/metrics` is appended unless the path ends so.
    pub endpoint: String,
    /// How messages travel.
    pub protocol: Protocol,
    /// Time between two collections.
    pub interval: Duration,
    /// How long one attempt to send may take, connecting included.
    pub timeout: Duration,
    /// Totals since the start, or differences since the last message.
    pub temporality: Temporality,
    /// Whether messages are compressed.
    pub gzip: bool,
    /// Headers (gRPC metadata) sent along, for instance for authorization.
    pub headers: Vec<(String, String)>,
    /// TLS, used where the endpoint is `https`.
    pub tls: TlsSettings,
    /// Attributes of the resource: `service.name`, `host.name` and such.
    pub resource: Vec<(String, String)>,
    /// How failed attempts are repeated.
    pub retry: RetrySettings,
    /// Messages waiting for the receiver, in bytes; past this the oldest is dropped.
    pub queue_max_bytes: usize,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            name: "otlp".to_owned(),
            endpoint: "http://127.0.0.1:4317".to_owned(),
            protocol: Protocol::Grpc,
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            temporality: Temporality::Cumulative,
            gzip: true,
            headers: Vec::new(),
            tls: TlsSettings::default(),
            resource: Vec::new(),
            retry: RetrySettings::default(),
            queue_max_bytes: 16 * 1024 * 1024,
        }
    }
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Protobuf in HTTP/1.1 POST requests.
    HttpProtobuf,
}

/// What a counter's value counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// From the first sight of the series.
    Cumulative,
    /// From the last accepted message.
    Delta,
}

/// TLS of the connection; the system's roots are trusted unless `ca_file` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the only certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client key.
    pub key_file: Option<PathBuf>,
    /// The name the receiver's certificate must carry, if not the endpoint's host. gRPC only.
    pub server_name: Option<String>,
}

/// How failed attempts are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Wait after the first failure; doubles from there.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A message that could not be delivered for so long is dropped.
    pub max_elapsed: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::from_mins(5),
        }
    }
}

/// Why an exporter cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The endpoint is no URL of the right kind.
    #[error("endpoint `{endpoint}` of otlp exporter `{exporter}` {problem}")]
    Endpoint {
        /// The exporter's name.
        exporter: String,
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header cannot be sent.
    #[error("header `{header}` of otlp exporter `{exporter}` {problem}")]
    Header {
        /// The exporter's name.
        exporter: String,
        /// The header's name; its value may be a secret.
        header: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate or key file cannot be read.
    #[error("failed to read {what} `{}` of otlp exporter `{exporter}`", path.display())]
    Read {
        /// The exporter's name.
        exporter: String,
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The TLS parts do not fit together.
    #[error("tls of otlp exporter `{exporter}` {problem}")]
    Tls {
        /// The exporter's name.
        exporter: String,
        /// What is wrong.
        problem: &'static str,
        /// The cause, where a library found the fault.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A duration is zero.
    #[error("{what} of otlp exporter `{exporter}` must be longer than zero")]
    Zero {
        /// The exporter's name.
        exporter: String,
        /// The setting.
        what: &'static str,
    },
    /// The HTTP client cannot be built.
    #[error("failed to build the http client of otlp exporter `{exporter}`")]
    Client {
        /// The exporter's name.
        exporter: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
}

/// The PEM files of [`TlsSettings`], read.
#[derive(Debug, Default)]
pub(super) struct TlsParts {
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate chain and key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl OtlpSettings {
    /// Checks what can be checked without a network.
    pub(super) fn check(&self) -> Result<http::Uri, OtlpError> {
        let fault = |problem| OtlpError::Endpoint {
            exporter: self.name.clone(),
            endpoint: self.endpoint.clone(),
            problem,
        };
        for (what, duration) in
            [("interval", self.interval), ("timeout", self.timeout), ("retry.initial", self.retry.initial)]
        {
            if duration.is_zero() {
                return Err(OtlpError::Zero { exporter: self.name.clone(), what });
            }
        }
        let Ok(uri) = self.endpoint.parse::<http::Uri>() else { return Err(fault("is not a URL")) };
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err(fault("has a scheme other than http or https")),
            None => return Err(fault("lacks http:// (plain) or https:// (TLS) in front")),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(fault("has no host"));
        }
        Ok(uri)
    }

    /// Reads the PEM files.
    pub(super) fn read_tls(&self) -> Result<TlsParts, OtlpError> {
        let read = |what: &'static str, path: &PathBuf| {
            std::fs::read(path).map_err(|source| OtlpError::Read {
                exporter: self.name.clone(),
                what,
                path: path.clone(),
                source,
            })
        };
        let ca = self.tls.ca_file.as_ref().map(|path| read("ca file", path)).transpose()?;
        if let Some(pem) = &ca {
            self.check_authorities(pem)?;
        }
        let identity = match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(cert), Some(key)) => Some((read("client certificate", cert)?, read("client key", key)?)),
            (None, None) => None,
            _ => return Err(self.tls_fault("has a client certificate without its key, or a key alone", None)),
        };
        Ok(TlsParts { ca, identity })
    }

    /// Makes sure that every certificate of a CA file can be trusted by the libraries, and that there is one.
    fn check_authorities(&self, pem: &[u8]) -> Result<(), OtlpError> {
        let problem = "has a ca file with an unreadable certificate";
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|source| self.tls_fault(problem, Some(Box::new(source))))?;
            roots.add(certificate).map_err(|source| self.tls_fault(problem, Some(Box::new(source))))?;
        }
        if roots.is_empty() {
            return Err(self.tls_fault("has a ca file without certificates", None));
        }
        Ok(())
    }

    pub(super) fn tls_fault(
        &self,
        problem: &'static str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OtlpError {
        OtlpError::Tls { exporter: self.name.clone(), problem, source }
    }
}
