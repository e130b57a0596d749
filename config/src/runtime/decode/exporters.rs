//! The `exporters` section.

use std::collections::BTreeMap;

use ig_model::otlp::{OtlpProtocol, OtlpSettings, QueueSettings, RetrySettings, Signal, TlsSettings};

use crate::{
    runtime::{Exporters, Prometheus, Secret, rules, tables},
    source::join,
    table::{Word as _, check::Checker, fields::Fields},
    yaml::Entry,
};

pub(super) fn exporters(checker: &mut Checker<'_>, fields: Fields<'_>) -> Exporters {
    let prometheus = fields.node("prometheus").map(|node| {
        let at = checker.source.position(node.span);
        let default = Prometheus::default();
        let listen = fields.object("prometheus").address("listen").unwrap_or(default.listen);
        Prometheus { listen, at: at.into() }
    });
    let otlp = fields.entries("otlp").iter().filter_map(|entry| {
        let exporter = otlp(checker, entry)?;
        Some((exporter.name.clone(), exporter))
    });
    let otlp = otlp.collect();
    Exporters { prometheus, otlp }
}

fn otlp(checker: &mut Checker<'_>, entry: &Entry) -> Option<OtlpSettings> {
    let source = checker.source;
    let path = join("exporters.otlp", &entry.key);
    if entry.key == Exporters::PROMETHEUS {
        let fault = source.fault(entry.key_span, &path, "name is taken by the scrape endpoint");
        checker.push(fault.hint("choose another name"));
        return None;
    }
    let fields = Fields::new(Some(&entry.value), &tables::OTLP, source);
    let retry = retry(checker, fields, &path);
    let headers = headers(checker, fields, &path);
    let own = fields.object("endpoints").text("metrics");
    if !fields.has("endpoint") && !fields.object("endpoints").has("metrics") {
        let fault = source.fault(entry.value.span, &path, "missing key \"endpoint\"");
        checker.push(fault.expected(rules::ENDPOINT.expected));
        return None;
    }
    let exporter = OtlpSettings {
        name: entry.key.clone(),
        endpoint: if fields.has("endpoint") { fields.text("endpoint")? } else { String::new() },
        endpoints: own.map(|own| (Signal::Metrics, own)).into_iter().collect(),
        protocol: fields.word("protocol")?,
        signals: vec![Signal::Metrics],
        interval: fields.duration("interval")?,
        timeout: fields.duration("timeout")?,
        temporality: fields.word("temporality")?,
        compression: fields.word("compression")?,
        headers,
        tls: tls(checker, fields, &path),
        resource: literals(fields.entries("resource")),
        retry,
        queue: QueueSettings { max_bytes: fields.object("queue").size("max-bytes")? },
    };
    check_endpoint(checker, fields, &exporter, &path);
    check_signals(checker, fields, &path);
    Some(exporter)
}

/// Rules between the endpoint and other keys.
fn check_endpoint(checker: &mut Checker<'_>, fields: Fields<'_>, exporter: &OtlpSettings, path: &str) {
    let source = checker.source;
    let url = exporter.url(Signal::Metrics);
    if let (Some(node), Err(other)) = (fields.node("endpoint"), &url) {
        let problem = format!("the path is that of another signal, `{other}`");
        let fault = source.fault(node.span, join(path, "endpoint"), problem);
        let hint = format!("leave `{other}` out: the path of each signal is appended");
        checker.push(fault.expected("a base, or the address of metrics").hint(hint));
    }
    if let Some(node) = fields.node("endpoints")
        && exporter.protocol == OtlpProtocol::Grpc
    {
        let fault = source.fault(node.span, join(path, "endpoints"), "gRPC has one address for all signals");
        checker.push(fault.hint("write it as `endpoint`, or write `protocol: http/protobuf`"));
    }
    let url = url.unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return };
    let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    if let Some(node) = fields.node("endpoint")
        && exporter.protocol == OtlpProtocol::Grpc
        && has_path
    {
        let fault = source.fault(node.span, join(path, "endpoint"), "gRPC takes no path in its endpoint");
        let hint = "leave out the path, or write `protocol: http/protobuf`";
        checker.push(fault.expected("scheme, host and port").hint(hint));
    }
    if let Some(node) = fields.node("tls")
        && scheme == "http"
        && exporter.tls != TlsSettings::default()
    {
        let fault = source.fault(node.span, join(path, "tls"), "certificates are given for a plain endpoint");
        checker.push(fault.hint("write `https://` in the endpoint, or leave out `tls`"));
    }
}

/// Signals that are part of the format and not made so far are refused by name.
fn check_signals(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) {
    let Some(node) = fields.node("signals") else { return };
    let words = fields.texts("signals");
    if node.as_sequence().is_some_and(<[_]>::is_empty) {
        let fault = checker.source.fault(node.span, join(path, "signals"), "no signal is sent");
        checker.push(fault.expected(format!("[{}]", Signal::Metrics.word())));
    } else if words.len() > 1 && words.iter().all(|word| word == Signal::Metrics.word()) {
        checker.push(checker.source.fault(node.span, join(path, "signals"), "signal is written twice"));
    }
}

fn headers(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> BTreeMap<String, Secret> {
    let mut headers = BTreeMap::new();
    for entry in fields.entries("headers") {
        let Some(scalar) = entry.value.as_scalar() else { continue };
        let name = entry.key.to_ascii_lowercase();
        if headers.insert(name, Secret::new(scalar.text.clone())).is_some() {
            let path = join(&join(path, "headers"), &entry.key);
            let fault = checker.source.fault(entry.key_span, path, "header is written twice");
            checker.push(fault.hint("case makes no difference in names of headers"));
        }
    }
    headers
}

fn tls(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> TlsSettings {
    let object = fields.object("tls");
    let tls = TlsSettings {
        ca_file: object.path("ca-file"),
        cert_file: object.path("cert-file"),
        key_file: object.path("key-file"),
        server_name: object.text("server-name"),
    };
    if object.has("cert-file") != object.has("key-file")
        && let Some(node) = object.node
    {
        let (has, lacks) =
            if object.has("cert-file") { ("cert-file", "key-file") } else { ("key-file", "cert-file") };
        let problem = format!("`{has}` without `{lacks}`");
        checker.push(checker.source.fault(node.span, join(path, "tls"), problem).expected("both or none"));
    }
    tls
}

fn retry(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> RetrySettings {
    let object = fields.object("retry");
    let defaults = RetrySettings::default();
    let initial = object.duration("initial").unwrap_or(defaults.initial);
    let max = object.duration("max").unwrap_or(defaults.max);
    if initial > max
        && let Some(node) = object.node
    {
        let fault =
            checker.source.fault(node.span, join(path, "retry"), "the first wait is longer than the longest");
        checker.push(fault.hint("make `initial` at most `max`"));
    }
    RetrySettings {
        initial,
        max,
        max_elapsed: object.duration("max-elapsed").unwrap_or(defaults.max_elapsed),
    }
}

/// Single values as they are spelled.
pub(in crate::runtime) fn literals(entries: &[Entry]) -> BTreeMap<String, String> {
    let text = |entry: &Entry| Some((entry.key.clone(), entry.value.as_scalar()?.text.clone()));
    entries.iter().filter_map(text).collect()
}
