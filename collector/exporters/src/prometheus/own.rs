//! The collector's own `ig_*` metrics: encoded by prometheus-client as OpenMetrics, adapted to the page.

use prometheus_client::registry::Registry;

use super::Format;

/// Encodes `registry` in `format`, without an end mark, leaving out families whose names `taken` holds.
pub(crate) fn encode(registry: &Registry, format: Format, taken: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    if prometheus_client::encoding::text::encode_registry(&mut text, registry).is_err() {
        // Formatting into a string fails only if a metric's own encoder does; the page goes on without.
        return String::new();
    }
    convert(&text, format, taken)
}

fn convert(text: &str, format: Format, taken: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help: Option<(&str, &str)> = None;
    let mut skipping = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').unwrap_or((rest, "")));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            skipping = taken(name) || taken(&format!("{name}_total"));
            if skipping {
                continue;
            }
            let (exposed, kind) = match format {
                Format::OpenMetrics => (name.to_owned(), kind),
                Format::Text => text_family(name, kind),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                push(&mut out, &["# HELP ", &exposed, " ", help, "\n"]);
            }
            push(&mut out, &["# TYPE ", &exposed, " ", kind, "\n"]);
        } else if skipping || line == "# EOF" {
        } else if line.starts_with('#') {
            if format == Format::OpenMetrics {
                out.push_str(line);
                out.push('\n');
            }
        } else {
            out.push_str(match format {
                Format::OpenMetrics => line,
                Format::Text => without_exemplar(line),
            });
            out.push('\n');
        }
    }
    out
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

/// The name and type of a family in text 0.0.4.
fn text_family<'a>(name: &str, kind: &'a str) -> (String, &'a str) {
    match kind {
        "counter" => (format!("{name}_total"), "counter"),
        "info" => (format!("{name}_info"), "gauge"),
        "stateset" => (name.to_owned(), "gauge"),
        "gauge" | "histogram" | "summary" => (name.to_owned(), kind),
        _ => (name.to_owned(), "untyped"),
    }
}

/// A sample line without its exemplar, which text 0.0.4 does not know.
fn without_exemplar(line: &str) -> &str {
    let labels = line.find(['{', ' ']).filter(|at| line.as_bytes().get(*at) == Some(&b'{'));
    let after_labels = match labels {
        // Quotes in label values are escaped, so the first brace outside of quotes closes the labels.
        Some(open) => {
            let mut quoted = false;
            let mut escaped = false;
            let close = line.char_indices().skip_while(|(at, _)| *at <= open).find(|(_, c)| {
                if escaped {
                    escaped = false;
                    return false;
                }
                match c {
                    '\\' => escaped = quoted,
                    '"' => quoted = !quoted,
                    '}' => return !quoted,
                    _ => {}
                }
                false
            });
            close.map_or(line.len(), |(at, _)| at)
        }
        None => 0,
    };
    match line.get(after_labels..).and_then(|rest| rest.find(" # {")) {
        Some(at) => line.get(..after_labels + at).unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::Unit;

    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc_by(3);
        registry.register("ig_events", "Events received", counter);
        let gauge: Gauge = Gauge::default();
        registry.register("ig_series", "Series held", gauge);
        registry.register("ig_build", "The build", Info::new(vec![("version", "1 # {x} }")]));
        let histogram = Histogram::new([0.5]);
        histogram.observe(0.25);
        registry.register_with_unit("ig_read", "Map reads", Unit::Seconds, histogram);
        registry
    }

    #[test]
    fn own_metrics_become_text_004() {
        let text = encode(&registry(), Format::Text, |_| false);
        assert!(text.contains("# HELP ig_events_total Events received.\n# TYPE ig_events_total counter\n"));
        assert!(text.contains("ig_events_total 3\n"));
        assert!(text.contains("# TYPE ig_build_info gauge\nig_build_info{version=\"1 # {x} }\"} 1\n"));
        assert!(text.contains("# TYPE ig_read_seconds histogram\n"));
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    }

    #[test]
    fn own_metrics_stay_openmetrics_and_yield_to_taken_names() {
        let text = encode(&registry(), Format::OpenMetrics, |name| name == "ig_series");
        assert!(
            text.contains("# TYPE ig_events counter\n") && text.contains("# UNIT ig_read_seconds seconds\n")
        );
        assert!(!text.contains("ig_series") && !text.contains("# EOF"));
    }

    #[test]
    fn exemplars_are_dropped_only_where_they_are() {
        assert_eq!(without_exemplar("a_total 1 # {t=\"x\"} 1 2"), "a_total 1");
        assert_eq!(without_exemplar("a{b=\" # {\\\"}\"} 1 # {t=\"x\"} 1"), "a{b=\" # {\\\"}\"} 1");
        assert_eq!(without_exemplar("a{b=\"c\"} 1"), "a{b=\"c\"} 1");
    }
}
