//! Why an exporter cannot be made from its settings.

use std::borrow::Cow;
use std::path::PathBuf;

use ig_model::Hint;
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
        problem: String,
    },
    /// The proxy that the environment names for the endpoint cannot be used.
    #[error("proxy `{proxy}` on the way of otlp exporter `{exporter}` {problem}")]
    Proxy {
        /// The exporter's name.
        exporter: String,
        /// The proxy, without credentials.
        proxy: String,
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
    /// The system's authorities are needed, and there are none.
    #[error("otlp exporter `{exporter}` trusts the system's authorities, and there are none")]
    NoAuthorities {
        /// The exporter's name.
        exporter: String,
        /// Why none was found, if that is known.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl OtlpError {
    /// Whether another machine may see it otherwise, with the same settings: a file that is not here, the environment.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::NoAuthorities { .. } | Self::Proxy { .. } => true,
            _ => false,
        }
    }

    pub(super) fn tls(
        settings: &OtlpSettings,
        problem: &'static str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Tls { exporter: settings.name.clone(), problem, source }
    }
}

impl Hint for OtlpError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::NoAuthorities { .. } => {
                "install the package ca-certificates, or name the receiver's authority in `tls.ca-file`"
            }
            Self::Read { .. } => "it is tried again as soon as the file changes",
            Self::Proxy { .. } => {
                "mend HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or list the receiver's host in NO_PROXY"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}
