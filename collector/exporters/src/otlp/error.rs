//! Why an exporter cannot be made from its settings.

use std::path::PathBuf;

use ig_model::otlp::OtlpSettings;

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

impl OtlpError {
    pub(super) fn tls(
        settings: &OtlpSettings,
        problem: &'static str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Tls { exporter: settings.name.clone(), problem, source }
    }
}
