//! Being let in: Basic, or a token from the place that the registry names.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use oci_client::token_cache::RegistryToken;
use reqwest::Url;

use super::challenge::{Challenge, check_realm};
use super::endpoint::Repository;
use super::error::{Fault, RegistryError};
use super::http::{Call, CredentialSource, Http, shown};
use crate::auth::{Credentials, Secret};

/// The most bytes an answer with a token may have.
const LIMIT: u64 = 1 << 20;
/// What we call ourselves where tokens are given out.
const CLIENT: &str = "ig";

/// What shall be done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Pull,
    Push,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        })
    }
}

/// Whether there is anything to show to the registry.
pub(super) async fn has_credentials(http: &Http, repository: &Repository) -> bool {
    matches!(credentials(http, repository).await, Ok(Some(_)))
}

/// Answers a challenge with the value of an `Authorization` header; `None` if there is nothing to answer with.
pub(super) async fn authorize(
    http: &Http,
    call: &Call<'_>,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, RegistryError> {
    let repository = call.repository;
    let credentials = credentials(http, repository).await?;
    match Challenge::of(headers, &repository.host)? {
        Challenge::Basic => match &credentials {
            Some(Credentials::Password { username, password }) => {
                basic(username, password, repository).map(Some)
            }
            _ => Ok(None),
        },
        Challenge::Bearer { realm, service, scope } => {
            let realm = check_realm(repository, &realm)?;
            let mut query = Vec::new();
            if let Some(service) = service {
                query.push(("service".to_owned(), service));
            }
            let own = format!("repository:{}:{}", repository.path, call.action);
            let own = (!repository.path.is_empty()).then_some(own);
            let asked = scope.filter(|asked| own.as_ref() != Some(asked));
            query.extend(own.into_iter().chain(asked).map(|scope| ("scope".to_owned(), scope)));
            let token = fetch(http, repository, realm, &query, credentials.as_ref()).await?;
            let problem = "the token cannot be sent in a header";
            sensitive(&format!("Bearer {}", token.token()))
                .ok_or_else(|| challenge(repository, problem))
                .map(Some)
        }
    }
}

async fn credentials(http: &Http, repository: &Repository) -> Result<Option<Credentials>, RegistryError> {
    match &http.credentials {
        CredentialSource::Keychain(_) if repository.plain => Ok(None),
        CredentialSource::Keychain(keychain) => {
            Ok(keychain.credentials(&repository.host, &repository.path).await?)
        }
        CredentialSource::Given(credentials) => Ok(Some(credentials.clone())),
    }
}

/// Asks for a token. An identity token is refreshed by OAuth 2, and sent as a password where that is not offered.
async fn fetch(
    http: &Http,
    repository: &Repository,
    realm: Url,
    query: &[(String, String)],
    credentials: Option<&Credentials>,
) -> Result<RegistryToken, RegistryError> {
    if let Some(Credentials::IdentityToken(token)) = credentials {
        let mut form = vec![
            ("grant_type".to_owned(), "refresh_token".to_owned()),
            ("refresh_token".to_owned(), token.expose().to_owned()),
            ("client_id".to_owned(), CLIENT.to_owned()),
        ];
        // OAuth 2 has one scope with blanks in it.
        let scopes: Vec<_> =
            query.iter().filter(|(key, _)| key == "scope").map(|(_, scope)| scope.as_str()).collect();
        form.extend(query.iter().filter(|(key, _)| key != "scope").cloned());
        form.push(("scope".to_owned(), scopes.join(" ")));
        let mut scratch = realm.clone();
        scratch.set_query(None);
        scratch.query_pairs_mut().extend_pairs(&form);
        let body = Bytes::from(scratch.query().unwrap_or_default().to_owned());
        let headers = HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )]);
        return ask(http, repository, Method::POST, &realm, headers, Some(body)).await;
    }
    let mut url = realm;
    url.query_pairs_mut().extend_pairs(query).append_pair("client_id", CLIENT);
    let mut headers = HeaderMap::new();
    if let Some(Credentials::Password { username, password }) = credentials {
        url.query_pairs_mut().append_pair("account", username);
        headers.insert(AUTHORIZATION, basic(username, password, repository)?);
    }
    ask(http, repository, Method::GET, &url, headers, None).await
}

async fn ask(
    http: &Http,
    repository: &Repository,
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: Option<Bytes>,
) -> Result<RegistryToken, RegistryError> {
    let anonymous = body.is_none() && !headers.contains_key(AUTHORIZATION);
    let mut request = http.client(url)?.request(method, url.clone()).headers(headers);
    if let Some(body) = body {
        request = request.body(body);
    }
    let sent = tokio::time::timeout(http.patience.idle, request.send()).await;
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            return Err(Fault::Request { url: shown(url), source: error.without_url() }.into());
        }
        Err(_elapsed) => return Err(http.stalled(url)),
    };
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
        let (host, path) = (repository.host.clone(), repository.path.clone());
        let said = format!("{} answered {status}", shown(url));
        return Err(Fault::Refused { host, path, said, anonymous }.into());
    }
    if !status.is_success() {
        let asked = super::retry::asked_wait(response.headers());
        // The body is left unread: it may repeat what was sent.
        return Err(Fault::Status { url: shown(url), status, said: String::new(), asked }.into());
    }
    let body = http.read(response, LIMIT).await?;
    let token: Result<RegistryToken, _> = serde_json::from_slice(&body);
    match token {
        Ok(token) if !token.token().is_empty() => Ok(token),
        // serde's own message may quote the token.
        _ => Err(challenge(repository, "the answer of its realm holds no token")),
    }
}

fn basic(username: &str, password: &Secret, repository: &Repository) -> Result<HeaderValue, RegistryError> {
    let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
    sensitive(&format!("Basic {pair}")).ok_or_else(|| challenge(repository, "the password cannot be sent"))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn challenge(repository: &Repository, problem: &str) -> RegistryError {
    Fault::Challenge { host: repository.host.clone(), problem: problem.to_owned() }.into()
}
