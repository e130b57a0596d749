//! Names of metrics and labels as Prometheus sees them: what writes a page, what checks a configuration and what builds an
//! image must agree on them, or one accepts what another loses.
//!
//! A metric name is split at everything outside `[A-Za-z0-9:]` and joined by `_`; the unit is translated to a word
//! and appended unless it is there; a counter ends in `_total`, a gauge of unit `1` in `_ratio`.
//!
//! # Source
//! The names of Inspektor Gadget's Prometheus exporter, that of the OpenTelemetry SDK for Go, with these deviations:
//! - It turns the unit `µs` into the suffix `_s`, because it drops the `µ` as an invalid character. A name that claims
//!   seconds for microseconds misleads every reader, so here both `µs` and `us` give `_microseconds`.
//! - It knows few of UCUM's units with a prefix, and writes `_kBy` for the others. Here every prefix has a word.
//! - A unit that the name ends with already, in any case or as its symbol, is not written twice.

mod claims;
mod units;

pub use claims::{Claims, Clash, Exposed};

use crate::InstrumentKind;

/// The exposed name of a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyName {
    /// With unit and suffix.
    pub full: String,
    /// The unit word, if the name without its suffix ends with it.
    pub unit: Option<String>,
}

/// The exposed name of an instrument.
pub fn family(name: &str, unit: &str, kind: InstrumentKind) -> FamilyName {
    let mut tokens: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|token| !token.is_empty())
        .collect();
    let words = units::words(unit);
    if words.main.is_some() && tokens.len() > 1 && tokens.last().is_some_and(|last| *last == unit) {
        tokens.pop();
    }
    let special = match kind {
        InstrumentKind::Counter => Some("total"),
        InstrumentKind::Gauge if unit == "1" => Some("ratio"),
        InstrumentKind::Gauge | InstrumentKind::Histogram => None,
    };
    let mut base: Vec<&str> = tokens.clone();
    if let Some(main) = words.main.as_deref().filter(|main| !has(&tokens, main)) {
        base.push(main);
    }
    if let Some(per) = words.per.as_deref().filter(|per| !has(&tokens, per)) {
        base.extend(["per", per]);
    }
    if let Some(special) = special {
        base.retain(|token| *token != special);
    }
    let base = base.join("_");
    let unit =
        words.suffix().filter(|word| base.strip_suffix(word.as_str()).is_some_and(|s| s.ends_with('_')));
    let mut full = base;
    if let Some(special) = special {
        if !full.is_empty() {
            full.push('_');
        }
        full.push_str(special);
    }
    if full.starts_with(|c: char| c.is_ascii_digit()) {
        full.insert(0, '_');
    }
    // OpenMetrics wants the unit last in the family's name, which `_ratio` would follow.
    let unit = if special == Some("ratio") { None } else { unit };
    FamilyName { full, unit }
}

/// Whether the words of a unit stand in a name already, one after the other.
fn has(tokens: &[&str], words: &str) -> bool {
    let words: Vec<&str> = words.split('_').collect();
    tokens
        .windows(words.len())
        .any(|window| window.iter().zip(&words).all(|(token, word)| token.eq_ignore_ascii_case(word)))
}

/// Every name that a family puts on a page, of either format; no two families may share one.
pub fn samples(family: &str, kind: InstrumentKind) -> Vec<String> {
    match kind {
        InstrumentKind::Counter => {
            let base = family.strip_suffix("_total").unwrap_or(family);
            vec![family.to_owned(), base.to_owned(), format!("{base}_created")]
        }
        InstrumentKind::Gauge => vec![family.to_owned()],
        InstrumentKind::Histogram => ["", "_bucket", "_sum", "_count", "_created"]
            .iter()
            .map(|suffix| format!("{family}{suffix}"))
            .collect(),
    }
}

/// Why nobody may expose a family or sample of this name.
pub fn reserved(name: &str) -> Option<String> {
    if name.is_empty() || name == "total" || name == "ratio" {
        Some("its name has no letter or digit in it".to_owned())
    } else if name.starts_with("ig_") {
        Some("names that begin with `ig_` are the collector's own".to_owned())
    } else if name.strip_prefix("process_").is_some_and(is_of_a_process) {
        Some("names such as `process_cpu_seconds_total` describe the collector's process".to_owned())
    } else if name == "target_info" || name == "target" {
        Some("`target_info` describes the collector itself".to_owned())
    } else {
        None
    }
}

/// What the client libraries of Prometheus say of the process that is scraped, behind `process_`: all of it is reserved,
/// whether or not it is on the page today.
fn is_of_a_process(rest: &str) -> bool {
    const WORDS: [&str; 9] = [
        "cpu_",
        "open_fds",
        "max_fds",
        "virtual_memory",
        "resident_memory",
        "heap_",
        "start_time",
        "threads",
        "network_",
    ];
    WORDS.iter().any(|word| rest.starts_with(word))
}

/// The exposed name of a label; `has_histograms` tells that the table needs `le` for itself. Names that the exposition itself needs are moved out of the way by the prefix
/// `exported_`, as Prometheus does with conflicting target labels.
pub fn label(name: &str, has_histograms: bool) -> String {
    let reserved = matches!(
        name,
        "otel_scope_name" | "otel_scope_version" | "otel_scope_schema_url" | "otel_metric_overflow"
    ) || (name == "le" && has_histograms);
    if name == "__name__" {
        return "exported_name".to_owned();
    }
    if name.len() > 4 && name.starts_with("__") && name.ends_with("__") && is_label(name) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 9);
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    if out.is_empty() {
        out.push('_');
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    }
    if reserved || matches!(out.as_str(), "otel_scope_name" | "otel_metric_overflow") {
        out.insert_str(0, "exported_");
    }
    out
}

fn is_label(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the names that dashboards made for the reference ask for.
    #[test]
    fn metric_names_follow_the_reference() {
        use InstrumentKind::{Counter, Gauge, Histogram};
        let cases = [
            ("executions", "", Counter, "executions_total"),
            ("executions_total", "", Counter, "executions_total"),
            ("total.executions", "", Counter, "executions_total"),
            ("io.bytes", "By", Counter, "io_bytes_total"),
            ("io", "By", Counter, "io_bytes_total"),
            ("io--x..y", "By/s", Gauge, "io_x_y_bytes_per_second"),
            ("dns_latency", "s", Histogram, "dns_latency_seconds"),
            ("latency", "µs", Histogram, "latency_microseconds"),
            ("latency", "us", Histogram, "latency_microseconds"),
            ("latency", "ms", Histogram, "latency_milliseconds"),
            ("used", "1", Gauge, "used_ratio"),
            ("used", "1", Counter, "used_total"),
            ("packets", "{packet}", Counter, "packets_total"),
            ("rate", "{packet}/s", Gauge, "rate_per_second"),
            ("temp", "Cel", Gauge, "temp_celsius"),
            ("x", "foo.bar", Gauge, "x_foo_bar"),
            ("5xx", "", Gauge, "_5xx"),
            ("a:b", "", Gauge, "a:b"),
            ("heat", "%", Gauge, "heat_percent"),
            ("size", "kBy", Gauge, "size_kilobytes"),
            ("size", "MBy", Gauge, "size_megabytes"),
            ("size", "KiBy", Gauge, "size_kibibytes"),
            ("speed", "Mbit/s", Gauge, "speed_megabits_per_second"),
            ("speed", "By/ms", Gauge, "speed_bytes_per_millisecond"),
            ("clock", "MHz", Gauge, "clock_megahertz"),
            ("age", "min", Gauge, "age_minutes"),
            ("size_kilobytes", "kBy", Gauge, "size_kilobytes"),
            ("io.Bytes", "By", Gauge, "io_Bytes"),
            ("delta_ns", "ns", Gauge, "delta_nanoseconds"),
            ("bytes_per_second", "By/s", Gauge, "bytes_per_second"),
            ("x_foo_bar", "foo.bar", Gauge, "x_foo_bar"),
        ];
        for (name, unit, kind, expected) in cases {
            assert_eq!(family(name, unit, kind).full, expected, "{name} in {unit}");
        }
        assert_eq!(family("io", "By", Counter).unit.as_deref(), Some("bytes"));
        assert_eq!(family("bytes.read", "By", Counter).unit, None);
        assert!(reserved(&family("...", "", Counter).full).is_some());
        assert!(reserved("ig_up").is_some());
    }

    #[test]
    fn label_names_follow_the_reference() {
        for (name, expected) in [
            ("proc.comm", "proc_comm"),
            ("a..b", "a_b"),
            ("a__b", "a_b"),
            ("__x__", "__x__"),
            ("1st", "key_1st"),
            ("k8s.podName", "k8s_podName"),
            ("", "_"),
            ("__name__", "exported_name"),
            ("otel_scope_name", "exported_otel_scope_name"),
            ("otel.scope.name", "exported_otel_scope_name"),
            ("le", "le"),
        ] {
            assert_eq!(label(name, false), expected, "{name}");
        }
        assert_eq!(label("le", true), "exported_le");
    }
}
