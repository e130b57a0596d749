//! Certificate chains for signing code: leaf first, each signed by the next, the last one by itself.
//!
//! # Source
//! Notary Project specification, `signature-specification.md`, certificate requirements.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CERTIFICATE_POLICIES, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid,
};
use x509_parser::prelude::FromDer as _;

use crate::trust::key::PublicKey;

/// Extensions whose meaning is known here; any other one that is critical refuses the certificate.
const KNOWN: [Oid<'static>; 7] = [
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_CERTIFICATE_POLICIES,
    OID_X509_EXT_SUBJECT_ALT_NAME,
];

/// Why a chain is refused; certificates are counted from the leaf, which is number 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {place} of the chain: {problem}")]
pub struct ChainError {
    place: usize,
    problem: ChainProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ChainProblem {
    #[error("it is not an X.509 certificate")]
    Malformed,
    #[error("it has the critical extension {0}, which is not understood")]
    CriticalExtension(String),
    #[error("its extensions are malformed")]
    Extensions,
    #[error("it is not signed by itself, as the last one must be")]
    NotSelfSigned,
    #[error("it is signed by itself and is not the last one")]
    EarlyRoot,
    #[error("it was not issued by the next one")]
    Issuer,
    #[error("its signature does not match, or is of a kind that is not supported or too weak")]
    Signature,
    #[error("its key usage is missing or not critical")]
    KeyUsage,
    #[error("its key is not for digital signatures alone")]
    LeafUsage,
    #[error("its key is not for signing certificates")]
    CaUsage,
    #[error("it is an authority's, the signer's must not be")]
    LeafIsCa,
    #[error("it is not an authority's")]
    NotCa,
    #[error("more authorities stand below it than its path length allows")]
    PathLength,
    #[error("it is meant for {0}, which a signer's must not be")]
    ExtendedUsage(&'static str),
    #[error("its key is not supported: {0}")]
    Key(String),
}

/// Reads one DER certificate.
pub(super) fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// Reads and checks a chain without asking who is trusted, nor what time it is. Gives the certificates and the key
/// of the first.
pub(super) fn check(chain: &[Vec<u8>]) -> Result<(Vec<X509Certificate<'_>>, PublicKey), ChainError> {
    let mut certificates = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let fault = |problem| ChainError { place: index + 1, problem };
        let certificate = read(der).ok_or(fault(ChainProblem::Malformed))?;
        check_extensions(&certificate).map_err(fault)?;
        certificates.push(certificate);
    }
    for (index, certificate) in certificates.iter().enumerate() {
        let next = certificates.get(index + 1);
        let checked = check_issuer(certificate, next).and_then(|()| match index {
            0 => check_leaf(certificate),
            _ => check_authority(certificate, index),
        });
        checked.map_err(|problem| ChainError { place: index + 1, problem })?;
    }
    let first = certificates.first().ok_or(ChainError { place: 1, problem: ChainProblem::Malformed })?;
    let key = PublicKey::from_parsed(first.public_key())
        .map_err(|error| ChainError { place: 1, problem: ChainProblem::Key(error.to_string()) })?;
    Ok((certificates, key))
}

/// Whether a certificate may be given as trusted: an authority's, or one that is signed by itself.
pub(super) fn may_be_trusted(certificate: &X509Certificate<'_>) -> bool {
    is_authority(certificate) || is_signed_by(certificate, certificate)
}

/// Whether all certificates are valid at `time`, in seconds since 1970; else which one is not, and the dates.
pub(super) fn valid_at(chain: &[X509Certificate<'_>], time: i64) -> Result<(), (usize, String)> {
    for (index, certificate) in chain.iter().enumerate() {
        let validity = certificate.validity();
        let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        if !(from..=to).contains(&time) {
            let day = ig_model::text::rfc3339_utc;
            return Err((index + 1, format!("valid from {} to {}", day(from), day(to))));
        }
    }
    Ok(())
}

/// Whether a certificate says where to ask if it was revoked.
pub(super) fn is_revocable(certificate: &X509Certificate<'_>) -> bool {
    certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(_) => true,
        ParsedExtension::AuthorityInfoAccess(access) => {
            // id-ad-ocsp; certificates also say here where their issuer's certificate is.
            access.accessdescs.iter().any(|way| way.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1")
        }
        _ => false,
    })
}

fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), ChainProblem> {
    if certificate.extensions_map().is_err() {
        return Err(ChainProblem::Extensions);
    }
    for extension in certificate.iter_extensions() {
        if extension.critical && !KNOWN.contains(&extension.oid) {
            let id = extension.oid.to_id_string().chars().take(60).collect();
            return Err(ChainProblem::CriticalExtension(id));
        }
        if matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. }) {
            return Err(ChainProblem::Extensions);
        }
    }
    Ok(())
}

fn check_issuer(
    certificate: &X509Certificate<'_>,
    next: Option<&X509Certificate<'_>>,
) -> Result<(), ChainProblem> {
    let Some(next) = next else {
        return if is_signed_by(certificate, certificate) {
            Ok(())
        } else {
            Err(ChainProblem::NotSelfSigned)
        };
    };
    if is_signed_by(certificate, certificate) {
        return Err(ChainProblem::EarlyRoot);
    }
    if certificate.issuer().as_raw() != next.subject().as_raw() {
        return Err(ChainProblem::Issuer);
    }
    if is_signed_by(certificate, next) { Ok(()) } else { Err(ChainProblem::Signature) }
}

fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let algorithm = &certificate.signature_algorithm;
    let weak = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(&algorithm.algorithm);
    // The algorithm stands inside of what is signed, too; there nobody can have changed it.
    !weak
        && *algorithm == certificate.tbs_certificate.signature
        && repeats_algorithm(certificate) == Some(true)
        && certificate.signature_value.unused_bits == 0
        && certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Whether the algorithm that stands outside of what is signed stands inside with the same bytes. The parser takes
/// several tags for the same, so that one certificate would have several fingerprints.
fn repeats_algorithm(certificate: &X509Certificate<'_>) -> Option<bool> {
    let (whole, signed) = (certificate.as_raw(), certificate.tbs_certificate.as_ref());
    let length = *whole.get(1)?;
    let header = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
    let rest = whole.get(header + signed.len()..)?;
    let outside = rest.get(..2 + usize::from(*rest.get(1)?))?;
    Some(signed.windows(outside.len()).any(|inside| inside == outside))
}

fn check_leaf(certificate: &X509Certificate<'_>) -> Result<(), ChainProblem> {
    if is_authority(certificate) {
        return Err(ChainProblem::LeafIsCa);
    }
    // Bit 0 is digitalSignature.
    if key_usage(certificate)? != 1 {
        return Err(ChainProblem::LeafUsage);
    }
    let extended = certificate.extended_key_usage().map_err(|_rejected| ChainProblem::Extensions)?;
    let Some(usage) = extended.map(|extension| extension.value) else { return Ok(()) };
    let refused = [
        (usage.server_auth, "TLS servers"),
        (usage.client_auth, "TLS clients"),
        (usage.email_protection, "e-mail"),
        (usage.time_stamping, "timestamps"),
        (usage.ocsp_signing, "revocation answers"),
    ];
    match refused.into_iter().find(|(present, _)| *present) {
        Some((_, purpose)) => Err(ChainProblem::ExtendedUsage(purpose)),
        None => Ok(()),
    }
}

fn check_authority(certificate: &X509Certificate<'_>, index: usize) -> Result<(), ChainProblem> {
    const KEY_CERT_SIGN: u16 = 1 << 5;
    if !is_authority(certificate) {
        return Err(ChainProblem::NotCa);
    }
    if key_usage(certificate)? & KEY_CERT_SIGN == 0 {
        return Err(ChainProblem::CaUsage);
    }
    let constraints = certificate.basic_constraints().ok().flatten();
    let allowed = constraints.and_then(|extension| extension.value.path_len_constraint);
    // Between this one and the leaf stand `index - 1` others.
    if allowed.is_some_and(|allowed| usize::try_from(allowed).is_ok_and(|allowed| index - 1 > allowed)) {
        return Err(ChainProblem::PathLength);
    }
    Ok(())
}

fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    matches!(certificate.basic_constraints(), Ok(Some(extension)) if extension.value.ca)
}

/// The bits of the key usage, which must be there and critical.
fn key_usage(certificate: &X509Certificate<'_>) -> Result<u16, ChainProblem> {
    match certificate.key_usage() {
        Ok(Some(extension)) if extension.critical => Ok(extension.value.flags),
        _ => Err(ChainProblem::KeyUsage),
    }
}
