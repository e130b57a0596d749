//! One request to a registry: who is asked, with which credentials, and what may come of it.
//!
//! oci-client's own calls read answers of any size into memory, follow redirects and token realms anywhere, and take no
//! client certificate; a collector that runs as root and pulls from wherever a file says cannot afford that. So the
//! requests are made here, with the HTTP client that oci-client is built on, while the vocabulary (error envelopes,
//! tokens) is oci-client's.
//!
//! Invariants: credentials go to the registry's own origin and to a checked realm, nowhere else; nothing is read
//! without a bound; nothing waits without a deadline.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use ig_model::{Backoff, RetryPolicy};
use oci_client::errors::OciEnvelope;
use reqwest::{Body, Client, Response, Url, redirect};

use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::retry::asked_wait;
use super::tls::{Certificates, Own};
use super::token::{self, Action};
use crate::auth::{Credentials, Keychain};

/// As much of an error's answer as is read.
const MOST_ERROR_BYTES: u64 = 64 << 10;
/// Redirects in a row.
const MOST_REDIRECTS: u32 = 5;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
    /// For one image, all in all.
    pub whole: Duration,
    /// For the signatures of one image, all in all.
    pub signatures: Duration,
    /// Between the tries.
    pub retry: RetryPolicy,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
            signatures: Duration::from_secs(60),
            retry: super::retry::POLICY,
        }
    }
}

/// Where credentials come from.
#[derive(Debug)]
pub(super) enum CredentialSource {
    /// The files and helpers of this machine; never used over plain HTTP.
    Keychain(Keychain),
    /// The ones a login tries.
    Given(Credentials),
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) patience: Patience,
    pub(super) credentials: CredentialSource,
    insecure: Vec<String>,
    certificates: Certificates,
    clients: Mutex<HashMap<(String, bool), (Own, Client)>>,
    /// What let us in before, by repository and action.
    grants: Mutex<HashMap<(String, Action), HeaderValue>>,
}

/// What is sent along.
pub(super) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    /// A stream of known size, which can be opened again.
    Stream {
        size: u64,
        open: &'a (dyn Fn() -> io::Result<Body> + Sync),
    },
}

/// A request to be made.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) repository: &'a Repository,
    pub(super) action: Action,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload<'a>,
}

impl<'a> Call<'a> {
    /// A request without anything sent along.
    pub(super) fn new(method: Method, url: Url, repository: &'a Repository, action: Action) -> Self {
        Self { method, url, repository, action, headers: HeaderMap::new(), payload: Payload::Empty }
    }
}

impl Http {
    pub(super) fn new(
        patience: Patience,
        credentials: CredentialSource,
        insecure: Vec<String>,
        certificates: Certificates,
    ) -> Self {
        Self {
            patience,
            credentials,
            insecure,
            certificates,
            clients: Mutex::default(),
            grants: Mutex::default(),
        }
    }

    /// Whether `host` is reached over plain HTTP.
    pub(super) fn is_plain(&self, host: &str) -> bool {
        self.insecure.iter().any(|listed| listed == host)
    }

    /// Makes a request; an answer other than success is an error.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let response = self.answer(call).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(call, response).await) }
    }

    /// Makes a request and reads the answer whole, again and again if that can help.
    pub(super) async fn fetch(
        &self,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        let mut retry = Backoff::new(self.patience.retry);
        loop {
            match self.fetch_once(call, limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tokio::time::sleep(Self::wait_after(&mut retry, error)?).await,
            }
        }
    }

    /// Makes a request whose answer matters for its headers only, again and again if that can help.
    pub(super) async fn headers(&self, call: &Call<'_>) -> Result<HeaderMap, RegistryError> {
        let mut retry = Backoff::new(self.patience.retry);
        loop {
            match self.call(call).await {
                Ok(response) => return Ok(response.headers().clone()),
                Err(error) => tokio::time::sleep(Self::wait_after(&mut retry, error)?).await,
            }
        }
    }

    async fn fetch_once(&self, call: &Call<'_>, limit: u64) -> Result<(HeaderMap, Bytes), RegistryError> {
        let response = self.call(call).await?;
        let headers = response.headers().clone();
        Ok((headers, self.read(response, limit).await?))
    }

    /// The wait before another try, or the error back if there shall be none.
    pub(super) fn wait_after(retry: &mut Backoff, error: RegistryError) -> Result<Duration, RegistryError> {
        let Some(wait) = error.retryable().and_then(|again| retry.next(again.asked, Duration::ZERO)) else {
            return Err(error);
        };
        let cause = ig_model::chain(&error);
        tracing::debug!(name: "registry.request.retried", wait = ?wait, cause);
        Ok(wait)
    }

    /// Reads an answer of at most `limit` bytes.
    pub(super) async fn read(&self, mut response: Response, limit: u64) -> Result<Bytes, RegistryError> {
        let too_large = |response: &Response| Fault::TooLarge { url: shown(response.url()), limit };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large(&response).into());
        }
        let mut content = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if (content.len() + chunk.len()) as u64 > limit {
                return Err(too_large(&response).into());
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// The next piece of an answer.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, RegistryError> {
        match tokio::time::timeout(self.patience.idle, response.chunk()).await {
            Ok(result) => result.map_err(|error| broken(response.url(), error)),
            Err(_elapsed) => Err(self.stalled(response.url())),
        }
    }

    pub(super) fn stalled(&self, url: &Url) -> RegistryError {
        Fault::Stalled { url: shown(url), idle: self.patience.idle }.into()
    }

    /// Makes a request with the grant at hand; obtains one where the registry asks for it.
    async fn answer(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let key = (call.repository.to_string(), call.action);
        let mut asked = false;
        loop {
            let grant = lock(&self.grants).get(&key).cloned();
            let response = self.follow(call, grant.as_ref()).await?;
            if response.status() != StatusCode::UNAUTHORIZED
                || asked
                || !call.repository.is_at(response.url())
            {
                return Ok(response);
            }
            asked = true;
            match token::authorize(self, call, response.headers()).await? {
                Some(grant) => drop(lock(&self.grants).insert(key.clone(), grant)),
                None => return Ok(response),
            }
        }
    }

    /// Makes a request and follows where it is sent on to.
    async fn follow(&self, call: &Call<'_>, grant: Option<&HeaderValue>) -> Result<Response, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let grant = grant.filter(|_| call.repository.is_at(&url));
            let response = self.send(call, &url, grant).await?;
            let moved = response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED;
            if !moved || !matches!(call.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            url = self.next_url(&response)?;
        }
        let problem = "there are too many redirects in a row";
        Err(Fault::Redirect { url: shown(&call.url), target: shown(&url), problem }.into())
    }

    fn next_url(&self, response: &Response) -> Result<Url, RegistryError> {
        let from = response.url();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|text| from.join(text).ok());
        let refuse =
            |target: &str, problem| Fault::Redirect { url: shown(from), target: target.to_owned(), problem };
        let target = target.ok_or_else(|| refuse("", "it is not an address"))?;
        match target.scheme() {
            "https" => Ok(target),
            "http" if from.scheme() == "https" => {
                Err(refuse(&shown(&target), "it is not encrypted, while the registry is").into())
            }
            "http" if self.is_plain(&authority(&target)) => Ok(target),
            "http" => Err(refuse(&shown(&target), "plain HTTP to that host is not allowed").into()),
            _ => Err(refuse(&shown(&target), "it is neither http nor https").into()),
        }
    }

    /// Sends one request to one server.
    async fn send(
        &self,
        call: &Call<'_>,
        url: &Url,
        grant: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request =
            self.client(url)?.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(grant) = grant {
            request = request.header(AUTHORIZATION, grant.clone());
        }
        let streams = match &call.payload {
            Payload::Empty if call.method == Method::POST => {
                request = request.header(CONTENT_LENGTH, 0);
                false
            }
            Payload::Empty => false,
            Payload::Bytes(bytes) => {
                request = request.body(bytes.clone());
                false
            }
            Payload::Stream { size, open } => {
                let body = open().map_err(|source| Fault::Upload { url: shown(url), source })?;
                request = request.header(CONTENT_LENGTH, *size).body(body);
                true
            }
        };
        // Whoever sends a stream watches it by itself.
        let limit = if streams { self.patience.whole } else { self.patience.idle };
        match tokio::time::timeout(limit, request.send()).await {
            Ok(result) => result.map_err(|error| broken(url, error)),
            Err(_elapsed) => Err(self.stalled(url)),
        }
    }

    /// The client for the server of `url`: each server has its own certificates, and a new client when they change.
    pub(super) fn client(&self, url: &Url) -> Result<Client, RegistryError> {
        let host = authority(url);
        let plain = url.scheme() == "http";
        let own = if plain { Own::default() } else { self.certificates.of(&host)? };
        if let Some((made_with, client)) = lock(&self.clients).get(&(host.clone(), plain)) {
            if *made_with == own {
                return Ok(client.clone());
            }
            tracing::info!(name: "registry.certificates.changed", registry = host, "they count from now on");
        }
        let tls = if plain { Certificates::none()? } else { self.certificates.config(&host, &own)? };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("ig/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(self.patience.connect)
            .pool_max_idle_per_host(4)
            // The library's own rule is another one: ours is the same for all that leaves the process.
            .no_proxy();
        let proxies = ig_model::Proxies::of_process();
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(proxy) = proxies.to(url.scheme(), url.host_str().unwrap_or_default(), port) {
            let proxy = reqwest::Proxy::all(proxy);
            let proxy = proxy.map_err(|source| Fault::Client { host: host.clone(), source })?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|source| Fault::Client { host: host.clone(), source })?;
        drop(lock(&self.clients).insert((host, plain), (own, client.clone())));
        Ok(client)
    }

    /// What an answer other than success means.
    pub(super) async fn refusal(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let status = response.status();
        let url = shown(response.url());
        let asked = asked_wait(response.headers());
        let body = self.read(response, MOST_ERROR_BYTES).await.unwrap_or_default();
        let said = said(&body);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let key = (call.repository.to_string(), call.action);
            let anonymous = !token::has_credentials(self, call.repository).await;
            drop(lock(&self.grants).remove(&key));
            let (host, path) = (call.repository.host.clone(), call.repository.path.clone());
            return Fault::Refused { host, path, said, anonymous }.into();
        }
        Fault::Status { url, status, said, asked }.into()
    }
}

/// What the registry says went wrong, from its error envelope or as short text.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<OciEnvelope>(body) {
        Ok(envelope) => {
            let each = envelope.errors.iter().map(|error| match error.message.as_str() {
                "" => format!("{:?}", error.code),
                message => message.to_owned(),
            });
            each.collect::<Vec<_>>().join("; ")
        }
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(), // a page for browsers
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// An address as it may be shown: without user and query.
pub(super) fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path()).chars().take(300).collect()
}

/// `host` or `host:port`.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn broken(url: &Url, source: reqwest::Error) -> RegistryError {
    Fault::Request { url: shown(url), source: source.without_url() }.into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
