//! Rules for names and other text in runtime-config.yaml.

use crate::table::TextRule;

type Verdict = Result<(), String>;

fn verdict(ok: bool) -> Verdict {
    if ok { Ok(()) } else { Err(String::new()) }
}

/// Any text but the empty one.
pub(super) static TEXT: TextRule = TextRule {
    expected: "text that is not empty",
    pattern: Some(r"\S"),
    check: |text| verdict(!text.trim().is_empty()),
};

/// Names of gadgets and exporters: they become label values, log fields and file names.
pub(super) static NAME: TextRule = TextRule {
    expected: "a name of letters, digits, `-`, `_` and `.`, at most 63, beginning with a letter or digit",
    pattern: Some(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"),
    check: |text| verdict(is_name(text)),
};

/// Names of parameters.
pub(super) static PARAM: TextRule = TextRule {
    expected: "the name of a parameter",
    pattern: Some(r"^\S+$"),
    check: |text| verdict(!text.is_empty() && !text.contains(char::is_whitespace)),
};

/// References to images.
pub(super) static IMAGE: TextRule = TextRule {
    expected: "the reference of an image, such as trace_exec or registry.example/team/gadget:v1",
    pattern: Some(r"^\S+$"),
    check: |text| {
        let hint = if text.contains("://") { "leave out the scheme" } else { "" };
        let ok = !text.is_empty()
            && hint.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if ok { Ok(()) } else { Err(hint.to_owned()) }
    },
};

/// Registries, as they stand at the beginning of an image's name.
pub(super) static REGISTRY: TextRule = TextRule {
    expected: "host[:port] of a registry, such as registry.example or localhost:5000",
    pattern: Some(r"^[^\s/]+$"),
    check: |text| {
        let hint = if text.contains("://") { "leave out the scheme" } else { "" };
        let ok =
            !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if ok { Ok(()) } else { Err(hint.to_owned()) }
    },
};

/// Names of instruments.
pub(super) static INSTRUMENT: TextRule = TextRule {
    expected: "a letter, then at most 254 letters, digits, `_`, `.`, `-` and `/`",
    pattern: Some(r"^[A-Za-z][A-Za-z0-9_.\-/]{0,254}$"),
    check: |text| {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
        verdict(
            text.len() <= 255
                && text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(legal),
        )
    },
};

/// URLs of receivers.
pub(super) static ENDPOINT: TextRule = TextRule {
    expected: "a URL such as http://127.0.0.1:4317",
    pattern: Some("^https?://"),
    check: crate::value::endpoint,
};

/// URLs of receivers of one signal.
pub(super) static SIGNAL_ENDPOINT: TextRule = TextRule {
    expected: "a URL such as https://otlp.example/v1/metrics",
    pattern: Some("^https?://"),
    check: crate::value::signal_endpoint,
};

/// Names in certificates.
pub(super) static SERVER_NAME: TextRule = TextRule {
    expected: "a name or an IP address, as certificates carry them",
    pattern: Some(r"^[^\s/]+$"),
    check: crate::value::server_name,
};

/// Names of headers.
pub(super) static HEADER: TextRule = TextRule {
    expected: "the name of an HTTP header",
    pattern: Some(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    check: |text| {
        if text.to_ascii_lowercase().starts_with("grpc-") {
            return Err("names that begin with `grpc-` belong to gRPC itself".to_owned());
        }
        verdict(http::HeaderName::from_bytes(text.as_bytes()).is_ok())
    },
};

/// Names of resource attributes.
pub(super) static ATTRIBUTE: TextRule = TextRule {
    expected: "the name of an attribute",
    pattern: Some(r"^\S+$"),
    check: |text| verdict(!text.is_empty() && !text.contains(char::is_whitespace)),
};

/// Annotations set over the image's.
pub(super) static ANNOTATION: TextRule = TextRule {
    expected: "`data-source:key=value` or `data-source.field:key=value`",
    pattern: Some(r"^[^:]+:[^=]+="),
    check: |text| {
        let parts = text.split_once(':').and_then(|(target, rest)| Some((target, rest.split_once('=')?.0)));
        verdict(parts.is_some_and(|(target, key)| !target.trim().is_empty() && !key.trim().is_empty()))
    },
};

/// Whether `text` keeps the rule for names of gadgets and exporters.
pub(super) fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(legal)
}
