//! cosign's encrypted private keys: a key derived from a password by scrypt, and NaCl's secretbox around the PKCS#8.
//!
//! # Source
//! The PEM body is JSON: `kdf` with `name`, `params` (`N`, `r`, `p`) and `salt`, `cipher` with `name` and `nonce`, and
//! `ciphertext`; bytes are in standard base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SigningKeyError;

pub(super) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
pub(super) const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";

const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
const KEY: usize = 32;
const NONCE: usize = 24;
/// What cosign writes today.
const STRENGTH: Strength = Strength { n: 1 << 16, r: 8, p: 1 };
/// Memory that deriving a key may take, in bytes; cosign's parameters take 64 MiB.
const MOST_MEMORY: u64 = 256 << 20;
const MOST_PARALLEL: u32 = 16;

#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Derivation {
    name: String,
    params: Strength,
    salt: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Strength {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Encrypts `content`; the answer goes into a PEM block labelled [`LABEL`].
pub(super) fn seal(
    content: &[u8],
    password: &[u8],
    random: &SystemRandom,
) -> Result<Vec<u8>, SigningKeyError> {
    let (mut salt, mut nonce) = ([0; 32], [0; NONCE]);
    let fill =
        |bytes: &mut [u8]| random.fill(bytes).map_err(|ring::error::Unspecified| SigningKeyError::Crypto);
    fill(&mut salt)?;
    fill(&mut nonce)?;
    let key = derive(password, &salt, STRENGTH)?;
    let cipher = XSalsa20Poly1305::new((&*key).into());
    let text = cipher
        .encrypt((&nonce).into(), content)
        .map_err(|crypto_secretbox::Error| SigningKeyError::Crypto)?;
    let document = Sealed {
        kdf: Derivation { name: KDF.to_owned(), params: STRENGTH, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: CIPHER.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(text),
    };
    serde_json::to_vec(&document).map_err(SigningKeyError::SealedDocument)
}

/// Decrypts the body of a PEM block.
pub(super) fn open(document: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let sealed: Sealed = serde_json::from_slice(document).map_err(SigningKeyError::SealedDocument)?;
    let other = |what: &str, name: &str| {
        SigningKeyError::Seal(format!("{what} `{}`", name.chars().take(40).collect::<String>()))
    };
    if sealed.kdf.name != KDF {
        return Err(other("key derivation", &sealed.kdf.name));
    }
    if sealed.cipher.name != CIPHER {
        return Err(other("cipher", &sealed.cipher.name));
    }
    let bytes = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| SigningKeyError::Seal(format!("a value is not base64: {error}")))
    };
    let nonce: [u8; NONCE] = bytes(&sealed.cipher.nonce)?
        .try_into()
        .map_err(|other: Vec<u8>| SigningKeyError::Seal(format!("a nonce of {} bytes", other.len())))?;
    let (salt, text) = (bytes(&sealed.kdf.salt)?, bytes(&sealed.ciphertext)?);
    let key = derive(password, &salt, sealed.kdf.params)?;
    let opened = XSalsa20Poly1305::new((&*key).into()).decrypt((&nonce).into(), text.as_slice());
    opened.map(Zeroizing::new).map_err(|crypto_secretbox::Error| SigningKeyError::WrongPassword)
}

fn derive(password: &[u8], salt: &[u8], strength: Strength) -> Result<Zeroizing<[u8; KEY]>, SigningKeyError> {
    let Strength { n, r, p } = strength;
    let refused = || SigningKeyError::Seal(format!("scrypt parameters N={n}, r={r}, p={p}"));
    let memory = n.saturating_mul(u64::from(r)).saturating_mul(128);
    if !n.is_power_of_two() || memory > MOST_MEMORY || p > MOST_PARALLEL {
        return Err(refused());
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_more_than_64_bits| refused())?;
    let params = scrypt::Params::new(log_n, r, p, KEY).map_err(|_out_of_range| refused())?;
    let mut key = Zeroizing::new([0; KEY]);
    scrypt::scrypt(password, salt, &params, &mut *key).map_err(|_wrong_length| refused())?;
    Ok(key)
}
