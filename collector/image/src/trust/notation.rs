//! Signatures of the Notary Project: X.509 certificates, judged by a trust policy document.
//!
//! All of it works without the network. So revocation is not asked for: where a policy enforces it and a certificate
//! says that it can be revoked, the signature is refused; see [`Notation::verify`]. Timestamps of third parties are
//! not looked at either: the chain must be valid now, or at the time a signing authority vouches for.

use serde::Deserialize;
use x509_parser::certificate::X509Certificate;

use super::key::PublicKey;
use crate::{Digest, Reference};

mod chain;
mod cose;
mod envelope;
mod jws;
mod name;
mod policy;
#[cfg(test)]
mod tests;

pub use chain::ChainError;
pub use envelope::{Envelope, EnvelopeError, EnvelopeFormat};
pub use name::{DistinguishedName, NameError};
pub use policy::{MAX_POLICY, TrustPolicy, TrustPolicyError};

use policy::{Action, Identities, Statement, StoreKind};

/// Artifact type of a signature.
pub const ARTIFACT: &str = "application/vnd.cncf.notary.signature";
/// The most certificates that can be configured.
const MAX_TRUSTED: usize = 1000;

/// Trusted certificates and the policy for using them.
#[derive(Clone, Debug)]
pub struct Notation {
    policy: TrustPolicy,
    /// DER, each an authority's or signed by itself.
    trusted: Vec<Vec<u8>>,
}

/// Who signed, and which rule allowed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How the envelope is encoded.
    pub format: EnvelopeFormat,
    /// Name of the statement of the trust policy.
    pub statement: String,
    /// Its level.
    pub level: &'static str,
    /// Subject of the signer's certificate.
    pub subject: String,
    /// SHA-256 of the signer's certificate.
    pub certificate: Digest,
    /// SHA-256 of the certificate of the chain that is trusted; `None` where the policy only logs that none is.
    pub trusted: Option<Digest>,
    /// Checks that failed or were left out, and that the policy does not enforce.
    pub not_enforced: Vec<String>,
}

/// Certificates or trust policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotationError {
    /// There is no certificate at all.
    #[error("no certificate is given")]
    NoCertificate,
    /// A text holds no certificate.
    #[error("certificate {place} is not an X.509 certificate in PEM")]
    Malformed {
        /// Which text, from 1.
        place: usize,
    },
    /// There are far too many.
    #[error("more than {MAX_TRUSTED} certificates are given")]
    TooMany,
    /// A certificate is neither an authority's nor signed by itself.
    #[error(
        "certificate {place} is neither an authority's nor signed by itself, so it cannot be trusted as such"
    )]
    NotAnAuthority {
        /// Which text, from 1.
        place: usize,
    },
    /// The trust policy is wrong.
    #[error(transparent)]
    Policy(#[from] TrustPolicyError),
}

/// A signature is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotationRefusal {
    /// No statement of the policy is for the repository.
    #[error("the trust policy has no statement for `{0}`")]
    NoStatement(String),
    /// The envelope is broken.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The certificates break a rule.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The algorithm is not the one that belongs to the signer's key.
    #[error("the signature algorithm is not the one for a key of the kind {0}")]
    Algorithm(super::key::KeyAlgorithm),
    /// The signature is not over these bytes, or not by this certificate.
    #[error("the signature does not match")]
    Signature,
    /// The payload is not what a signature is about.
    #[error("the signed payload is malformed")]
    Payload(#[source] serde_json::Error),
    /// The signature is for something else.
    #[error("the signature is for `{found}`")]
    Target {
        /// Digest, or what else differs.
        found: String,
    },
    /// An enforced check failed.
    #[error("trust policy statement `{statement}` (level {level}) refuses it: {problem}")]
    Enforced {
        /// The statement.
        statement: String,
        /// Its level.
        level: &'static str,
        /// What failed.
        problem: String,
    },
}

/// What a signature must be about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The image's name.
    pub reference: &'a Reference,
    /// Media type of its index.
    pub media_type: &'a str,
    /// Digest of its index.
    pub digest: Digest,
    /// Size of its index.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    target_artifact: TargetArtifact,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetArtifact {
    media_type: String,
    digest: String,
    size: u64,
}

impl Notation {
    /// Takes certificates (PEM, or DER) and the text of a trust policy.
    ///
    /// # Errors
    /// [`NotationError`] if any of them cannot be used.
    pub fn new(certificates: &[Vec<u8>], policy: &str) -> Result<Self, NotationError> {
        let policy = TrustPolicy::parse(policy)?;
        let mut trusted = Vec::new();
        for (index, text) in certificates.iter().enumerate() {
            let place = index + 1;
            for der in certificates_in(text).ok_or(NotationError::Malformed { place })? {
                let certificate = chain::read(&der).ok_or(NotationError::Malformed { place })?;
                if !chain::may_be_trusted(&certificate) {
                    return Err(NotationError::NotAnAuthority { place });
                }
                trusted.push(der);
            }
            if trusted.len() > MAX_TRUSTED {
                return Err(NotationError::TooMany);
            }
        }
        if trusted.is_empty() { Err(NotationError::NoCertificate) } else { Ok(Self { policy, trusted }) }
    }

    /// SHA-256 of each trusted certificate.
    pub fn fingerprints(&self) -> Vec<Digest> {
        self.trusted.iter().map(|der| Digest::of(der)).collect()
    }

    /// The policy in force.
    pub fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    /// Judges one signature envelope at the time `now`, in seconds since 1970.
    ///
    /// Revocation is never looked up. A chain whose certificates name no responder and no list cannot be revoked and
    /// passes, as with other verifiers. A chain that can be revoked is refused if the policy enforces revocation; a
    /// policy says `"override": {"revocation": "log"}` or `"skip"` to accept it.
    ///
    /// # Errors
    /// [`NotationRefusal`] says which check failed.
    pub fn verify(
        &self,
        target: Target<'_>,
        media_type: &str,
        content: &[u8],
        now: i64,
    ) -> Result<Accepted, NotationRefusal> {
        let statement = self.policy.statement(target.reference);
        let statement =
            statement.ok_or_else(|| NotationRefusal::NoStatement(target.reference.repository()))?;
        let envelope = Envelope::parse(media_type, content)?;
        let (chain, key) = chain::check(&envelope.chain)?;
        check_signature(&envelope, &key)?;
        check_target(&envelope.payload, target)?;

        let mut enforcement = Enforcement { statement, not_enforced: Vec::new() };
        let (trusted, problem) = self.authenticity(statement, &envelope, &chain);
        enforcement.check(statement.actions.authenticity, problem)?;
        enforcement.check(statement.actions.expiry, expired(&envelope, now))?;
        enforcement.check(statement.actions.timestamp, timestamp(&envelope, &chain, now))?;
        enforcement.check(statement.actions.revocation, revocation(&chain))?;
        let leaf = chain.first().map(|leaf| leaf.subject());
        Ok(Accepted {
            format: envelope.format,
            statement: statement.name.clone(),
            level: statement.level.name(),
            subject: leaf.map(|subject| text_of(&subject.to_string())).unwrap_or_default(),
            certificate: envelope.chain.first().map_or_else(|| Digest::of(b""), |der| Digest::of(der)),
            trusted,
            not_enforced: enforcement.not_enforced,
        })
    }

    /// The certificate of the chain that is trusted, and what speaks against the signer.
    fn authenticity(
        &self,
        statement: &Statement,
        envelope: &Envelope,
        chain: &[X509Certificate<'_>],
    ) -> (Option<Digest>, Option<String>) {
        let kind = match envelope.scheme {
            envelope::Scheme::X509 => StoreKind::Ca,
            envelope::Scheme::SigningAuthority(_) => StoreKind::SigningAuthority,
        };
        if !self.policy.trusts(statement, kind) {
            let problem = "no certificate is configured for its trust stores and this kind of signature";
            return (None, Some(problem.to_owned()));
        }
        let Some(trusted) = envelope.chain.iter().find(|der| self.trusted.contains(der)) else {
            return (None, Some("no certificate of the signature is trusted".to_owned()));
        };
        let trusted = Some(Digest::of(trusted));
        let Identities::Subjects(subjects) = &statement.identities else { return (trusted, None) };
        let problem = match chain.first().map(|leaf| DistinguishedName::of(leaf.subject())) {
            Some(Ok(name)) if subjects.iter().any(|subject| subject.is_within(&name)) => None,
            Some(Ok(name)) => Some(format!("the signer `{name}` is not a trusted identity")),
            Some(Err(error)) => Some(format!("the signer is not a trusted identity: {error}")),
            None => Some("there is no signer".to_owned()),
        };
        (trusted, problem)
    }
}

/// Enforces the checks of a statement as its level says, and keeps what it only logs.
struct Enforcement<'a> {
    statement: &'a Statement,
    not_enforced: Vec<String>,
}

impl Enforcement<'_> {
    fn check(&mut self, action: Action, problem: Option<String>) -> Result<(), NotationRefusal> {
        match (problem, action) {
            (None, _) | (_, Action::Skip) => Ok(()),
            (Some(problem), Action::Log) => {
                self.not_enforced.push(problem);
                Ok(())
            }
            (Some(problem), Action::Enforce) => Err(NotationRefusal::Enforced {
                statement: self.statement.name.clone(),
                level: self.statement.level.name(),
                problem,
            }),
        }
    }
}

fn check_signature(envelope: &Envelope, key: &PublicKey) -> Result<(), NotationRefusal> {
    if envelope::EnvelopeAlgorithm::of(key.algorithm()) != Some(envelope.algorithm) {
        return Err(NotationRefusal::Algorithm(key.algorithm()));
    }
    key.verify_with(envelope.algorithm.verification(), &envelope.signed, &envelope.signature)
        .map_err(|super::key::SignatureMismatch| NotationRefusal::Signature)
}

fn check_target(payload: &[u8], target: Target<'_>) -> Result<(), NotationRefusal> {
    let Payload { target_artifact: found } =
        serde_json::from_slice(payload).map_err(NotationRefusal::Payload)?;
    if found.digest == target.digest.to_string()
        && found.media_type == target.media_type
        && found.size == target.size
    {
        return Ok(());
    }
    Err(NotationRefusal::Target { found: policy::clip(&found.digest) })
}

fn expired(envelope: &Envelope, now: i64) -> Option<String> {
    let expiry = envelope.expiry.filter(|expiry| now > *expiry)?;
    Some(format!("the signature expired on {}", ig_model::text::rfc3339_utc(expiry)))
}

fn timestamp(envelope: &Envelope, chain: &[X509Certificate<'_>], now: i64) -> Option<String> {
    let (time, word) = match envelope.scheme {
        envelope::Scheme::X509 => (now, "now"),
        envelope::Scheme::SigningAuthority(time) => (time, "when it was made"),
    };
    let (place, dates) = chain::valid_at(chain, time).err()?;
    Some(format!("certificate {place} of the chain is not valid {word}, it is {dates}"))
}

fn revocation(chain: &[X509Certificate<'_>]) -> Option<String> {
    // The root is trusted or not; nobody revokes it.
    let issued = chain.split_last().map_or(&[][..], |(_root, issued)| issued);
    let place = issued.iter().position(chain::is_revocable)? + 1;
    Some(format!(
        "certificate {place} of the chain can be revoked, and revocation is not looked up; \
         override `revocation` with `log` or `skip` to accept that"
    ))
}

fn certificates_in(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    if text.first() == Some(&0x30) {
        return Some(vec![text.to_vec()]);
    }
    let blocks = pem::parse_many(text).ok()?;
    let is_certificate = |block: &pem::Pem| block.tag() == "CERTIFICATE";
    if blocks.is_empty() || !blocks.iter().all(is_certificate) {
        return None;
    }
    Some(blocks.into_iter().map(pem::Pem::into_contents).collect())
}

/// Text of a certificate as it may be shown.
fn text_of(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
