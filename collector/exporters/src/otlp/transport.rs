//! One attempt to deliver a message, over either protocol, and what its answer means.

mod connector;
mod grpc;
mod http;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use ig_model::Proxies;
use ig_model::otlp::{OtlpProtocol, OtlpSettings};

use super::error::OtlpError;
use super::settings::receiver;
use super::source::Service;

use connector::Connector;
pub(super) use connector::{Proxy, Tls, Way};
pub(super) use grpc::Grpc;
#[cfg(test)]
pub(super) use grpc::retry_details;
pub(super) use http::Http;

/// What the receiver made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took it, except for some items.
    Accepted { rejected: u64, message: String },
    /// Not now; perhaps after some time that it named.
    Retry { after: Option<Duration>, error: String },
    /// Not in one piece.
    TooLarge { error: String },
    /// Never.
    Refused { error: String },
}

/// Whether a receiver refuses a message for its size, by its words: it uses one code for this and for want of quota.
///
/// # Source
/// grpc-go, gRPC core and Node.js: `larger than max`; tonic: `message length too large`; Java: `exceeds maximum size`;
/// .NET: `maximum configured message size`; Go's and Rust's HTTP servers and proxies: `body too large`, `entity too
/// large`, `payload too large`, `content too large`.
fn says_too_large(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "larger than max",
        "message length too large",
        "message too large",
        "request too large",
        "body too large",
        "entity too large",
        "payload too large",
        "content too large",
        "exceeds maximum size",
        "maximum configured message size",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

/// How messages travel to one receiver, whatever their signal; clones share what is connected.
pub(super) trait Transport: Clone + Send + Sync + 'static {
    /// Sends a message once. The caller bounds the time.
    fn send(&self, service: Service, message: Bytes) -> impl Future<Output = Answer> + Send;
}

/// The two protocols.
#[derive(Clone)]
pub(super) enum Wire {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Wire {
    /// Prepares the transport; nothing is connected yet. Reads the files that the settings name.
    pub(super) fn new(settings: &OtlpSettings, proxies: &Proxies) -> Result<Self, OtlpError> {
        let receiver = receiver(settings, proxies)?;
        Ok(match settings.protocol {
            OtlpProtocol::Grpc => Self::Grpc(Box::new(Grpc::new(settings, receiver)?)),
            OtlpProtocol::HttpProtobuf => Self::Http(Box::new(Http::new(settings, receiver)?)),
        })
    }
}

impl Transport for Wire {
    async fn send(&self, service: Service, message: Bytes) -> Answer {
        match self {
            Self::Grpc(grpc) => grpc.send(service, message).await,
            Self::Http(http) => http.send(service, message).await,
        }
    }
}

/// The answer of every service: `Export…ServiceResponse` has the same shape for metrics, traces, logs and profiles.
///
/// # Source
/// opentelemetry-proto, `collector/*/v1/*_service.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    /// `rejected_data_points`, `rejected_spans`, `rejected_log_records`, `rejected_profiles`
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Reads a response, which may carry a partial success.
fn accepted(response: Response) -> Answer {
    let partial = response.partial_success.unwrap_or_default();
    Answer::Accepted {
        rejected: u64::try_from(partial.rejected).unwrap_or(0),
        message: partial.error_message,
    }
}
