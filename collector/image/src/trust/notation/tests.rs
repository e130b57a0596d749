use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ciborium::Value;
use proptest::prelude::{ProptestConfig, any};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::*;

mod policies;

/// 2026-06-01.
const NOW: i64 = 1_780_272_000;
const JWS: &str = "application/jose+json";
const COSE: &str = "application/cose";

/// A chain of certificates with the signer's key.
struct Chain {
    der: Vec<Vec<u8>>,
    key: KeyPair,
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let attributes = [
        (DnType::CountryName, "US"),
        (DnType::StateOrProvinceName, "WA"),
        (DnType::OrganizationName, "Notary"),
        (DnType::CommonName, name),
    ];
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in attributes {
        params.distinguished_name.push(kind, value);
    }
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    params
}

fn leaf() -> CertificateParams {
    let mut leaf = params("signer");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    leaf
}

fn authority(name: &str) -> CertificateParams {
    let mut authority = params(name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
}

/// Leaf, intermediate, root; each may be changed first.
fn chain(leaf: &CertificateParams, middle: CertificateParams, root: CertificateParams) -> Chain {
    let (leaf_key, middle_key, root_key) = (key(), key(), key());
    let root_der = root.self_signed(&root_key).unwrap();
    let root = Issuer::new(root, root_key);
    let middle_der = middle.signed_by(&middle_key, &root).unwrap();
    let middle = Issuer::new(middle, middle_key);
    let leaf_der = leaf.signed_by(&leaf_key, &middle).unwrap();
    Chain { der: [leaf_der, middle_der, root_der].iter().map(|c| c.der().to_vec()).collect(), key: leaf_key }
}

fn good() -> Chain {
    chain(&leaf(), authority("middle"), authority("root"))
}

fn payload(digest: &str) -> Vec<u8> {
    let target = json!({"mediaType": crate::manifest::INDEX, "digest": digest, "size": 7});
    serde_json::to_vec(&json!({"targetArtifact": target})).unwrap()
}

fn image() -> Digest {
    Digest::of(b"image")
}

fn sign_bytes(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random).unwrap();
    pair.sign(&random, message).unwrap().as_ref().to_vec()
}

fn headers() -> serde_json::Value {
    json!({
        "alg": "ES256", "cty": envelope::PAYLOAD, "crit": ["io.cncf.notary.signingScheme"],
        "io.cncf.notary.signingScheme": "notary.x509", "io.cncf.notary.signingTime": "2026-05-01T12:00:00+02:00",
    })
}

/// A JWS with these headers and this payload, signed by the chain's key.
fn jws(chain: &Chain, headers: &serde_json::Value, payload: &[u8]) -> Vec<u8> {
    let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(headers).unwrap());
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let signature = sign_bytes(&chain.key, format!("{protected}.{payload}").as_bytes());
    let x5c: Vec<_> = chain.der.iter().map(|der| STANDARD.encode(der)).collect();
    let document = json!({
        "payload": payload, "protected": protected, "header": {"x5c": x5c},
        "signature": URL_SAFE_NO_PAD.encode(signature),
    });
    serde_json::to_vec(&document).unwrap()
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::ser::into_writer(value, &mut out).unwrap();
    out
}

fn cose_headers() -> Vec<(Value, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    let scheme = "io.cncf.notary.signingScheme";
    vec![
        (Value::from(1), Value::from(-7)),
        (Value::from(2), Value::Array(vec![text(scheme)])),
        (Value::from(3), text(envelope::PAYLOAD)),
        (text(scheme), text("notary.x509")),
        (text("io.cncf.notary.signingTime"), Value::Tag(1, Box::new(Value::from(1_777_000_000)))),
    ]
}

fn cose(chain: &Chain, headers: Vec<(Value, Value)>, payload: &[u8]) -> Vec<u8> {
    let protected = cbor(&Value::Map(headers));
    let signed = cbor(&Value::Array(vec![
        Value::Text("Signature1".to_owned()),
        Value::Bytes(protected.clone()),
        Value::Bytes(Vec::new()),
        Value::Bytes(payload.to_vec()),
    ]));
    let x5chain = chain.der.iter().map(|der| Value::Bytes(der.clone())).collect();
    let parts = vec![
        Value::Bytes(protected),
        Value::Map(vec![(Value::from(33), Value::Array(x5chain))]),
        Value::Bytes(payload.to_vec()),
        Value::Bytes(sign_bytes(&chain.key, &signed)),
    ];
    cbor(&Value::Tag(18, Box::new(Value::Array(parts))))
}

fn policy_with(level: &str, overrides: &str, identity: &str) -> String {
    format!(
        r#"{{"version":"1.0","trustPolicies":[{{"name":"all","registryScopes":["*"],
        "signatureVerification":{{"level":"{level}","override":{overrides}}},
        "trustStores":["ca:store"],"trustedIdentities":["{identity}"]}}]}}"#
    )
}

fn strict() -> String {
    policy_with("strict", "{}", "x509.subject: CN=signer, O=Notary, ST=WA, C=US")
}

fn judge(
    policy: &str,
    trusted: &[u8],
    media_type: &str,
    content: &[u8],
) -> Result<Accepted, NotationRefusal> {
    let notation = Notation::new(&[trusted.to_vec()], policy).unwrap();
    let reference = Reference::parse("registry.example/team/gadget:v1").unwrap();
    let target =
        Target { reference: &reference, media_type: crate::manifest::INDEX, digest: image(), size: 7 };
    notation.verify(target, media_type, content, NOW)
}

fn refusal(result: Result<Accepted, NotationRefusal>) -> String {
    ig_model::chain(&result.unwrap_err())
}

fn judge_jws(chain: &Chain) -> Result<Accepted, NotationRefusal> {
    judge(&strict(), chain.der.last().unwrap(), JWS, &jws(chain, &headers(), &payload(&image().to_string())))
}

/// Scenario: a chain of three signs in JWS and in COSE; trusted is the root, the intermediate or the leaf's issuer.
/// Guarantees: both envelopes verify under a strict policy, and the answer names signer and statement.
#[test]
fn good_signatures_are_accepted() {
    let chain = good();
    let payload = payload(&image().to_string());
    for (media_type, content) in
        [(JWS, jws(&chain, &headers(), &payload)), (COSE, cose(&chain, cose_headers(), &payload))]
    {
        for trusted in &chain.der[1..] {
            let accepted = judge(&strict(), trusted, media_type, &content).unwrap();
            assert_eq!((accepted.statement.as_str(), accepted.level), ("all", "strict"));
            assert_eq!(accepted.certificate, Digest::of(&chain.der[0]));
            assert_eq!(accepted.trusted, Some(Digest::of(trusted)));
            assert!(accepted.subject.contains("signer") && accepted.not_enforced.is_empty());
        }
    }
}

/// Scenario: one certificate signed by itself signs; it is trusted or another one is.
/// Guarantees: the chain of one verifies, and only if it is the trusted one.
#[test]
fn a_chain_of_one_is_enough() {
    let key = key();
    let der = leaf().self_signed(&key).unwrap().der().to_vec();
    let chain = Chain { der: vec![der], key };
    judge_jws(&chain).unwrap();
    let other = good();
    let content = jws(&chain, &headers(), &payload(&image().to_string()));
    let refused = refusal(judge(&strict(), &other.der[2], JWS, &content));
    assert!(refused.contains("no certificate of the signature is trusted"), "{refused}");
}

/// Scenario: every byte of an envelope of either kind is changed, one at a time.
/// Guarantees: no change is accepted that touches what is signed, the signature or the signer; what remains accepted
/// says the same as before.
#[test]
fn every_byte_counts() {
    let chain = good();
    let payload = payload(&image().to_string());
    for (media_type, content) in
        [(JWS, jws(&chain, &headers(), &payload)), (COSE, cose(&chain, cose_headers(), &payload))]
    {
        let expected = judge(&strict(), &chain.der[2], media_type, &content).unwrap();
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1;
            if let Ok(accepted) = judge(&strict(), &chain.der[2], media_type, &changed) {
                assert_eq!(accepted, expected, "byte {at}");
            }
        }
        for end in (0..content.len()).step_by(7) {
            assert!(judge(&strict(), &chain.der[2], media_type, &content[..end]).is_err());
        }
    }
}

/// Scenario: chains that break one rule each.
/// Guarantees: each is refused, with the number of the certificate and the rule.
#[test]
fn chains_must_keep_the_rules() {
    let with_leaf = |change: fn(&mut CertificateParams)| {
        let mut leaf = leaf();
        change(&mut leaf);
        chain(&leaf, authority("middle"), authority("root"))
    };
    let with_middle = |change: fn(&mut CertificateParams)| {
        let mut middle = authority("middle");
        change(&mut middle);
        chain(&leaf(), middle, authority("root"))
    };
    let reordered = |order: &[usize]| {
        let good = good();
        Chain { der: order.iter().map(|at| good.der[*at].clone()).collect(), key: good.key }
    };
    let mut short_root = authority("root");
    short_root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let cases: Vec<(Chain, &str)> = vec![
        (with_leaf(|leaf| leaf.key_usages.clear()), "1 of the chain: its key usage is missing"),
        (
            with_leaf(|leaf| leaf.key_usages.push(KeyUsagePurpose::KeyEncipherment)),
            "1 of the chain: its key is not for digital signatures alone",
        ),
        (
            with_leaf(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "1 of the chain: it is an authority",
        ),
        (
            with_leaf(|leaf| leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth)),
            "1 of the chain: it is meant for TLS servers",
        ),
        (
            with_leaf(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping]),
            "1 of the chain: it is meant for timestamps",
        ),
        (
            with_leaf(|leaf| {
                let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                leaf.custom_extensions.push(extension);
            }),
            "1 of the chain: it has the critical extension 1.2.3.4",
        ),
        (with_middle(|middle| middle.is_ca = IsCa::ExplicitNoCa), "2 of the chain: it is not an authority's"),
        (
            with_middle(|middle| middle.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            "2 of the chain: its key is not for signing certificates",
        ),
        (chain(&leaf(), authority("middle"), short_root), "3 of the chain: more authorities stand below it"),
        (reordered(&[0, 2, 1]), "1 of the chain: it was not issued by the next one"),
        (reordered(&[0, 1]), "2 of the chain: it is not signed by itself"),
        (reordered(&[1, 2]), "1 of the chain: it is an authority's"),
        (reordered(&[2, 2]), "1 of the chain: it is signed by itself and is not the last one"),
        (reordered(&[]), "0 certificates"),
        (reordered(&[0; 17]), "17 certificates"),
    ];
    for (chain, expected) in cases {
        let root = good().der[2].clone();
        let content = jws(&chain, &headers(), &payload(&image().to_string()));
        let refused = refusal(judge(&strict(), &root, JWS, &content));
        assert!(refused.contains(expected), "expected {expected}: {refused}");
    }
}

/// Scenario: an intermediate that is not the real one but has its name.
/// Guarantees: the name alone does not make it the issuer.
#[test]
fn names_are_not_signatures() {
    let (mut real, fake) = (good(), good());
    real.der[1] = fake.der[1].clone();
    assert!(refusal(judge_jws(&real)).contains("its signature does not match"));
}

/// Scenario: headers that break one rule each, and a payload about something else.
/// Guarantees: each is refused with its reason, though the signature itself is good.
#[test]
fn envelopes_must_keep_the_rules() {
    let chain = good();
    let image = image().to_string();
    let with = |key: &str, value: serde_json::Value| {
        let mut headers = headers();
        headers[key] = value;
        jws(&chain, &headers, &payload(&image))
    };
    let cases = [
        (with("cty", json!("text/plain")), "holds `text/plain`"),
        (with("alg", json!("none")), "algorithm `none`"),
        (with("alg", json!("HS256")), "algorithm `HS256`"),
        (with("alg", json!("PS256")), "not the one for a key of the kind ECDSA P-256"),
        (with("alg", json!(3)), "wrong type"),
        (with("crit", json!([])), "`io.cncf.notary.signingScheme` is not marked critical"),
        (with("crit", json!(["io.cncf.notary.signingScheme", "x"])), "critical header `x`"),
        (with("crit", json!([1])), "usable `crit`"),
        (with("io.cncf.notary.signingScheme", json!("other")), "scheme `other`"),
        (with("io.cncf.notary.signingTime", json!("yesterday")), "usable `io.cncf.notary.signingTime`"),
        (
            with("io.cncf.notary.expiry", json!("2030-01-01T00:00:00Z")),
            "`io.cncf.notary.expiry` is not marked critical",
        ),
        (with("io.cncf.notary.verificationPlugin", json!("p")), "verificationPlugin"),
        (jws(&chain, &headers(), &payload("sha256:00")), "it is for `sha256:00`".trim_start_matches("it ")),
        (jws(&chain, &headers(), b"{}"), "payload is malformed"),
        (jws(&chain, &headers(), "[".repeat(100_000).as_bytes()), "payload is malformed"),
        ("[".repeat(1_000_000).into_bytes(), "JWS envelope is malformed"),
    ];
    for (content, expected) in cases {
        let refused = refusal(judge(&strict(), &chain.der[2], JWS, &content));
        assert!(refused.contains(expected), "expected {expected}: {refused}");
    }
    let doubled = [cose_headers(), cose_headers()].concat();
    let refused = refusal(judge(&strict(), &chain.der[2], COSE, &cose(&chain, doubled, &payload(&image))));
    assert!(refused.contains("stands twice"), "{refused}");
    let refused = refusal(judge(&strict(), &chain.der[2], "text/plain", b""));
    assert!(refused.contains("unknown kind `text/plain`"), "{refused}");
}

/// Scenario: COSE headers nested in each other a hundred thousand times, as arrays, tags and byte strings.
/// Guarantees: a refusal, and the stack holds.
#[test]
fn deep_cbor_is_refused() {
    let deep = [
        vec![0x81; 100_000],
        vec![0xd2; 100_000],
        vec![0xa1; 100_000],
        [vec![0x9f; 100_000], vec![0xff]].concat(),
    ];
    for content in deep {
        assert!(Envelope::parse(COSE, &content).is_err());
    }
    // A list that announces more items than there is memory.
    assert!(Envelope::parse(COSE, &[0xd2, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(
        Envelope::parse(COSE, &[0xd2, 0x84, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err()
    );
}

/// Scenario: a signature past its expiry and a chain past its validity, under each level; a chain that can be revoked.
/// Guarantees: strict refuses and says what to do; permissive accepts and notes what it did not enforce; a trusted
/// certificate is needed with both, and with audit not even that.
#[test]
fn levels_decide_what_is_enforced() {
    let identity = "x509.subject: CN=signer, O=Notary, ST=WA, C=US";
    let mut old = leaf();
    (old.not_before, old.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2026, 1, 2));
    let old = chain(&old, authority("middle"), authority("root"));
    let mut revocable = leaf();
    revocable.crl_distribution_points =
        vec![rcgen::CrlDistributionPoint { uris: vec!["http://crl.example/list".to_owned()] }];
    let revocable = chain(&revocable, authority("middle"), authority("root"));
    let fresh = good();
    let mut expiring = headers();
    expiring["crit"] = json!(["io.cncf.notary.signingScheme", "io.cncf.notary.expiry"]);
    expiring["io.cncf.notary.expiry"] = json!("2026-05-02T00:00:00Z");
    let payload = payload(&image().to_string());
    let cases = [
        (
            &old,
            jws(&old, &headers(), &payload),
            "certificate 1 of the chain is not valid now, it is valid from 2025-01-01",
        ),
        (&fresh, jws(&fresh, &expiring, &payload), "the signature expired on 2026-05-02T00:00:00Z"),
        (&revocable, jws(&revocable, &headers(), &payload), "certificate 1 of the chain can be revoked"),
    ];
    for (chain, content, expected) in &cases {
        let refused = refusal(judge(&strict(), &chain.der[2], JWS, content));
        assert!(refused.contains(expected), "{refused}");
        assert!(refused.contains("trust policy statement `all` (level strict) refuses it"), "{refused}");
        let accepted =
            judge(&policy_with("permissive", "{}", identity), &chain.der[2], JWS, content).unwrap();
        assert!(accepted.not_enforced.len() == 1 && accepted.not_enforced[0].contains(expected));
        let stranger = judge(&policy_with("permissive", "{}", identity), &good().der[2], JWS, content);
        assert!(refusal(stranger).contains("no certificate of the signature is trusted"));
        let audited = judge(&policy_with("audit", "{}", identity), &good().der[2], JWS, content).unwrap();
        assert!(audited.trusted.is_none() && audited.not_enforced.len() == 2);
    }
    let (chain, content, _) = &cases[2];
    let skipping = policy_with("strict", r#"{"revocation":"skip"}"#, identity);
    assert!(judge(&skipping, &chain.der[2], JWS, content).unwrap().not_enforced.is_empty());
}

/// Scenario: trusted identities that the signer is not, that it is in part, and that lack a mandatory attribute.
/// Guarantees: all attributes of an identity have to match, and nothing less.
#[test]
fn identities_must_match() {
    let chain = good();
    let content = jws(&chain, &headers(), &payload(&image().to_string()));
    let judge = |identity: &str| judge(&policy_with("strict", "{}", identity), &chain.der[2], JWS, &content);
    for identity in ["x509.subject: C=US,ST=WA,O=Notary", "x509.subject:O=Notary,C=US,S=WA,CN=signer", "*"] {
        judge(identity).unwrap();
    }
    for identity in ["CN=other,C=US,ST=WA,O=Notary", "C=US,ST=WA,O=notary", "C=US,ST=WA,O=Notary,L=Seattle"] {
        let refused = refusal(judge(&format!("x509.subject: {identity}")));
        assert!(
            refused.contains("the signer `C=US,CN=signer,O=Notary,ST=WA` is not a trusted identity"),
            "{refused}"
        );
    }
}

/// Scenario: an authority signs for others and vouches for the time, when the chain was valid.
/// Guarantees: the chain is judged at that time, and only with a store of that kind.
#[test]
fn signing_authorities_tell_the_time() {
    let chain = good();
    let mut headers = headers();
    headers["crit"] = json!(["io.cncf.notary.signingScheme", "io.cncf.notary.authenticSigningTime"]);
    headers["io.cncf.notary.signingScheme"] = json!("notary.x509.signingAuthority");
    let content = |time: &str| {
        let mut headers = headers.clone();
        headers["io.cncf.notary.authenticSigningTime"] = json!(time);
        jws(&chain, &headers, &payload(&image().to_string()))
    };
    let policy = strict().replace("ca:store", "signingAuthority:store");
    judge(&policy, &chain.der[2], JWS, &content("2026-02-01T00:00:00Z")).unwrap();
    let early = refusal(judge(&policy, &chain.der[2], JWS, &content("2020-02-01T00:00:00Z")));
    assert!(early.contains("not valid when it was made"), "{early}");
    let other = refusal(judge(&strict(), &chain.der[2], JWS, &content("2026-02-01T00:00:00Z")));
    assert!(other.contains("no certificate is configured for its trust stores"), "{other}");
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Scenario: any bytes as an envelope of either kind, a certificate, a name or a policy.
    /// Guarantees: an answer, never a panic.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,80}") {
        drop((Envelope::parse(JWS, &bytes), Envelope::parse(COSE, &bytes)));
        drop((chain::check(std::slice::from_ref(&bytes)), Notation::new(std::slice::from_ref(&bytes), &strict())));
        drop((DistinguishedName::parse(&text), TrustPolicy::parse(&text)));
    }
}
