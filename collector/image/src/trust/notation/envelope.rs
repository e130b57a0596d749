//! What a signature envelope says, whichever way it is encoded.
//!
//! Reading an envelope believes nothing: it brings JWS and COSE into one form and checks the rules that both share.
//! Who signed, and whether that person may, is decided elsewhere.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use super::policy::clip;
use super::{cose, jws};
use crate::trust::key::KeyAlgorithm;

/// Media type of the signed payload.
pub(super) const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
const SCHEME: &str = "io.cncf.notary.signingScheme";
const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
const AUTHENTIC_TIME: &str = "io.cncf.notary.authenticSigningTime";
const EXPIRY: &str = "io.cncf.notary.expiry";
const PLUGIN: &str = "io.cncf.notary.verificationPlugin";
/// The most certificates a chain may have; real ones have two or three.
pub(super) const MAX_CHAIN: usize = 16;

/// A signature envelope, read and not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(super) format: EnvelopeFormat,
    pub(super) algorithm: EnvelopeAlgorithm,
    /// The bytes the signature is over.
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// DER certificates, the signer's first.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) scheme: Scheme,
    /// When the signature ends to be valid, seconds since 1970.
    pub(super) expiry: Option<i64>,
}

/// How an envelope is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeFormat {
    /// JSON, `application/jose+json`.
    Jws,
    /// CBOR, `application/cose`.
    Cose,
}

/// Who says when the signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The signer itself; nobody has to believe it.
    X509,
    /// An authority that signs for others, at this time in seconds since 1970.
    SigningAuthority(i64),
}

/// Algorithms an envelope may be signed with; each belongs to one kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvelopeAlgorithm {
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
}

/// A header value, as far as both encodings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Text(String),
    /// Seconds since 1970.
    Time(i64),
    Other,
}

/// The bytes are not a signature envelope that can be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The media type is neither JWS nor COSE.
    #[error("the envelope is of the unknown kind `{0}`")]
    Kind(String),
    /// The JSON document is broken.
    #[error("the JWS envelope is malformed")]
    Json(#[source] serde_json::Error),
    /// The CBOR document or a value is broken.
    #[error("the envelope is malformed: {0}")]
    Malformed(&'static str),
    /// The algorithm is unknown or too weak.
    #[error("the signature algorithm `{0}` is not supported, expected PS256, PS384, PS512, ES256 or ES384")]
    Algorithm(String),
    /// A header that must be there is missing or of the wrong type.
    #[error("the envelope lacks a usable `{0}`")]
    Header(&'static str),
    /// The content type is another one.
    #[error("the envelope holds `{0}`, expected `{PAYLOAD}`")]
    Content(String),
    /// The signing scheme is unknown.
    #[error("the signing scheme `{0}` is unknown")]
    Scheme(String),
    /// A header that must be understood is not marked so.
    #[error("the header `{0}` is not marked critical")]
    NotCritical(&'static str),
    /// A header must be understood and is not.
    #[error("the critical header `{0}` is not supported")]
    Critical(String),
    /// There is no certificate, or far too many.
    #[error("the envelope has {0} certificates, expected 1 to {MAX_CHAIN}")]
    Chain(usize),
}

/// Headers of an envelope before they are checked.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) critical: Vec<String>,
    pub(super) content: Option<String>,
    /// Everything else that is signed, by name.
    pub(super) attributes: Vec<(String, Attribute)>,
}

impl Envelope {
    /// Reads an envelope of the given media type.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is malformed or breaks a rule that needs no key to check.
    pub fn parse(media_type: &str, content: &[u8]) -> Result<Self, EnvelopeError> {
        match media_type {
            "application/jose+json" => jws::parse(content),
            "application/cose" => cose::parse(content),
            other => Err(EnvelopeError::Kind(clip(other))),
        }
    }
}

impl Headers {
    fn find(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, attribute)| attribute)
    }

    fn time(&self, name: &'static str) -> Result<i64, EnvelopeError> {
        match self.find(name) {
            Some(Attribute::Time(seconds)) => Ok(*seconds),
            _ => Err(EnvelopeError::Header(name)),
        }
    }

    fn require_critical(&self, name: &'static str) -> Result<(), EnvelopeError> {
        let marked = self.critical.iter().any(|other| other == name);
        if marked { Ok(()) } else { Err(EnvelopeError::NotCritical(name)) }
    }

    /// Checks the rules of the headers and gives scheme and expiry.
    pub(super) fn check(&self) -> Result<(Scheme, Option<i64>), EnvelopeError> {
        match self.content.as_deref() {
            Some(PAYLOAD) => {}
            other => return Err(EnvelopeError::Content(clip(other.unwrap_or_default()))),
        }
        self.require_critical(SCHEME)?;
        let scheme = match self.find(SCHEME) {
            Some(Attribute::Text(scheme)) if scheme == "notary.x509" => {
                self.time(SIGNING_TIME)?;
                Scheme::X509
            }
            Some(Attribute::Text(scheme)) if scheme == "notary.x509.signingAuthority" => {
                self.require_critical(AUTHENTIC_TIME)?;
                Scheme::SigningAuthority(self.time(AUTHENTIC_TIME)?)
            }
            Some(Attribute::Text(scheme)) => return Err(EnvelopeError::Scheme(clip(scheme))),
            _ => return Err(EnvelopeError::Header(SCHEME)),
        };
        let expiry = if self.find(EXPIRY).is_some() {
            self.require_critical(EXPIRY)?;
            Some(self.time(EXPIRY)?)
        } else {
            None
        };
        // What the signer wants understood and we do not understand: a plugin's attributes, for one.
        let known = [SCHEME, EXPIRY, AUTHENTIC_TIME, SIGNING_TIME];
        if let Some(unknown) = self.critical.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(EnvelopeError::Critical(clip(unknown)));
        }
        if self.find(PLUGIN).is_some() {
            return Err(EnvelopeError::Critical(PLUGIN.to_owned()));
        }
        Ok((scheme, expiry))
    }
}

impl EnvelopeFormat {
    /// Its name in proofs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jws => "jws",
            Self::Cose => "cose",
        }
    }
}

impl EnvelopeAlgorithm {
    /// The algorithm that a key must sign with.
    pub(super) fn of(key: KeyAlgorithm) -> Option<Self> {
        match key {
            KeyAlgorithm::Rsa(2048) => Some(Self::Ps256),
            KeyAlgorithm::Rsa(3072) => Some(Self::Ps384),
            KeyAlgorithm::Rsa(4096) => Some(Self::Ps512),
            KeyAlgorithm::EcdsaP256 => Some(Self::Es256),
            KeyAlgorithm::EcdsaP384 => Some(Self::Es384),
            _ => None,
        }
    }

    /// How ring checks it.
    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

/// Checks the number of certificates.
pub(super) fn bounded(chain: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    if (1..=MAX_CHAIN).contains(&chain.len()) { Ok(chain) } else { Err(EnvelopeError::Chain(chain.len())) }
}
