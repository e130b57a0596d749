//! One attempt to deliver a message, over either protocol, and what its answer means.

mod grpc;
mod http;

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;

use super::settings::{OtlpError, OtlpSettings, Protocol};

pub(super) use grpc::Grpc;
#[cfg(test)]
pub(super) use grpc::retry_details;
pub(super) use http::Http;

/// What the receiver made of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took it, except for some points.
    Accepted { rejected: u64, message: String },
    /// Not now; perhaps after some time that it named.
    Retry { after: Option<Duration>, error: String },
    /// Never.
    Refused { error: String },
}

/// How messages of one exporter travel.
#[derive(Clone)]
pub(super) enum Transport {
    Grpc(Box<Grpc>),
    Http(Http),
}

impl Transport {
    /// Prepares the transport; nothing is connected yet.
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, OtlpError> {
        let uri = settings.check()?;
        let tls = settings.read_tls()?;
        // Whoever comes first installs it; a second installation changes nothing and is no fault.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        Ok(match settings.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(Grpc::new(settings, &uri, tls)?)),
            Protocol::HttpProtobuf => Self::Http(Http::new(settings, &uri, tls)?),
        })
    }

    /// Sends a message once; bounded by the timeout of the settings.
    pub(super) async fn send(&self, message: Bytes, timeout: Duration) -> Answer {
        let attempt = async {
            match self {
                Self::Grpc(grpc) => grpc.send(message).await,
                Self::Http(http) => http.send(message).await,
            }
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(answer) => answer,
            Err(_) => {
                Answer::Retry { after: None, error: format!("no answer within {} ms", timeout.as_millis()) }
            }
        }
    }
}

/// Reads a response, which may carry a partial success.
fn accepted(response: ExportMetricsServiceResponse) -> Answer {
    let partial = response.partial_success.unwrap_or_default();
    Answer::Accepted {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
    }
}
