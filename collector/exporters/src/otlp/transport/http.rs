//! OTLP over HTTP: protobuf in POST requests.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ig_model::otlp::{Compression, OtlpSettings};
use prost::Message as _;

use super::super::error::OtlpError;
use super::super::rpc_status::words_of;
use super::super::settings::{Receiver, headers};
use super::super::source::Service;
use super::{Answer, Connector, Response, accepted, says_too_large};

/// As much of an answer as is read.
const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// An HTTP client and where it posts to.
#[derive(Clone)]
pub(in super::super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    addresses: Vec<(&'static str, Uri)>,
    headers: HeaderMap,
    gzip: bool,
}

impl Http {
    pub(super) fn new(settings: &OtlpSettings, receiver: Receiver) -> Result<Self, OtlpError> {
        let connector = Connector::new(receiver.way);
        let mut sent: HeaderMap = headers(settings)?.into_iter().collect();
        sent.insert(USER_AGENT, HeaderValue::from_static(concat!("ig/", env!("CARGO_PKG_VERSION"))));
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let gzip = settings.compression == Compression::Gzip;
        if gzip {
            sent.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(authorization) = connector.forward_authorization() {
            sent.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client, addresses: receiver.addresses, headers: sent, gzip })
    }

    pub(super) async fn send(&self, service: Service, message: Bytes) -> Answer {
        let body = if self.gzip { compress(&message) } else { Ok(message) };
        let request =
            body.map_err(|error| ig_model::chain(&error)).and_then(|body| self.request(service, body));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Answer::Refused { error },
        };
        match self.client.request(request).await {
            Ok(response) => judge(response).await,
            Err(error) => Answer::Retry { after: None, error: ig_model::chain(&error) },
        }
    }

    fn request(&self, service: Service, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let address = self.addresses.iter().find(|(path, _)| *path == service.http_path);
        let (_, address) = address.ok_or_else(|| format!("no address for {}", service.signal))?;
        let request = Request::builder().method(Method::POST).uri(address.clone());
        let mut request = request.body(Full::new(body)).map_err(|error| ig_model::chain(&error))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

fn compress(message: &[u8]) -> std::io::Result<Bytes> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(message.len() / 8), flate2::Compression::new(1));
    gzip.write_all(message)?;
    Ok(gzip.finish()?.into())
}

/// What an answer means.
///
/// # Source
/// OTLP specification, "OTLP/HTTP response".
async fn judge(response: http::Response<Incoming>) -> Answer {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|value| ig_model::retry::retry_after(value, SystemTime::now()));
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = match read(response.into_body()).await {
        Ok(body) => body,
        Err(error) => return Answer::Retry { after: None, error: ig_model::chain(&error) },
    };
    if status.is_success() {
        // The message has arrived; an answer that cannot be read does not change that.
        return accepted(Response::decode(body.as_slice()).unwrap_or_default());
    }
    let said = words_of(&body, kind.as_deref());
    let error = if said.is_empty() {
        format!("HTTP status {status}")
    } else {
        format!("HTTP status {status}: {said}")
    };
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge { error },
        // What Go's servers answer past a limit.
        StatusCode::BAD_REQUEST if says_too_large(&said) => Answer::TooLarge { error },
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Retry { after: asked, error },
        _ => Answer::Refused { error },
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = MOST_ANSWER_BYTES.saturating_sub(read.len());
        read.extend(data.iter().take(room));
        if read.len() >= MOST_ANSWER_BYTES {
            break;
        }
    }
    Ok(read)
}
