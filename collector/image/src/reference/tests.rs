use proptest::prelude::*;

use super::*;

fn normalised(name: &str) -> String {
    Reference::parse(name).unwrap().to_string()
}

const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// Scenario: every example of the normalisation rules, short to full.
/// Guarantees: names mean the same image here and in the Go project.
#[test]
fn short_names_become_full_names() {
    let digest = format!("sha256:{HEX}");
    let rows = [
        ("ig", "ghcr.io/inspektor-gadget/gadget/ig:latest"),
        ("trace_exec:v0.55.0", "ghcr.io/inspektor-gadget/gadget/trace_exec:v0.55.0"),
        ("inspektor-gadget/ig:x", "ghcr.io/inspektor-gadget/ig:x"),
        ("ghcr.io/foo", "ghcr.io/inspektor-gadget/gadget/foo:latest"),
        ("docker.io/foo", "docker.io/library/foo:latest"),
        ("index.docker.io/foo:1", "docker.io/library/foo:1"),
        ("docker.io/a/foo", "docker.io/a/foo:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("foobar.baz:443/x/y:v1", "foobar.baz:443/x/y:v1"),
        ("Host/a", "Host/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("a__b/c---d.e_f", "ghcr.io/a__b/c---d.e_f:latest"),
    ];
    for (short, full) in rows {
        assert_eq!(normalised(short), full, "{short}");
        assert_eq!(normalised(full), full, "{full}");
    }
    assert_eq!(normalised(&format!("x@{digest}")), format!("ghcr.io/inspektor-gadget/gadget/x@{digest}"));
    assert_eq!(normalised(&format!("localhost:1/x:t@{digest}")), format!("localhost:1/x:t@{digest}"));
}

/// Scenario: the names that the rules call errors, and near misses of the grammar.
/// Guarantees: each is refused with a message that repeats the name.
#[test]
fn malformed_names_are_refused() {
    let long_tag = format!("a:{}", "t".repeat(129));
    let long_path = format!("h.x/{}", "p".repeat(256));
    let bad_digest = format!("a@sha256:{}", &HEX[1..]);
    let names = [
        "https://ghcr.io/a",
        "a:",
        "a:-x",
        "a:b:c",
        "a b",
        "A",
        "a/B",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a._b",
        "a___b",
        "a..b",
        "a@",
        "a@sha256:12",
        "a@sha512:12",
        "-h.x/a",
        "h.x-/a",
        "h.x:/a",
        "h.x:port/a",
        "[::1/a",
        "[]/a",
        "[::1]x/a",
        "é",
        "a\0",
        "a\n",
        &long_tag,
        &long_path,
        &bad_digest,
    ];
    for name in names {
        let error = Reference::parse(name).expect_err(name);
        assert!(error.to_string().starts_with("invalid image name"), "{error}");
    }
    assert_eq!(Reference::parse("").unwrap_err().to_string(), "invalid image name ``: the name is empty");
    assert_eq!(
        Reference::parse("https://x.y/a").unwrap_err().to_string(),
        "invalid image name `https://x.y/a`: `https://` is a URL scheme; write the name without it"
    );
}

/// Scenario: full names in tables and messages.
/// Guarantees: only the default prefix and the default tag are left out.
#[test]
fn short_form_drops_only_defaults() {
    let short = |name| Reference::parse(name).unwrap().short();
    assert_eq!(short("trace_exec"), "trace_exec");
    assert_eq!(short("trace_exec:v1"), "trace_exec:v1");
    assert_eq!(short("ghcr.io/inspektor-gadget/gadget/ci/x"), "ghcr.io/inspektor-gadget/gadget/ci/x");
    assert_eq!(Reference::parse("ghcr.io/inspektor-gadget/gadget/ci/x").unwrap().short_repository(), "ci/x");
    assert_eq!(short("localhost:5000/a:latest"), "localhost:5000/a");
}

proptest! {
    /// Scenario: arbitrary text, and text made of the grammar's own characters.
    /// Guarantees: parsing never panics; what it accepts is stable, also through its short form.
    #[test]
    fn accepted_names_are_stable(name in prop_oneof![".{0,40}", "[aB1./:@_-]{1,30}", "[a-c]{1,3}(/[a-c_.-]{1,4}){0,2}(:[a-c.]{1,3})?"]) {
        if let Ok(reference) = Reference::parse(&name) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference.clone());
            prop_assert_eq!(Reference::parse(&reference.short()).unwrap(), reference);
        }
    }

    /// Scenario: names with an explicit lower-case registry, read by the OCI client library as well.
    /// Guarantees: what we accept the library accepts, and both see the same registry, repository and tag.
    #[test]
    fn agrees_with_the_oci_client(name in "[a-c]{1,3}\\.[a-c]{1,3}(:[0-9]{1,4})?/[a-c]{1,3}(/[a-c_.-]{1,5}){0,2}(:[a-cA-C._-]{1,5})?") {
        let theirs: Result<oci_client::Reference, _> = name.parse();
        if let Ok(ours) = Reference::parse(&name) {
            let theirs = theirs.unwrap();
            prop_assert_eq!(theirs.registry(), ours.registry());
            prop_assert_eq!(theirs.repository(), ours.path());
            prop_assert_eq!(theirs.tag(), ours.tag());
        } else {
            prop_assert!(theirs.is_err());
        }
    }
}
