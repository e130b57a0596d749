//! Public keys, and the one question they answer: did the owner of this key sign these bytes?
//!
//! ring does the arithmetic; x509-parser reads the structure around a key. Keys come from administrators, not from
//! images, but are bounded like everything else.

use std::borrow::Cow;
use std::fmt;

use ig_model::Hint;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::Digest;

mod private;
mod sealed;
#[cfg(test)]
mod tests;

pub use private::{GeneratedKey, SigningKey, SigningKeyError};

/// The key that the reference project signs its own gadgets with.
///
/// # Source
/// The default of the reference's `operator.oci.public-keys`.
pub const OFFICIAL_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoDOC0gYSxZTopenGmX3ZFvQ1DSfh
Ir4EKRt5jC+mXaJ7c7J+oREskYMn/SfZdRHNSOjLTZUMDm60zpXGhkFecg==
-----END PUBLIC KEY-----
";

/// Most bytes of a text that holds one key.
pub const MAX_KEY_TEXT: usize = 64 << 10;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key that signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    /// The whole SubjectPublicKeyInfo, DER; what the fingerprint is made of.
    spki: Vec<u8>,
    /// The key itself, in the form ring wants for its algorithm.
    raw: Vec<u8>,
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256.
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// Ed25519, pure.
    Ed25519,
}

/// The text or the bytes are not a public key that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no PEM block in the text.
    #[error("it is not PEM text that begins with `-----BEGIN PUBLIC KEY-----`")]
    NotPem(#[source] Option<pem::PemError>),
    /// The first PEM block holds something else.
    #[error("it is a `{found}`, expected a `PUBLIC KEY`")]
    WrongBlock {
        /// The label of the block.
        found: String,
    },
    /// The bytes are not a SubjectPublicKeyInfo.
    #[error("its content is not a public key")]
    Malformed,
    /// It is a public key, of another kind.
    #[error(
        "keys of the kind {found} are not supported, expected ECDSA P-256 or P-384, RSA of 2048 to 4096 bits, or Ed25519"
    )]
    Unsupported {
        /// What it is.
        found: String,
    },
}

/// The signature was not made by this key over these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct SignatureMismatch;

impl PublicKey {
    /// Reads the first PEM block of `text`.
    ///
    /// # Errors
    /// [`KeyError`] says what the text is instead of a usable key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_TEXT {
            return Err(KeyError::NotPem(None));
        }
        let block = pem::parse(text).map_err(|source| KeyError::NotPem(Some(source)))?;
        if block.tag() != "PUBLIC KEY" {
            return Err(KeyError::WrongBlock { found: block.tag().chars().take(60).collect() });
        }
        Self::from_spki(block.contents())
    }

    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] or [`KeyError::Unsupported`].
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], parsed)) => Self::from_parsed(&parsed),
            _ => Err(KeyError::Malformed),
        }
    }

    /// The key of a certificate or of a SubjectPublicKeyInfo read elsewhere.
    pub(super) fn from_parsed(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let raw = spki.subject_public_key.data.to_vec();
        let algorithm = &spki.algorithm.algorithm;
        let unsupported = |found: &str| KeyError::Unsupported { found: found.to_owned() };
        let algorithm = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve {
                Some(curve) if curve == OID_EC_P256 => KeyAlgorithm::EcdsaP256,
                Some(curve) if curve == OID_NIST_EC_P384 => KeyAlgorithm::EcdsaP384,
                Some(curve) => return Err(unsupported(&format!("ECDSA on curve {curve}"))),
                None => return Err(KeyError::Malformed),
            }
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(Parsed::RSA(key)) = spki.parsed() else { return Err(KeyError::Malformed) };
            let bits = bits_of(key.modulus);
            if !RSA_BITS.contains(&bits) {
                return Err(unsupported(&format!("RSA of {bits} bits")));
            }
            KeyAlgorithm::Rsa(bits)
        } else if *algorithm == OID_SIG_ED25519 {
            KeyAlgorithm::Ed25519
        } else {
            return Err(unsupported(&kind_of(algorithm)));
        };
        Ok(Self { algorithm, spki: spki.raw.to_vec(), raw })
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the name of a key in proofs and messages.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The key as PEM text.
    pub fn to_pem(&self) -> String {
        let line_feeds = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("PUBLIC KEY", self.spki.as_slice()), line_feeds)
    }

    /// Checks a signature as cosign makes them: ECDSA in DER or as r and s side by side, RSA by PKCS#1 v1.5, Ed25519
    /// over the message itself; the hash is SHA-256, with P-384 also SHA-384.
    ///
    /// # Errors
    /// [`SignatureMismatch`] if the key did not sign `message` with `signature`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureMismatch> {
        let algorithms: &[&'static dyn VerificationAlgorithm] = match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P256_SHA256_FIXED],
            KeyAlgorithm::EcdsaP384 => {
                &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA384_FIXED]
            }
            KeyAlgorithm::Rsa(_) => &[&RSA_PKCS1_2048_8192_SHA256],
            KeyAlgorithm::Ed25519 => &[&ED25519],
        };
        let verified =
            algorithms.iter().any(|&algorithm| self.verify_with(algorithm, message, signature).is_ok());
        if verified { Ok(()) } else { Err(SignatureMismatch) }
    }

    /// Checks a signature made with exactly this algorithm.
    pub(super) fn verify_with(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureMismatch> {
        let key = UnparsedPublicKey::new(algorithm, &self.raw);
        key.verify(message, signature).map_err(|ring::error::Unspecified| SignatureMismatch)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, self.fingerprint())
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl Hint for KeyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let Self::WrongBlock { found } = self else { return None };
        match found.as_str() {
            label if label.ends_with("PRIVATE KEY") => Some(
                "that is the private half and stays with the signer; give the public one, as `ig image key public` prints it".into()),
            "CERTIFICATE" => Some(
                "certificates belong to notation; `openssl x509 -pubkey -noout -in FILE` prints the key of one".into()),
            "RSA PUBLIC KEY" => Some("convert it with `openssl rsa -RSAPublicKey_in -in FILE -pubout`".into()),
            _ => None,
        }
    }
}

/// Bits of a big-endian number.
fn bits_of(number: &[u8]) -> usize {
    let mut significant = number.iter().skip_while(|byte| **byte == 0);
    match significant.next() {
        Some(first) => 8 - first.leading_zeros() as usize + 8 * significant.count(),
        None => 0,
    }
}

fn kind_of(algorithm: &Oid<'_>) -> String {
    algorithm.to_id_string().chars().take(80).collect()
}
