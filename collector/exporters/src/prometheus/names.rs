//! Names as the reference's Prometheus exporter makes them.
//!
//! A metric name is split at everything outside `[A-Za-z0-9:]` and joined by `_`; the unit is translated to a word
//! and appended unless it is there; a counter ends in `_total`, a gauge of unit `1` in `_ratio`.
//!
//! One deviation: the reference turns the unit `µs` into the suffix `_s`, because it drops the `µ` as an invalid
//! character. A name that claims seconds for microseconds misleads every reader, so here both `µs` and `us` give
//! `_microseconds`.

use ig_model::InstrumentKind;
use ig_series::{FamilyName, Naming};

/// These rules, for the registry of what is exposed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names;

impl Naming for Names {
    fn label(&self, name: &str, has_histograms: bool) -> String {
        label(name, has_histograms)
    }

    fn family(&self, name: &str, unit: &str, kind: InstrumentKind) -> FamilyName {
        metric(name, unit, kind)
    }

    /// Those of both formats.
    fn samples(&self, family: &str, kind: InstrumentKind) -> Vec<String> {
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

    fn reserved(&self, family: &str) -> Option<String> {
        reserved(family)
    }
}

/// Makes the exposed name of an instrument.
fn metric(name: &str, unit: &str, kind: InstrumentKind) -> FamilyName {
    let mut tokens: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|t| !t.is_empty()).collect();
    let (main, per) = unit_words(unit);
    let main = main.filter(|word| !tokens.contains(&word.as_str()));
    let per = per.filter(|word| !tokens.contains(&word.as_str()));
    if let Some(main) = &main {
        tokens.push(main);
    }
    if let Some(per) = &per {
        tokens.extend(["per", per]);
    }
    let special = match kind {
        InstrumentKind::Counter => Some("total"),
        InstrumentKind::Gauge if unit == "1" => Some("ratio"),
        InstrumentKind::Gauge | InstrumentKind::Histogram => None,
    };
    if let Some(special) = special {
        tokens.retain(|token| *token != special);
    }
    let base = join(&tokens);
    let unit = suffix(unit).filter(|word| base.strip_suffix(word.as_str()).is_some_and(|s| s.ends_with('_')));
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

/// Why a metric may not carry this name, whoever asks.
fn reserved(full: &str) -> Option<String> {
    if full.is_empty() || full == "total" || full == "ratio" {
        Some("its name has no letter or digit in it".to_owned())
    } else if full.starts_with("ig_") {
        Some("names that begin with `ig_` are the collector's own".to_owned())
    } else if full == "target_info" || full == "target" {
        Some("`target_info` describes the collector itself".to_owned())
    } else {
        None
    }
}

/// Makes the exposed name of a label. Names that the exposition itself needs are moved out of the way by the prefix
/// `exported_`, as Prometheus does with conflicting target labels.
pub(crate) fn label(name: &str, has_histograms: bool) -> String {
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

fn join(tokens: &[&str]) -> String {
    tokens.join("_")
}

/// The unit as it stands at the end of a name: `bytes`, `bytes_per_second`.
fn suffix(unit: &str) -> Option<String> {
    match unit_words(unit) {
        (Some(main), Some(per)) => Some(format!("{main}_per_{per}")),
        (Some(main), None) => Some(main),
        (None, Some(per)) => Some(format!("per_{per}")),
        (None, None) => None,
    }
}

/// The words for a unit and for what it is counted per.
fn unit_words(unit: &str) -> (Option<String>, Option<String>) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    (word(main, main_word), word(per, per_word))
}

fn word(unit: &str, translate: fn(&str) -> Option<&'static str>) -> Option<String> {
    let unit = unit.trim();
    if unit.is_empty() || unit.contains(['{', '}']) {
        return None;
    }
    if let Some(known) = translate(unit) {
        return (!known.is_empty()).then(|| known.to_owned());
    }
    let clean: String = unit.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let clean: Vec<&str> = clean.split('_').filter(|part| !part.is_empty()).collect();
    (!clean.is_empty()).then(|| clean.join("_"))
}

fn main_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" | "\u{b5}s" | "\u{3bc}s" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        "1" => "",
        _ => return None,
    })
}

fn per_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
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
        ];
        for (name, unit, kind, expected) in cases {
            assert_eq!(metric(name, unit, kind).full, expected, "{name} in {unit}");
        }
        assert_eq!(metric("io", "By", Counter).unit.as_deref(), Some("bytes"));
        assert_eq!(metric("bytes.read", "By", Counter).unit, None);
        assert!(reserved(&metric("...", "", Counter).full).is_some());
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
