//! OTLP over gRPC. Messages are already protobuf, so a codec passes them through as they are.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use ig_model::otlp::{Compression, OtlpSettings};
use prost::Message as _;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::super::error::OtlpError;
use super::super::rpc_status::RpcStatus;
use super::super::settings::{Receiver, headers};
use super::super::source::Service;
use super::{Answer, Connector, Response, accepted, says_too_large};

/// A gRPC channel that connects when it is first used, and again after a failure.
#[derive(Clone)]
pub(in super::super) struct Grpc {
    endpoint: Endpoint,
    /// `None` where tests bring a channel.
    connector: Option<Connector>,
    /// Made on first use, because it must be made on a runtime.
    channel: Arc<OnceLock<Channel>>,
    metadata: MetadataMap,
    gzip: bool,
}

impl Grpc {
    pub(super) fn new(settings: &OtlpSettings, receiver: Receiver) -> Result<Self, OtlpError> {
        let Receiver { addresses, way } = receiver;
        let fault = |endpoint: &Uri, problem: &str| OtlpError::Endpoint {
            exporter: settings.name.clone(),
            endpoint: endpoint.to_string(),
            problem: problem.to_owned(),
        };
        let origin = addresses.into_iter().map(|(_, uri)| uri).next().unwrap_or_else(|| way.target.clone());
        if !matches!(origin.path(), "" | "/") || origin.query().is_some() {
            return Err(fault(&origin, "has a path, which gRPC has no use for"));
        }
        // To the library it is a plain connection: TLS is the connector's business.
        let mut parts = way.target.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let plain = Uri::from_parts(parts).map_err(|_invalid| fault(&origin, "is not a URL"))?;
        let endpoint = Endpoint::from(plain)
            .origin(origin.clone())
            // Finds a peer that vanished without a word while a message is under way.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(settings.timeout)
            .user_agent(concat!("ig/", env!("CARGO_PKG_VERSION")))
            .map_err(|_invalid| fault(&origin, "cannot be used by gRPC"))?;
        Ok(Self {
            endpoint,
            connector: Some(Connector::new(way)),
            channel: Arc::default(),
            metadata: MetadataMap::from_headers(headers(settings)?.into_iter().collect()),
            gzip: settings.compression == Compression::Gzip,
        })
    }

    /// A transport over an existing channel, for tests that bring their own connection.
    #[cfg(test)]
    pub(in super::super) fn over(channel: Channel, gzip: bool) -> Self {
        let made = OnceLock::new();
        made.set(channel).unwrap();
        Self {
            endpoint: Endpoint::from_static("http://in-memory"),
            connector: None,
            channel: Arc::new(made),
            metadata: MetadataMap::new(),
            gzip,
        }
    }

    pub(super) async fn send(&self, service: Service, message: Bytes) -> Answer {
        let channel = self.channel.get_or_init(|| match self.connector.clone() {
            Some(connector) => self.endpoint.connect_with_connector_lazy(connector),
            None => self.endpoint.connect_lazy(),
        });
        let channel = channel.clone();
        let mut client = Client::new(channel).accept_compressed(CompressionEncoding::Gzip);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        if let Err(error) = client.ready().await {
            return Answer::Retry { after: None, error: ig_model::chain(&error) };
        }
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        match client.unary(request, PathAndQuery::from_static(service.grpc_path), PassThrough).await {
            Ok(response) => accepted(response.into_inner()),
            Err(status) => judge(&status),
        }
    }
}

/// What a failed call means.
///
/// # Source
/// OTLP specification, "Failures" under OTLP/gRPC.
fn judge(status: &Status) -> Answer {
    let error = format!("{}: {}", status.code().description(), ig_model::chain(status));
    let asked = retry_delay(status.details());
    match status.code() {
        Code::ResourceExhausted | Code::OutOfRange if says_too_large(status.message()) => {
            Answer::TooLarge { error }
        }
        // By the letter for good unless it says when to come back; but receivers answer so to each quota that is used
        // up for the moment, and few say when.
        Code::ResourceExhausted
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Retry { after: asked, error },
        // What a transport failure looks like from here: a reset connection, a peer that is no gRPC server yet.
        Code::Unknown if std::error::Error::source(status).is_some() => Answer::Retry { after: asked, error },
        _ => Answer::Refused { error },
    }
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl ProtoDuration {
    /// The same as far as it can be waited for: nothing if it is negative.
    fn to_std(self) -> Duration {
        let nanos = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        let nanos = u128::try_from(nanos).unwrap_or(0);
        Duration::from_secs(u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX))
            .saturating_add(Duration::from_nanos((nanos % 1_000_000_000) as u64))
    }
}

/// The delay of a `RetryInfo` among the details of a status.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    Some(RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default().to_std())
}

/// Bytes out as they are, the response decoded.
#[derive(Clone, Copy)]
struct PassThrough;

impl Codec for PassThrough {
    type Encode = Bytes;
    type Decode = Response;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for PassThrough {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for PassThrough {
    type Item = Response;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let whole = src.copy_to_bytes(src.remaining());
        Response::decode(whole)
            .map(Some)
            .map_err(|error| Status::data_loss(format!("unreadable response: {error}")))
    }
}

/// Details of a status that asks for a delay; the tests' receiver sends them.
#[cfg(test)]
pub(in super::super) fn retry_details(delay: Duration) -> Bytes {
    let delay = ProtoDuration {
        seconds: delay.as_secs().try_into().unwrap(),
        nanos: delay.subsec_nanos().cast_signed(),
    };
    let info = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
    let any = super::super::rpc_status::Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: info,
    };
    RpcStatus { details: vec![any], ..RpcStatus::default() }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_judged_as_the_protocol_says() {
        let retried = |status: &Status| matches!(judge(status), Answer::Retry { .. });
        assert!(retried(&Status::unavailable("")) && retried(&Status::data_loss("")));
        assert!(!retried(&Status::invalid_argument("")) && !retried(&Status::unimplemented("")));
        let delay = Duration::from_millis(2500);
        let asked = Status::with_details(Code::ResourceExhausted, "", retry_details(delay));
        assert!(matches!(judge(&asked), Answer::Retry { after: Some(after), .. } if after == delay));
        assert_eq!(retry_delay(b"\xff\xff\xff nonsense"), None);
    }

    /// Scenario: RESOURCE_EXHAUSTED without a delay, for want of quota and for the size of the message, in the words of
    /// several servers.
    /// Guarantees: a quota is waited for, what is too large is told apart.
    #[test]
    fn a_throttle_is_not_a_refusal() {
        for text in [
            "",
            "grpc: throttled",
            "rpc error: code = ResourceExhausted desc = ingestion rate limit (1000) exceeded while adding 200 lines for a total size of 2000 bytes",
        ] {
            let answer = judge(&Status::resource_exhausted(text));
            assert!(matches!(answer, Answer::Retry { after: None, .. }), "{text}: {answer:?}");
        }
        for status in [
            Status::resource_exhausted("grpc: received message larger than max (5000000 vs. 4194304)"),
            Status::resource_exhausted("grpc: received message after decompression larger than max 4194304"),
            Status::resource_exhausted("gRPC message exceeds maximum size 4194304: 5000000"),
            Status::resource_exhausted("Received message exceeds the maximum configured message size."),
            Status::out_of_range(
                "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes",
            ),
        ] {
            assert!(matches!(judge(&status), Answer::TooLarge { .. }), "{status:?}");
        }
        assert!(matches!(judge(&Status::out_of_range("")), Answer::Retry { .. }));
    }

    /// Scenario: a receiver sends durations that the protocol forbids: negative, of mixed signs, out of range.
    /// Guarantees: each is some wait or none, and no arithmetic overflows.
    #[test]
    fn any_delay_can_be_read() {
        for (seconds, nanos, expected) in [
            (0, 0, Duration::ZERO),
            (1, 500_000_000, Duration::from_millis(1500)),
            (5, -1, Duration::new(4, 999_999_999)),
            (0, -1, Duration::ZERO),
            (-1, 2_000_000_000, Duration::from_secs(1)),
            (i64::MIN, i32::MIN, Duration::ZERO),
            (i64::MAX, i32::MAX, Duration::new(i64::MAX.cast_unsigned() + 2, 147_483_647)),
        ] {
            assert_eq!(ProtoDuration { seconds, nanos }.to_std(), expected, "{seconds} {nanos}");
        }
    }
}
