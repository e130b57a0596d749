//! Private keys: made, read and used to sign.
//!
//! PKCS#8 as it is, or sealed with a password the way cosign does it; so one key serves both programs.

use std::borrow::Cow;

use base64::Engine as _;
use ig_model::Hint;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::{KeyError, MAX_KEY_TEXT, PublicKey, sealed};

const PLAIN: &str = "PRIVATE KEY";

/// DER of the part of a SubjectPublicKeyInfo that stands before the key; the lengths are those of the one key size.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// `SEQUENCE { OID rsaEncryption, NULL }`.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A private key that signs images. Never shown.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair as the two texts to write to files.
pub struct GeneratedKey {
    /// The private key, PEM; wiped from memory when dropped.
    pub private: Zeroizing<String>,
    /// The public key, PEM.
    pub public: String,
}

/// A private key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// There is no PEM block in the text.
    #[error("it is not PEM text")]
    NotPem(#[source] Option<pem::PemError>),
    /// The PEM block holds something else.
    #[error("it is a `{found}`, expected a `PRIVATE KEY` or an `ENCRYPTED SIGSTORE PRIVATE KEY`")]
    WrongBlock {
        /// The label of the block.
        found: String,
    },
    /// It is sealed, and no password was given.
    #[error("it is encrypted and no password is given")]
    PasswordMissing,
    /// The password does not open it, or it is damaged.
    #[error("the password does not open it")]
    WrongPassword,
    /// The sealed form asks for other algorithms or for more memory than any real one.
    #[error("it is encrypted in a way that is not supported: {0}")]
    Seal(String),
    /// The JSON document inside the sealed form is broken.
    #[error("its encrypted form is malformed")]
    SealedDocument(#[source] serde_json::Error),
    /// The content is not a private key that can sign here.
    #[error("its content is not a PKCS#8 key for ECDSA P-256, Ed25519 or RSA of 2048 to 4096 bits")]
    Unsupported,
    /// P-384: readers expect SHA-256 with it, which ring does not sign.
    #[error("ECDSA P-384 keys cannot sign images, only check them")]
    P384,
    /// The public half is not usable.
    #[error("its public half is not usable")]
    Public(#[source] KeyError),
    /// The operating system gave no randomness, or the signature could not be made.
    #[error("the signature cannot be made")]
    Crypto,
}

impl SigningKey {
    /// Makes an ECDSA P-256 key; with a password the private half is sealed in cosign's format.
    ///
    /// # Errors
    /// [`SigningKeyError::Crypto`] if the operating system gives no randomness.
    pub fn generate(password: Option<&[u8]>) -> Result<GeneratedKey, SigningKeyError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|ring::error::Unspecified| SigningKeyError::Crypto)?;
        let public = Self::from_pkcs8(document.as_ref())?.public.to_pem();
        let (label, content) = match password {
            Some(password) => {
                (sealed::LABEL, Zeroizing::new(sealed::seal(document.as_ref(), password, &random)?))
            }
            None => (PLAIN, Zeroizing::new(document.as_ref().to_vec())),
        };
        Ok(GeneratedKey { private: encode(label, &content), public })
    }

    /// Reads a PEM private key: PKCS#8, or cosign's encrypted format, which needs the password.
    ///
    /// # Errors
    /// [`SigningKeyError`] says what the text is instead, or what is missing.
    pub fn from_pem(text: &str, password: Option<&[u8]>) -> Result<Self, SigningKeyError> {
        if text.len() > MAX_KEY_TEXT {
            return Err(SigningKeyError::NotPem(None));
        }
        let block = pem::parse(text).map_err(|source| SigningKeyError::NotPem(Some(source)))?;
        let label = block.tag().chars().take(60).collect::<String>();
        let content = Zeroizing::new(block.into_contents());
        match label.as_str() {
            PLAIN => Self::from_pkcs8(&content),
            sealed::LABEL | sealed::OLD_LABEL => {
                let password = password.ok_or(SigningKeyError::PasswordMissing)?;
                Self::from_pkcs8(&sealed::open(&content, password)?)
            }
            _ => Err(SigningKeyError::WrongBlock { found: label }),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        let random = SystemRandom::new();
        let public = |spki: &[u8]| PublicKey::from_spki(spki).map_err(SigningKeyError::Public);
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random) {
            let public = public(&[&P256_PREFIX, pair.public_key().as_ref()].concat())?;
            return Ok(Self { pair: Pair::Ecdsa(pair), public });
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let public = public(&[&ED25519_PREFIX, pair.public_key().as_ref()].concat())?;
            return Ok(Self { pair: Pair::Ed25519(pair), public });
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            let public = public(&rsa_spki(pair.public_key().as_ref()))?;
            return Ok(Self { pair: Pair::Rsa(pair), public });
        }
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der, &random) {
            Ok(_) => Err(SigningKeyError::P384),
            Err(_rejected) => Err(SigningKeyError::Unsupported),
        }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` so that [`PublicKey::verify`] of the public half accepts it.
    ///
    /// # Errors
    /// [`SigningKeyError::Crypto`] if the operating system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let random = SystemRandom::new();
        let failed = |ring::error::Unspecified| SigningKeyError::Crypto;
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

impl std::fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GeneratedKey({})", self.public)
    }
}

impl Hint for SigningKeyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::WrongBlock { found } if found == "PUBLIC KEY" => {
                Some("that is the public half; signing needs the private one".into())
            }
            Self::WrongBlock { found } if found.ends_with("PRIVATE KEY") => {
                Some("convert it with `openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW`".into())
            }
            Self::PasswordMissing => {
                Some("set IG_KEY_PASSWORD or COSIGN_PASSWORD, or pipe it in with --password-stdin".into())
            }
            Self::P384 | Self::Unsupported => Some("make one with `ig image key generate`".into()),
            _ => None,
        }
    }
}

/// PEM text with the key's bytes wiped wherever they were copied to.
fn encode(label: &str, content: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(content));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn rsa_spki(key: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0], key].concat());
    der(0x30, &[&RSA_ALGORITHM, bits.as_slice()].concat())
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match (significant.as_slice(), u8::try_from(significant.len())) {
        ([], _) => out.push(0),
        ([short @ 0..0x80], _) => out.push(*short),
        (long, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(long);
        }
        (_, Err(_never)) => {} // eight bytes at most
    }
    out.extend_from_slice(content);
    out
}
