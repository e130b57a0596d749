//! OTLP over HTTP: protobuf in POST requests.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{StatusCode, Uri};
use ig_model::otlp::{Compression, OtlpSettings};
use prost::Message as _;
use reqwest::{Certificate, Client, Identity, redirect};

use super::super::error::OtlpError;
use super::super::rpc_status::words_of;
use super::super::settings::TlsParts;
use super::super::source::Service;
use super::{Answer, Response, accepted, says_too_large};

/// As much of an answer as is read.
const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// An HTTP client and where it posts to.
#[derive(Clone)]
pub(in super::super) struct Http {
    client: Client,
    endpoint: Uri,
    gzip: bool,
}

impl Http {
    pub(super) fn new(settings: &OtlpSettings, uri: &Uri, tls: TlsParts) -> Result<Self, OtlpError> {
        if settings.tls.server_name.is_some() {
            let problem = "has a server name, which only the grpc protocol can use";
            return Err(OtlpError::tls(settings, problem, None));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let fault = |problem| OtlpError::Header {
                exporter: settings.name.clone(),
                header: name.clone(),
                problem,
            };
            let name =
                HeaderName::try_from(name).map_err(|_invalid| fault("has a name that HTTP cannot carry"))?;
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_invalid| fault("has a value that HTTP cannot carry"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let gzip = settings.compression == Compression::Gzip;
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("ig/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(settings.timeout)
            .pool_max_idle_per_host(1);
        if let Some(pem) = tls.ca {
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| {
                let problem = "has a ca file without readable certificates";
                OtlpError::tls(settings, problem, Some(source.into()))
            })?;
            builder = builder.tls_certs_only(certificates);
        }
        if let Some((cert, key)) = tls.identity {
            let identity = Identity::from_pem(&[key, cert].concat()).map_err(|source| {
                let problem = "has no readable client certificate and key";
                OtlpError::tls(settings, problem, Some(source.into()))
            })?;
            builder = builder.identity(identity);
        }
        let client = builder
            .build()
            .map_err(|source| OtlpError::Client { exporter: settings.name.clone(), source })?;
        Ok(Self { client, endpoint: uri.clone(), gzip })
    }

    pub(super) async fn send(&self, service: Service, message: Bytes) -> Answer {
        let body = if self.gzip { compress(&message) } else { Ok(message) };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answer::Refused { error: ig_model::chain(&error) },
        };
        match self.client.post(service_url(&self.endpoint, service)).body(body).send().await {
            Ok(response) => judge(response).await,
            Err(error) if error.is_builder() => Answer::Refused { error: ig_model::chain(&error) },
            Err(error) => Answer::Retry { after: None, error: ig_model::chain(&error) },
        }
    }
}

/// The endpoint with the path of the service, unless it already ends so.
fn service_url(uri: &Uri, service: Service) -> String {
    let whole = uri.to_string();
    let (base, query) = whole.split_once('?').map_or((whole.as_str(), None), |(b, q)| (b, Some(q)));
    let base = base.trim_end_matches('/');
    let path = if base.ends_with(service.http_path) { "" } else { service.http_path };
    let mut url = format!("{base}{path}");
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
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
async fn judge(response: reqwest::Response) -> Answer {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|value| ig_model::retry::retry_after(value, SystemTime::now()));
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = match read(response).await {
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

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MOST_ANSWER_BYTES - body.len();
        body.extend(chunk.iter().take(room));
        if body.len() == MOST_ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended_unless_it_is_there() {
        for (endpoint, expected) in [
            ("http://h:4318", "http://h:4318/v1/metrics"),
            ("http://h:4318/", "http://h:4318/v1/metrics"),
            ("https://h/otlp/", "https://h/otlp/v1/metrics"),
            ("https://h/otlp/v1/metrics", "https://h/otlp/v1/metrics"),
            ("https://h/x?key=1", "https://h/x/v1/metrics?key=1"),
        ] {
            assert_eq!(service_url(&endpoint.parse().unwrap(), Service::METRICS), expected);
        }
    }
}
