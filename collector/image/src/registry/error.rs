//! What can go wrong between here and a registry, and what to do about it.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use ig_model::Hint;
use reqwest::Url;

use crate::auth::AuthError;
use crate::store::{BlobError, IngestError, ResolveError, StoreError};
use crate::{Digest, ErrorKind, ParseDigestError, Reference};

/// A transfer from or to a registry failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RegistryError(Box<Fault>);

/// Another try may have another outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    /// The wait that the registry asks for.
    pub(super) asked: Option<Duration>,
}

/// The reasons. Addresses are shown without their query, which may hold a signature or a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("`{name}` is not a registry, expected `host[:port]` or, for a mirror, `host[:port]/prefix`")]
    Mirror { name: String },
    #[error("`{text}` is not an address")]
    Address { text: String, source: <Url as FromStr>::Err },
    #[error("certificates in `{path}` cannot be used")]
    Certificate { path: PathBuf, source: io::Error },
    #[error("TLS cannot be set up")]
    Tls { source: rustls::Error },
    #[error("no client can be made for `{host}`")]
    Client { host: String, source: reqwest::Error },
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("request to {url} failed")]
    Request { url: String, source: reqwest::Error },
    #[error("{url} neither sent nor took a byte for {} s", .idle.as_secs())]
    Stalled { url: String, idle: Duration },
    #[error("the transfer is not done after {} s", .limit.as_secs())]
    TookTooLong { limit: Duration },
    #[error("{url} answered {status}{}", colon(.said))]
    Status { url: String, status: StatusCode, said: String, asked: Option<Duration> },
    #[error("registry `{host}` refuses access to `{path}`{}", colon(.said))]
    Refused { host: String, path: String, said: String, anonymous: bool },
    #[error("registry `{host}` asks for a login in a way that cannot be followed: {problem}")]
    Challenge { host: String, problem: String },
    #[error("registry `{host}` sends credentials to `{realm}`, which is refused: {problem}")]
    Realm { host: String, realm: String, problem: &'static str },
    #[error("{url} leads to `{target}`, which is refused: {problem}")]
    Redirect { url: String, target: String, problem: &'static str },
    #[error("failed to open what shall be sent to {url}")]
    Upload { url: String, source: io::Error },
    #[error("{url} answered with more than the {limit} bytes allowed")]
    TooLarge { url: String, limit: u64 },
    #[error("{url} ended after {actual} of {expected} bytes")]
    Truncated { url: String, expected: u64, actual: u64 },
    #[error("{url} announced {actual} bytes, expected {expected}")]
    Length { url: String, expected: u64, actual: u64 },
    #[error("{url} delivered content of digest {actual}, expected {expected}")]
    Content { url: String, expected: Digest, actual: Digest },
    #[error("failed to use the document at {url}: {problem}")]
    Document { url: String, problem: &'static str },
    #[error("{url} is malformed")]
    Json { url: String, source: serde_json::Error },
    #[error("a descriptor of image `{reference}` is unusable")]
    Descriptor { reference: Box<Reference>, source: ParseDigestError },
    #[error("`{digest}` of image `{reference}` has {size} bytes, more than the {limit} allowed")]
    BlobTooLarge { reference: Box<Reference>, digest: Digest, size: u64, limit: u64 },
    #[error("image `{reference}` {problem}, more than the {limit} allowed")]
    Graph { reference: Box<Reference>, problem: &'static str, limit: u64 },
    #[error("registry `{host}` wants the upload at `{target}`, which is refused: {problem}")]
    Location { host: String, target: String, problem: &'static str },
    #[error("registry `{host}` stored a document under digest {actual}, expected {expected}")]
    Stored { host: String, expected: Digest, actual: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("failed to read `{digest}` from the store")]
    Blob { digest: String, source: BlobError },
    // The next two contain the words that scripts for other programs of this kind look for.
    #[error(
        "failed to perform \"FetchReference\" on source: image `{reference}` cannot be fetched from {from}"
    )]
    Fetch { reference: Box<Reference>, from: String, source: RegistryError },
    #[error("failed to perform \"Resolve\" on source: image `{reference}` is not in the local store")]
    NotStored { reference: Box<Reference>, source: ResolveError },
    #[error("image `{reference}` cannot be pushed")]
    Push { reference: Box<Reference>, source: RegistryError },
    #[error("a task of the transfer was cancelled")]
    Cancelled,
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl<T: Into<Fault>> From<T> for RegistryError {
    fn from(fault: T) -> Self {
        Self(Box::new(fault.into()))
    }
}

impl RegistryError {
    pub(super) fn fault(&self) -> &Fault {
        &self.0
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self.fault() {
            Fault::Fetch { source, .. } | Fault::Push { source, .. } => source.kind(),
            Fault::Auth(error) => error.kind(),
            Fault::Store(error) => error.kind(),
            Fault::Ingest(error) => error.kind(),
            Fault::Resolve(error) | Fault::NotStored { source: error, .. } => error.kind(),
            Fault::Refused { .. } => ErrorKind::PermissionDenied,
            Fault::Status { status, .. } if *status == StatusCode::NOT_FOUND => ErrorKind::NotFound,
            Fault::Status { .. }
            | Fault::Request { .. }
            | Fault::Stalled { .. }
            | Fault::TookTooLong { .. }
            | Fault::Cancelled => ErrorKind::Unavailable,
            Fault::Mirror { .. } | Fault::Address { .. } | Fault::Certificate { .. } => {
                ErrorKind::InvalidInput
            }
            Fault::Upload { source, .. } => ErrorKind::of_io(source),
            Fault::Tls { .. } | Fault::Client { .. } => ErrorKind::Io,
            _ => ErrorKind::Corrupt,
        }
    }

    /// Whether another try at the same place may have another outcome.
    pub(super) fn retryable(&self) -> Option<Again> {
        match self.fault() {
            Fault::Status { status, asked, .. } => {
                super::retry::is_worth_retrying(*status).then_some(Again { asked: *asked })
            }
            Fault::Request { source, .. } => is_passing(source).then_some(Again { asked: None }),
            Fault::Truncated { .. } | Fault::Stalled { .. } => Some(Again { asked: None }),
            _ => None,
        }
    }
}

impl Hint for RegistryError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self.fault() {
            Fault::Fetch { source, .. } | Fault::Push { source, .. } => source.hint(),
            Fault::Auth(error) => error.hint(),
            Fault::Store(error) => error.hint(),
            Fault::Ingest(error) => error.hint(),
            Fault::Resolve(error) => error.hint(),
            Fault::NotStored { .. } => Some("see what is there with `ig image list`".into()),
            Fault::Refused { host, anonymous: true, .. } => {
                Some(format!("check the name, or log in with `ig login {host}`").into())
            }
            Fault::Refused { .. } => Some("check the name, and what this login may do".into()),
            Fault::Status { status, .. } if *status == StatusCode::NOT_FOUND => {
                Some("check the name and the tag".into())
            }
            Fault::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                Some("the registry limits how often it is asked; try later, or log in".into())
            }
            Fault::Request { source, .. } => request_hint(source).map(Cow::Borrowed),
            Fault::BlobTooLarge { .. } | Fault::Graph { .. } | Fault::TooLarge { .. } => {
                Some("no real gadget is that large; if it is wanted, raise the limit".into())
            }
            _ => None,
        }
    }
}

/// Failures of the network pass; those of names, certificates and formats stay.
fn is_passing(error: &reqwest::Error) -> bool {
    !error.is_builder()
        && tls_fault(error).is_none()
        && (error.is_connect() || error.is_timeout() || is_broken(error))
}

fn is_broken(error: &reqwest::Error) -> bool {
    error.is_request() || error.is_body() || error.is_decode()
}

/// The fault that the TLS library found, if it was one.
fn tls_fault(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error hides the error it was made of from `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(found);
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn request_hint(error: &reqwest::Error) -> Option<&'static str> {
    use rustls::{CertificateError, Error};
    let hint = match tls_fault(error)? {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "put the certificate of the registry's authority into /etc/ig/certs.d/HOST[:PORT]/ca.crt"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the registry's certificate has expired; it must be renewed there"
        }
        // Go's programs accept this one; the library that checks certificates here does not. rustls hands its error on as
        // one of another crate, whose type could be named only by depending on the very version that rustls uses; were
        // the two to part, that would fail as silently as the text does. A test meets the real error.
        Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "the registry shows the certificate of an authority as its own; make one with \
             `openssl req -x509 -addext basicConstraints=critical,CA:FALSE`, or have it signed by an authority"
        }
        Error::AlertReceived(_) => {
            "the registry may ask for a certificate: put client.cert and client.key into /etc/ig/certs.d/HOST[:PORT]/"
        }
        Error::InvalidMessage(_) => {
            "the registry may speak plain HTTP: list it with --insecure-registries if that is wanted"
        }
        _ => return None,
    };
    Some(hint)
}
