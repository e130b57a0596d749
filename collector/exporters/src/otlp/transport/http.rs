//! OTLP over HTTP: protobuf in POST requests.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{StatusCode, Uri};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use reqwest::{Certificate, Client, Identity, Response, redirect};

use super::super::settings::{OtlpError, OtlpSettings, TlsParts};
use super::{Answer, accepted};

/// As much of an answer as is read.
const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// An HTTP client and where it posts to.
#[derive(Clone)]
pub(in super::super) struct Http {
    client: Client,
    url: String,
    gzip: bool,
}

impl Http {
    pub(super) fn new(settings: &OtlpSettings, uri: &Uri, tls: TlsParts) -> Result<Self, OtlpError> {
        if settings.tls.server_name.is_some() {
            return Err(settings.tls_fault("has a server name, which only the grpc protocol can use", None));
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
            let mut value = HeaderValue::try_from(value)
                .map_err(|_invalid| fault("has a value that HTTP cannot carry"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if settings.gzip {
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
                settings.tls_fault("has a ca file without readable certificates", Some(source.into()))
            })?;
            builder = builder.tls_certs_only(certificates);
        }
        if let Some((cert, key)) = tls.identity {
            let identity = Identity::from_pem(&[key, cert].concat()).map_err(|source| {
                settings.tls_fault("has no readable client certificate and key", Some(source.into()))
            })?;
            builder = builder.identity(identity);
        }
        let client = builder
            .build()
            .map_err(|source| OtlpError::Client { exporter: settings.name.clone(), source })?;
        Ok(Self { client, url: metrics_url(uri), gzip: settings.gzip })
    }

    pub(super) async fn send(&self, message: Bytes) -> Answer {
        let body = if self.gzip { compress(&message) } else { Ok(message) };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answer::Refused { error: ig_model::chain(&error) },
        };
        match self.client.post(&self.url).body(body).send().await {
            Ok(response) => judge(response).await,
            Err(error) if error.is_builder() => Answer::Refused { error: ig_model::chain(&error) },
            Err(error) => Answer::Retry { after: None, error: ig_model::chain(&error) },
        }
    }
}

/// The endpoint with the path of the metrics service, unless it already ends so.
fn metrics_url(uri: &Uri) -> String {
    let whole = uri.to_string();
    let (base, query) = whole.split_once('?').map_or((whole.as_str(), None), |(b, q)| (b, Some(q)));
    let base = base.trim_end_matches('/');
    let mut url = if base.ends_with("/v1/metrics") { base.to_owned() } else { format!("{base}/v1/metrics") };
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
}

fn compress(message: &[u8]) -> std::io::Result<Bytes> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(message.len() / 8), Compression::new(1));
    gzip.write_all(message)?;
    Ok(gzip.finish()?.into())
}

/// What an answer means.
///
/// # Source
/// OTLP specification, "OTLP/HTTP response".
async fn judge(response: Response) -> Answer {
    let status = response.status();
    let asked = retry_after(response.headers(), SystemTime::now());
    let body = match read(response).await {
        Ok(body) => body,
        Err(error) => return Answer::Retry { after: None, error: ig_model::chain(&error) },
    };
    if status.is_success() {
        // The message has arrived; an answer that cannot be read does not change that.
        return accepted(ExportMetricsServiceResponse::decode(body.as_slice()).unwrap_or_default());
    }
    let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect();
    let error = if said.is_empty() {
        format!("HTTP status {status}")
    } else {
        format!("HTTP status {status}: {said}")
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Retry { after: asked, error },
        _ => Answer::Refused { error },
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
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

/// `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

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
            assert_eq!(metrics_url(&endpoint.parse().unwrap()), expected);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 7);
        assert_eq!(retry_after(&headers("120"), now), Some(Duration::from_mins(2)));
        let date = headers("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
