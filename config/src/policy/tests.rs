use super::*;

const WHOLE: &str = "apiVersion: 1
kind: image-policy
locked: true
verify: true
public-keys:
  - keys/team.pub
  - |
    -----BEGIN PUBLIC KEY-----
    AAAA
    -----END PUBLIC KEY-----
notation:
  certificates: [/etc/ig/ca.pem]
  trust-policy: '{\"version\": \"1.0\"}'
allowed-gadgets: [\"ghcr.io/inspektor-gadget/gadget/*\", \"\"]
insecure-registries: [\"127.0.0.1:5000\"]
disallow-pulling: false
";

fn faults(text: &str) -> Vec<String> {
    parse("/etc/ig/policy.yaml", text).unwrap_err().faults.iter().map(ToString::to_string).collect()
}

/// Scenario: a policy that uses every key.
/// Guarantees: all values come out, files relative to the policy, with the lines they stand on.
#[test]
fn every_key_is_read() {
    let policy = parse("/etc/ig/policy.yaml", WHOLE).unwrap();
    assert_eq!(policy.locked.unwrap().line, 3);
    assert!(policy.verify.unwrap().value && !policy.disallow_pulling.unwrap().value);
    let keys = policy.public_keys.unwrap();
    assert_eq!(keys.value[0].value, Material::File("/etc/ig/keys/team.pub".into()));
    assert_eq!((keys.value[0].at.line, keys.value[1].at.line), (6, 8));
    assert!(matches!(&keys.value[1].value, Material::Text(text) if text.starts_with("-----BEGIN PUBLIC")));
    assert_eq!(policy.notation_certificates.unwrap().value[0].value, Material::File("/etc/ig/ca.pem".into()));
    assert!(matches!(policy.notation_trust_policy.unwrap().value, Material::Text(_)));
    let allowed = policy.allowed_gadgets.unwrap();
    assert_eq!(allowed.value[0].at.to_string(), "/etc/ig/policy.yaml:14:19");
    assert_eq!(allowed.value.len(), 2);
    assert_eq!(policy.insecure_registries.unwrap().value[0].value, "127.0.0.1:5000");
}

/// Scenario: a policy that says nothing, and one that empties the list of keys.
/// Guarantees: silence and an empty list are told apart: one means the default, the other none.
#[test]
fn silence_is_not_an_empty_list() {
    let header = "apiVersion: 1\nkind: image-policy\n";
    let silent = parse("p", header).unwrap();
    assert_eq!(silent, ImagePolicy::default());
    let empty = parse("p", &format!("{header}public-keys: []\nallowed-gadgets:\n")).unwrap();
    assert!(empty.public_keys.unwrap().value.is_empty());
    assert!(empty.allowed_gadgets.unwrap().value.is_empty());
}

/// Scenario: misspelled keys, wrong types, keys of the reference project, half of `notation`, other kinds.
/// Guarantees: each is refused with its line, and with the right name where there is one.
#[test]
fn faults_name_line_and_remedy() {
    let text = "apiVersion: 1\nkind: image-policy\nlokced: true\nverify: yes please\nverify-image: true\n\
                insecure-registries: [http://x]\nnotation: {certificates: [a]}\n";
    let found = faults(text);
    let expect = [
        ":3:1: lokced: unknown key; did you mean \"locked\"?",
        ":4:9: verify: wrong type: text \"yes please\", expected true or false",
        ":5:1: verify-image: unknown key; it is called `verify`",
        ":6:23: insecure-registries[0]: bad value \"http://x\", expected `host` or `host:port`; leave out the scheme",
        ":7:11: notation: missing key \"trust-policy\"",
    ];
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.contains(expect), "{found}");
    }
    assert!(faults("kind: runtime-config\napiVersion: 1\n")[0].contains("image-policy"));
    assert!(faults("")[0].contains("0 documents"));
    assert!(faults("a: 1\n---\nb: 2\n")[0].contains("2 documents"));
    let duplicate = faults("apiVersion: 1\nkind: image-policy\nverify: true\nverify: false\n");
    assert!(duplicate[0].contains("first at"), "{duplicate:?}");
}

/// Scenario: a key over several lines that does not look like PEM, an empty one, one with a NUL.
/// Guarantees: none is taken for the name of a file.
#[test]
fn materials_are_paths_or_pem() {
    for value in ["\"a\\nb\"", "\"\"", "\"a\\0b\"", "[]", "3"] {
        let text = format!("apiVersion: 1\nkind: image-policy\npublic-keys: [{value}]\n");
        assert_eq!(faults(&text).len(), 1, "{value}");
    }
}
