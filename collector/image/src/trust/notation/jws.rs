//! JWS envelopes: flattened JSON serialization with one signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::envelope::{
    Attribute, Envelope, EnvelopeAlgorithm, EnvelopeError, EnvelopeFormat, Headers, MAX_CHAIN, bounded,
};
use super::policy::clip;

#[derive(Deserialize)]
struct Document {
    payload: String,
    protected: String,
    header: Unprotected,
    signature: String,
}

#[derive(Deserialize)]
struct Unprotected {
    #[serde(default)]
    x5c: Vec<String>,
}

pub(super) fn parse(content: &[u8]) -> Result<Envelope, EnvelopeError> {
    let document: Document = serde_json::from_slice(content).map_err(EnvelopeError::Json)?;
    let decode =
        |text: &str, what| URL_SAFE_NO_PAD.decode(text).map_err(|_rejected| EnvelopeError::Malformed(what));
    let protected = decode(&document.protected, "the protected header is not base64url")?;
    let protected: Map<String, Value> = serde_json::from_slice(&protected).map_err(EnvelopeError::Json)?;
    let (headers, algorithm) = headers(&protected)?;
    let (scheme, expiry) = headers.check()?;
    if document.header.x5c.len() > MAX_CHAIN {
        return Err(EnvelopeError::Chain(document.header.x5c.len()));
    }
    let chain: Result<Vec<_>, _> = document.header.x5c.iter().map(|der| STANDARD.decode(der)).collect();
    let chain = chain.map_err(|_rejected| EnvelopeError::Malformed("a certificate is not base64"))?;
    Ok(Envelope {
        format: EnvelopeFormat::Jws,
        algorithm,
        signed: format!("{}.{}", document.protected, document.payload).into_bytes(),
        signature: decode(&document.signature, "the signature is not base64url")?,
        payload: decode(&document.payload, "the payload is not base64url")?,
        chain: bounded(chain)?,
        scheme,
        expiry,
    })
}

fn headers(protected: &Map<String, Value>) -> Result<(Headers, EnvelopeAlgorithm), EnvelopeError> {
    let mut headers = Headers::default();
    let mut algorithm = Err(EnvelopeError::Header("alg"));
    for (name, value) in protected {
        match (name.as_str(), value) {
            ("alg", Value::String(name)) => algorithm = algorithm_of(name),
            ("cty", Value::String(content)) => headers.content = Some(content.clone()),
            ("crit", Value::Array(names)) => {
                let names: Option<Vec<_>> =
                    names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
                headers.critical = names.ok_or(EnvelopeError::Header("crit"))?;
            }
            ("alg" | "cty" | "crit", _) => {
                return Err(EnvelopeError::Malformed("a header has the wrong type"));
            }
            _ => headers.attributes.push((name.clone(), attribute(value))),
        }
    }
    Ok((headers, algorithm?))
}

fn algorithm_of(name: &str) -> Result<EnvelopeAlgorithm, EnvelopeError> {
    match name {
        "PS256" => Ok(EnvelopeAlgorithm::Ps256),
        "PS384" => Ok(EnvelopeAlgorithm::Ps384),
        "PS512" => Ok(EnvelopeAlgorithm::Ps512),
        "ES256" => Ok(EnvelopeAlgorithm::Es256),
        "ES384" => Ok(EnvelopeAlgorithm::Es384),
        other => Err(EnvelopeError::Algorithm(clip(other))),
    }
}

/// Times are texts in JSON; whatever reads as one is one.
fn attribute(value: &Value) -> Attribute {
    let Value::String(text) = value else { return Attribute::Other };
    match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(time) => Attribute::Time(time.unix_timestamp()),
        Err(_plain_text) => Attribute::Text(text.clone()),
    }
}
