//! Trust policy documents and names.

use super::*;

fn error(text: &str) -> String {
    ig_model::chain(&TrustPolicy::parse(text).unwrap_err())
}

fn statement(name: &str, scopes: &str, level: &str, stores: &str, identities: &str) -> String {
    format!(
        r#"{{"name":"{name}","registryScopes":[{scopes}],"signatureVerification":{level},
        "trustStores":[{stores}],"trustedIdentities":[{identities}]}}"#
    )
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"version":"1.0","trustPolicies":[{}]}}"#, statements.join(","))
}

const STRICT: &str = r#"{"level":"strict"}"#;

/// Scenario: documents that break one rule each.
/// Guarantees: each is refused, and the message names statement and rule.
#[test]
fn policies_must_keep_the_rules() {
    let one = |scopes: &str, level: &str, stores: &str, identities: &str| {
        document(&[statement("s", scopes, level, stores, identities)])
    };
    let good = |name: &str, scope: &str| statement(name, scope, STRICT, r#""ca:x""#, r#""*""#);
    let cases = [
        ("{}".to_owned(), "malformed"),
        (r#"{"version":"2.0","trustPolicies":[]}"#.to_owned(), "version `2.0`"),
        (document(&[]), "no statement"),
        (document(&[good("", r#""*""#)]), "statement `#1`: it has no name"),
        (document(&[good("a", r#""*""#), good("a", r#""r.x/y""#)]), "the name is taken"),
        (
            document(&[good("a", r#""*""#), good("b", r#""*""#)]),
            "statement `b`: scope `*` stands in more than one place",
        ),
        (one("", STRICT, r#""ca:x""#, r#""*""#), "it has no registry scope"),
        (one(r#""*","r.x/y""#, STRICT, r#""ca:x""#, r#""*""#), "scope `*` stands beside others"),
        (one(r#""r.x/y:tag""#, STRICT, r#""ca:x""#, r#""*""#), "scope `r.x/y:tag` is not"),
        (one(r#""r.x""#, STRICT, r#""ca:x""#, r#""*""#), "scope `r.x` is not"),
        (one(r#""*""#, r#"{"level":"lax"}"#, r#""ca:x""#, r#""*""#), "malformed"),
        (one(r#""*""#, r#"{"level":"skip"}"#, r#""ca:x""#, r#""*""#), "level `skip` is refused"),
        (
            one(r#""*""#, r#"{"level":"strict","override":{"integrity":"log"}}"#, r#""ca:x""#, r#""*""#),
            "integrity cannot be overridden",
        ),
        (
            one(r#""*""#, r#"{"level":"strict","override":{"expiry":"skip"}}"#, r#""ca:x""#, r#""*""#),
            "override `expiry` cannot be `skip`",
        ),
        (
            one(r#""*""#, r#"{"level":"strict","override":{"x":"log"}}"#, r#""ca:x""#, r#""*""#),
            "override `x` is unknown",
        ),
        (one(r#""*""#, STRICT, "", r#""*""#), "at least one trust store"),
        (one(r#""*""#, STRICT, r#""ca:x""#, ""), "at least one trust store"),
        (one(r#""*""#, STRICT, r#""ca:../x""#, r#""*""#), "trust store `ca:../x` is not"),
        (one(r#""*""#, STRICT, r#""ca:x","ca:y""#, r#""*""#), "exactly one trust store"),
        (one(r#""*""#, STRICT, r#""tsa:x""#, r#""*""#), "timestamps are not checked"),
        (
            one(r#""*""#, STRICT, r#""ca:x""#, r#""*","x509.subject:C=a,ST=b,O=c""#),
            "identity `*` stands beside others",
        ),
        (one(r#""*""#, STRICT, r#""ca:x""#, r#""somebody""#), "identity `somebody` is not"),
        (one(r#""*""#, STRICT, r#""ca:x""#, r#""x509.subject:C=a,ST=b""#), "lacks the attribute O"),
        (
            one(
                r#""*""#,
                STRICT,
                r#""ca:x""#,
                r#""x509.subject:C=a,ST=b,O=c","x509.subject:C=a,ST=b,O=c,CN=d""#,
            ),
            "overlaps with another one",
        ),
        ("[".repeat(100_000), "malformed"),
        ("x".repeat(2 << 20), "more than the"),
    ];
    for (text, expected) in cases {
        let error = error(&text);
        assert!(error.contains(expected), "expected {expected}: {error}");
    }
}

/// Scenario: statements for one repository and for all.
/// Guarantees: the repository's own counts; without one for all, other repositories have none.
#[test]
fn the_narrower_statement_counts() {
    let all = statement("all", r#""*""#, r#"{"level":"audit"}"#, r#""ca:x""#, r#""*""#);
    let one = statement("one", r#""registry.example/team/gadget""#, STRICT, r#""ca:x""#, r#""*""#);
    let named = |name: &str| Reference::parse(name).unwrap();
    let policy = TrustPolicy::parse(&document(&[all, one.clone()])).unwrap();
    assert_eq!(policy.statement(&named("registry.example/team/gadget:v1")).unwrap().name, "one");
    assert_eq!(policy.statement(&named("registry.example/team/gadgets")).unwrap().name, "all");
    let policy = TrustPolicy::parse(&document(&[one])).unwrap();
    assert!(policy.statement(&named("trace_exec")).is_none());
}

/// Scenario: names with escapes, spaces, other orders, object identifiers, and broken ones.
/// Guarantees: equal names are equal however they are spelled; what cannot be compared is refused.
#[test]
fn names_are_compared_by_attribute() {
    let parse = |text: &str| DistinguishedName::parse(text);
    let name = parse(r" CN = a\, b\2B , O=c ,S=d;C=e").unwrap();
    assert_eq!(name, parse(r"C=e,ST=d,O=c,CN=a\2c b\+").unwrap());
    assert_eq!(parse("2.5.4.3=x").unwrap(), parse("cn=x").unwrap());
    assert_eq!(parse(r"CN=\C3\A4").unwrap(), parse("CN=ä").unwrap());
    assert!(parse("1.2.3=x").unwrap().is_within(&parse("CN=y,1.2.3=x").unwrap()));
    assert!(!parse("CN=y,1.2.3=x").unwrap().is_within(&parse("1.2.3=x").unwrap()));
    assert_eq!(parse("CN=a+O=b"), Err(NameError::MultiValued));
    assert_eq!(parse("CN=a,cn=b"), Err(NameError::Duplicate("CN".to_owned())));
    for broken in [
        "",
        "CN",
        "CN=",
        "=x",
        "CN=a,",
        "XX=y",
        "CN=#0401",
        r"CN=\",
        r"CN=\F",
        r"CN=\FF",
        "CN=\"a\"",
        &"a".repeat(5000),
    ] {
        assert_eq!(parse(broken), Err(NameError::Malformed), "{broken}");
    }
}
