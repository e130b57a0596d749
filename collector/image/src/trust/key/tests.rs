use std::process::Command;

use super::*;

fn openssl(arguments: &[&str], folder: &std::path::Path) -> Vec<u8> {
    let output =
        Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Key types as openssl makes them, with the digest option it signs with.
const KINDS: [(&str, &[&str]); 6] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("rsa2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("rsa3072", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ("rsa4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
    ("ed25519", &["-algorithm", "ED25519"]),
];

/// Scenario: openssl makes a key of each kind and signs; we read the public key and check. Then the other way round,
/// where we can sign.
/// Guarantees: both agree on each kind of key, and each checks what the other signs.
#[test]
fn openssl_and_we_check_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("message"), b"what is signed").unwrap();
    for (kind, options) in KINDS {
        openssl(&[&["genpkey", "-out", "key.pem"], options].concat(), path);
        openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"], path);
        let sign: &[&str] = if kind == "ed25519" {
            &["pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "message", "-out", "signature"]
        } else {
            &["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "message"]
        };
        openssl(sign, path);
        let public = PublicKey::from_pem(&std::fs::read_to_string(path.join("key.pub")).unwrap()).unwrap();
        let signature = std::fs::read(path.join("signature")).unwrap();
        assert_eq!(public.verify(b"what is signed", &signature), Ok(()), "{kind}");
        assert_eq!(public.verify(b"What is signed", &signature), Err(SignatureMismatch), "{kind}");
        assert_eq!(public.verify(b"what is signed", &[]), Err(SignatureMismatch), "{kind}");

        let private = SigningKey::from_pem(&std::fs::read_to_string(path.join("key.pem")).unwrap(), None);
        if kind == "p384" {
            assert!(matches!(private, Err(SigningKeyError::P384)));
            continue;
        }
        let private = private.unwrap();
        assert_eq!(private.public(), &public, "{kind}");
        let ours = private.sign(b"what is signed").unwrap();
        assert_eq!(public.verify(b"what is signed", &ours), Ok(()), "{kind}");
        std::fs::write(path.join("ours"), ours).unwrap();
        let verify: &[&str] = if kind == "ed25519" {
            &[
                "pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-in", "message", "-sigfile",
                "ours",
            ]
        } else {
            &["dgst", "-sha256", "-verify", "key.pub", "-signature", "ours", "message"]
        };
        openssl(verify, path);
    }
}

/// Scenario: keys that are too weak, of another curve or kind, and everything else people mistake for a public key.
/// Guarantees: each is refused and named; where there is a way out, the hint says so.
#[test]
fn other_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made: [(&[&str], &str); 4] = [
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "RSA of 1024 bits"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA on curve 1.3.132.0.35"),
        (&["-algorithm", "ED448"], "1.3.101.113"),
        (&["-algorithm", "X25519"], "1.3.101.110"),
    ];
    for (options, expected) in made {
        openssl(&[&["genpkey", "-out", "key.pem"], options].concat(), path);
        let public = openssl(&["pkey", "-in", "key.pem", "-pubout"], path);
        let error = PublicKey::from_pem(std::str::from_utf8(&public).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let private = std::fs::read_to_string(path.join("key.pem")).unwrap();
        assert!(PublicKey::from_pem(&private).unwrap_err().hint().unwrap().contains("private half"));
        assert!(matches!(SigningKey::from_pem(&private, None), Err(SigningKeyError::Unsupported)));
    }
    for text in
        ["", "key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &"x".repeat(100_000)]
    {
        assert!(PublicKey::from_pem(text).is_err());
        assert!(SigningKey::from_pem(text, None).is_err());
    }
    assert!(SigningKey::from_pem(OFFICIAL_KEY, None).unwrap_err().hint().unwrap().contains("public half"));
    assert_eq!(PublicKey::from_pem(OFFICIAL_KEY).unwrap().algorithm(), KeyAlgorithm::EcdsaP256);
}

/// Scenario: each byte of a signature and of the message changes, one at a time; the signature is cut and extended.
/// Guarantees: none of the variants verifies.
#[test]
fn every_byte_counts() {
    let pair = SigningKey::generate(None).unwrap();
    let key = SigningKey::from_pem(&pair.private, None).unwrap();
    let signature = key.sign(b"message").unwrap();
    for at in 0..signature.len() {
        for bit in 0..8 {
            let mut changed = signature.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(key.public().verify(b"message", &changed), Err(SignatureMismatch), "byte {at}");
        }
        assert!(key.public().verify(b"message", &signature[..at]).is_err());
    }
    assert!(key.public().verify(b"message", &[signature.as_slice(), &[0]].concat()).is_err());
    assert!(key.public().verify(b"message", &vec![0; 10 << 20]).is_err());
}

/// Scenario: a key sealed with a password is opened with it, with another one, without one, and after damage.
/// Guarantees: only the right password opens it; the public half stays the same; openssl reads the plain form.
#[test]
fn sealed_keys_need_their_password() {
    let pair = SigningKey::generate(Some(b"secret")).unwrap();
    assert!(pair.private.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    let key = SigningKey::from_pem(&pair.private, Some(b"secret")).unwrap();
    assert_eq!(key.public().to_pem(), pair.public);
    assert!(matches!(
        SigningKey::from_pem(&pair.private, Some(b"Secret")),
        Err(SigningKeyError::WrongPassword)
    ));
    assert!(matches!(SigningKey::from_pem(&pair.private, None), Err(SigningKeyError::PasswordMissing)));
    let plain = SigningKey::generate(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pem"), plain.private.as_bytes()).unwrap();
    assert_eq!(openssl(&["pkey", "-in", "key.pem", "-pubout"], folder.path()), plain.public.as_bytes());
    assert!(!format!("{key:?}{plain:?}").contains("PRIVATE"));
}

/// Scenario: sealed keys that ask for terabytes of memory, zero rounds, other algorithms, or are not JSON.
/// Guarantees: each is refused before any work is done for it.
#[test]
fn sealed_keys_are_bounded() {
    let document = |kdf: &str, n: u64, r: u32, p: u32, cipher: &str, nonce: &str| {
        let json = format!(
            r#"{{"kdf":{{"name":"{kdf}","params":{{"N":{n},"r":{r},"p":{p}}},"salt":"AAAA"}},
               "cipher":{{"name":"{cipher}","nonce":"{nonce}"}},"ciphertext":"AAAA"}}"#
        );
        pem::encode(&pem::Pem::new(sealed::LABEL, json.into_bytes()))
    };
    let (nonce, cipher) = ("A".repeat(32), "nacl/secretbox");
    let cases = [
        document("scrypt", 1 << 40, 8, 1, cipher, &nonce),
        document("scrypt", u64::MAX, u32::MAX, u32::MAX, cipher, &nonce),
        document("scrypt", 3, 8, 1, cipher, &nonce),
        document("scrypt", 0, 8, 1, cipher, &nonce),
        document("scrypt", 1, 0, 0, cipher, &nonce),
        document("scrypt", 1024, 8, 1000, cipher, &nonce),
        document("argon2", 1024, 8, 1, cipher, &nonce),
        document("scrypt", 1024, 8, 1, "rot13", &nonce),
        document("scrypt", 1024, 8, 1, cipher, "AAAA"),
        pem::encode(&pem::Pem::new(sealed::OLD_LABEL, "[".repeat(10_000))),
    ];
    for text in cases {
        let error = SigningKey::from_pem(&text, Some(b"x")).unwrap_err();
        assert!(matches!(error, SigningKeyError::Seal(_) | SigningKeyError::SealedDocument(_)), "{error}");
    }
    let wrong = document("scrypt", 1024, 8, 1, cipher, &nonce);
    assert!(matches!(SigningKey::from_pem(&wrong, Some(b"x")), Err(SigningKeyError::WrongPassword)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
    /// Scenario: any bytes as SubjectPublicKeyInfo, and any bytes in a PEM block of any of the labels.
    /// Guarantees: an answer, never a panic.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        drop(PublicKey::from_spki(&bytes));
        for label in ["PUBLIC KEY", "PRIVATE KEY", sealed::LABEL] {
            let text = pem::encode(&pem::Pem::new(label, bytes.as_slice()));
            drop((PublicKey::from_pem(&text), SigningKey::from_pem(&text, Some(b"x"))));
        }
    }
}
