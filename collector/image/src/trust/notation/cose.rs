//! COSE envelopes: `COSE_Sign1` with the signature over payload and protected header.
//!
//! The few fields that matter are taken out of plain CBOR values, with a bound on nesting. A general COSE library
//! would also follow counter signatures, each of which holds another encoded header, as deep as an attacker likes.
//!
//! # Source
//! RFC 9052 §4.2 and §4.4; RFC 9360 for the certificates.

use ciborium::Value;

use super::envelope::{
    Attribute, Envelope, EnvelopeAlgorithm, EnvelopeError, EnvelopeFormat, Headers, MAX_CHAIN, bounded,
};

const SIGN1_TAG: u64 = 18;
const TIME_TAG: u64 = 1;
const ALGORITHM: i128 = 1;
const CRITICAL: i128 = 2;
const CONTENT_TYPE: i128 = 3;
const CERTIFICATES: i128 = 33;
const MAX_DEPTH: usize = 16;

type Entries = Vec<(Value, Value)>;

pub(super) fn parse(content: &[u8]) -> Result<Envelope, EnvelopeError> {
    let malformed = EnvelopeError::Malformed;
    let parts = match value(content)? {
        Value::Tag(SIGN1_TAG, inner) => inner.into_array(),
        _ => return Err(malformed("it is not tagged as COSE_Sign1")),
    };
    let parts = parts.map_err(|_rejected| malformed("COSE_Sign1 is not a list"))?;
    let Ok([protected, unprotected, payload, signature]) = <[Value; 4]>::try_from(parts) else {
        return Err(malformed("COSE_Sign1 has not four parts"));
    };
    let bytes = |value: Value, what| value.into_bytes().map_err(|_rejected| malformed(what));
    let protected = bytes(protected, "the protected header is not a byte string")?;
    let payload = bytes(payload, "the payload is not a byte string")?;
    let signature = bytes(signature, "the signature is not a byte string")?;
    let (headers, algorithm) = headers(map(value(&protected)?)?)?;
    let (scheme, expiry) = headers.check()?;
    let chain = certificates(map(unprotected)?)?;
    Ok(Envelope {
        format: EnvelopeFormat::Cose,
        algorithm,
        signed: signed_bytes(protected, &payload)?,
        signature,
        payload,
        chain,
        scheme,
        expiry,
    })
}

/// Reads one value that fills `content`.
fn value(mut content: &[u8]) -> Result<Value, EnvelopeError> {
    let value = ciborium::de::from_reader_with_recursion_limit(&mut content, MAX_DEPTH)
        .map_err(|_rejected| EnvelopeError::Malformed("it is not CBOR"))?;
    if content.is_empty() { Ok(value) } else { Err(EnvelopeError::Malformed("bytes follow its end")) }
}

/// The entries of a map whose keys stand once each.
fn map(value: Value) -> Result<Entries, EnvelopeError> {
    let entries = value.into_map().map_err(|_rejected| EnvelopeError::Malformed("a header is not a map"))?;
    if entries.len() > 64 {
        return Err(EnvelopeError::Malformed("a header has more than 64 entries"));
    }
    let keys = || entries.iter().map(|(key, _)| key).enumerate();
    if keys().any(|(at, key)| keys().any(|(other, same)| other < at && same == key)) {
        return Err(EnvelopeError::Malformed("a header stands twice"));
    }
    Ok(entries)
}

fn headers(protected: Entries) -> Result<(Headers, EnvelopeAlgorithm), EnvelopeError> {
    let mut headers = Headers::default();
    let mut algorithm = Err(EnvelopeError::Header("alg"));
    for (key, value) in protected {
        match (label(&key), value) {
            (Some(Label::Number(ALGORITHM)), value) => algorithm = algorithm_of(&value),
            (Some(Label::Number(CRITICAL)), Value::Array(names)) => {
                headers.critical = names.iter().filter_map(critical_name).collect();
            }
            (Some(Label::Number(CONTENT_TYPE)), Value::Text(content)) => headers.content = Some(content),
            (Some(Label::Text(name)), value) => headers.attributes.push((name.to_owned(), attribute(&value))),
            _ => {}
        }
    }
    Ok((headers, algorithm?))
}

enum Label<'a> {
    Number(i128),
    Text(&'a str),
}

fn label(key: &Value) -> Option<Label<'_>> {
    match key {
        Value::Integer(number) => Some(Label::Number((*number).into())),
        Value::Text(text) => Some(Label::Text(text)),
        _ => None,
    }
}

/// The name of a header that must be understood; algorithm and content type always are.
fn critical_name(key: &Value) -> Option<String> {
    match label(key) {
        Some(Label::Number(ALGORITHM | CONTENT_TYPE)) => None,
        Some(Label::Number(other)) => Some(other.to_string()),
        Some(Label::Text(name)) => Some(name.to_owned()),
        None => Some("of an unknown type".to_owned()),
    }
}

fn algorithm_of(value: &Value) -> Result<EnvelopeAlgorithm, EnvelopeError> {
    let number = value.as_integer().map(i128::from);
    match number {
        Some(-37) => Ok(EnvelopeAlgorithm::Ps256),
        Some(-38) => Ok(EnvelopeAlgorithm::Ps384),
        Some(-39) => Ok(EnvelopeAlgorithm::Ps512),
        Some(-7) => Ok(EnvelopeAlgorithm::Es256),
        Some(-35) => Ok(EnvelopeAlgorithm::Es384),
        Some(other) => Err(EnvelopeError::Algorithm(other.to_string())),
        None => Err(EnvelopeError::Header("alg")),
    }
}

fn attribute(value: &Value) -> Attribute {
    match value {
        Value::Text(text) => Attribute::Text(text.clone()),
        Value::Tag(TIME_TAG, time) => match time.as_integer().and_then(|seconds| i64::try_from(seconds).ok())
        {
            Some(seconds) => Attribute::Time(seconds),
            None => Attribute::Other,
        },
        _ => Attribute::Other,
    }
}

fn certificates(unprotected: Entries) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    let is_chain = |(key, _): &(Value, Value)| matches!(label(key), Some(Label::Number(CERTIFICATES)));
    let chain = match unprotected.into_iter().find(is_chain) {
        Some((_, Value::Bytes(only))) => vec![only],
        Some((_, Value::Array(several))) if several.len() > MAX_CHAIN => {
            return Err(EnvelopeError::Chain(several.len()));
        }
        Some((_, Value::Array(several))) => {
            let chain: Result<Vec<_>, _> = several.into_iter().map(Value::into_bytes).collect();
            chain.map_err(|_rejected| EnvelopeError::Malformed("a certificate is not a byte string"))?
        }
        _ => return Err(EnvelopeError::Header("x5chain")),
    };
    bounded(chain)
}

/// The `Sig_structure` with the protected header as it was received.
fn signed_bytes(protected: Vec<u8>, payload: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let structure = Value::Array(vec![
        Value::Text("Signature1".to_owned()),
        Value::Bytes(protected),
        Value::Bytes(Vec::new()),
        Value::Bytes(payload.to_vec()),
    ]);
    let mut signed = Vec::with_capacity(payload.len() + 256);
    ciborium::ser::into_writer(&structure, &mut signed)
        .map_err(|_never_to_memory| EnvelopeError::Malformed("it cannot be encoded again"))?;
    Ok(signed)
}
