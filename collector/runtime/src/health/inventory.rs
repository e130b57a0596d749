//! The inventory: every metric the collector exports about itself, once, with its documentation.

use ig_model::{InstrumentKind, Loss, LossStage};

/// One metric of the collector itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnMetric {
    /// Name without `_total`.
    pub name: &'static str,
    /// Counter or gauge: its value is read at the scrape, so it is one number.
    pub kind: InstrumentKind,
    /// Label names, in order.
    pub labels: &'static [&'static str],
    /// One sentence.
    summary: &'static str,
    /// What its reasons mean, if it has such a label.
    reasons: Option<fn() -> String>,
}

impl OwnMetric {
    /// What it means, for people.
    pub fn help(&self) -> String {
        match self.reasons {
            Some(reasons) => format!("{}: {}", self.summary, reasons()),
            None => self.summary.to_owned(),
        }
    }

    /// Its unit in UCUM, which its name ends in as a word.
    pub fn unit(&self) -> &'static str {
        match self.name.rsplit('_').next() {
            Some("seconds") => "s",
            Some("bytes") => "By",
            _ => "",
        }
    }

    /// The name of its samples: counters end in `_total`.
    pub fn sample_name(&self) -> String {
        match self.kind {
            InstrumentKind::Counter => format!("{}_total", self.name),
            InstrumentKind::Gauge | InstrumentKind::Histogram => self.name.to_owned(),
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], summary: &'static str) -> OwnMetric {
    OwnMetric { name, kind: InstrumentKind::Counter, labels, summary, reasons: None }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], summary: &'static str) -> OwnMetric {
    OwnMetric { name, kind: InstrumentKind::Gauge, labels, summary, reasons: None }
}

/// The reasons of some stages, each with what it means.
fn reasons(stages: &[LossStage]) -> String {
    let texts =
        stages.iter().copied().flat_map(Loss::of).map(|loss| format!("{} ({})", loss.label(), loss.help()));
    texts.collect::<Vec<_>>().join(", ")
}

const SOURCE: &[&str] = &["gadget", "datasource"];
const GADGET: &[&str] = &["gadget"];
const EXPORTER: &[&str] = &["exporter"];

/// Every metric the collector exports about itself.
pub const INVENTORY: &[OwnMetric] = &[
    gauge("ig_build_info", &["version", "rust_version"], "Always 1; the labels say what was built"),
    gauge("ig_gadget_state", &["gadget", "state"], "1 for the state the gadget is in, 0 for the others"),
    gauge(
        "ig_gadget_reason",
        &["gadget", "reason"],
        "1 while the gadget is not simply running; the label says why, /readyz says it in words",
    ),
    counter(
        "ig_gadget_restarts",
        GADGET,
        "Times the programs of the running gadget were replaced by a reload",
    ),
    gauge(
        "ig_gadget_uncovered_cpus",
        GADGET,
        "CPUs that are online and that the gadget, which opens something for each, does not see",
    ),
    counter(
        "ig_gadget_events_received",
        SOURCE,
        "Records taken out of the kernel: those delivered and those lost after it",
    ),
    counter("ig_gadget_events_delivered", SOURCE, "Records that reached the sinks"),
    OwnMetric {
        reasons: Some(|| reasons(&[LossStage::Kernel, LossStage::Pipeline])),
        ..counter(
            "ig_gadget_events_lost",
            &["gadget", "datasource", "reason"],
            "Records that did not reach a sink",
        )
    },
    counter(
        "ig_gadget_sink_records",
        &["gadget", "datasource", "sink"],
        "Delivered records that sinks of this kind were handed, those that came and went included",
    ),
    OwnMetric {
        reasons: Some(|| reasons(&[LossStage::Sink])),
        ..counter(
            "ig_gadget_sink_lost",
            &["gadget", "datasource", "sink", "reason"],
            "Records that a sink was handed and did not take",
        )
    },
    counter(
        "ig_gadget_values_rejected",
        SOURCE,
        "Values an instrument could not take, such as a negative increment of a counter",
    ),
    counter(
        "ig_gadget_stacks_unresolved",
        &["gadget", "datasource", "reason"],
        "Stacks without text in records that were delivered: full (no room in the program's map), missing (gone from it), late (symbols were not read in time, addresses are shown)",
    ),
    counter("ig_gadget_fetches", SOURCE, "Reads of the gadget's maps and iterators"),
    counter("ig_gadget_fetch_failures", SOURCE, "Reads of the gadget's maps and iterators that failed"),
    counter("ig_gadget_fetch_seconds", SOURCE, "Time spent reading the gadget's maps and iterators"),
    gauge("ig_series", GADGET, "Series the gadget's tables hold"),
    gauge("ig_series_limit", GADGET, "Most series the gadget's tables may hold"),
    counter("ig_series_refused", GADGET, "Series refused by the limit; approximate beyond a few thousand"),
    counter("ig_series_evicted", GADGET, "Idle series that made room for new ones"),
    counter(
        "ig_series_overflow_events",
        GADGET,
        "Updates that went to the overflow series because of the limit; their sums are exact",
    ),
    gauge(
        "ig_exporter_state",
        &["exporter", "state"],
        "1 for the state the OTLP exporter is in (running; degraded: as it was before its files changed; refused), 0 for the others",
    ),
    counter("ig_otlp_exports", EXPORTER, "Requests the receiver took"),
    counter("ig_otlp_export_failures", EXPORTER, "Attempts to send that failed, retried ones included"),
    counter("ig_otlp_points_exported", EXPORTER, "Data points the receiver took"),
    counter(
        "ig_otlp_points_dropped",
        &["exporter", "reason"],
        "Data points that were given up: queue_full, retries_exhausted, refused (the whole request) or rejected (single points) by the receiver, shutdown",
    ),
    counter(
        "ig_otlp_points_deferred",
        EXPORTER,
        "Data points that were given up and whose values travel in later ones: deltas, and the collector's own metrics",
    ),
    counter(
        "ig_otlp_ends_lost",
        EXPORTER,
        "Series that have ended without the receiver being told, because it was away for too long",
    ),
    counter(
        "ig_otlp_tables_lost",
        EXPORTER,
        "Metrics of gadgets that have ended whose last values were not sent, because it was away for too long",
    ),
    gauge("ig_otlp_queue_bytes", EXPORTER, "Bytes waiting to be sent"),
    gauge(
        "ig_otlp_last_success_timestamp_seconds",
        EXPORTER,
        "When the receiver last took a request; 0 if never",
    ),
    gauge("ig_http_connections", &[], "Connections to the collector's own server that are open"),
    counter("ig_http_connections_accepted", &[], "Connections that were accepted, refused ones included"),
    counter(
        "ig_http_connections_ended",
        &["reason"],
        "Connections refused (full, source_full) or closed other than by their peer or after their last response: made_room and given_up for another peer, head_timeout, idle_timeout, stalled, request_timeout, handshake, bad_request, panicked, shutdown",
    ),
    counter(
        "ig_http_accept_failures",
        &[],
        "Times that accepting a connection failed, for want of descriptors for instance",
    ),
    counter("ig_http_requests", &[], "Requests that were answered"),
    counter("ig_config_reloads", &["result"], "Reloads carried out (success) and refused (failure)"),
    gauge("ig_config_reload_last_success", &[], "1 if the last reload was carried out"),
    gauge("ig_config_reload_timestamp_seconds", &[], "When the configuration in force was applied"),
    gauge("ig_config_reload_faults", &[], "Faults of the last reload, 0 if it was carried out"),
    gauge("ig_config_info", &["hash"], "Always 1; the label is the hash of the configuration in force"),
    counter(
        "ig_task_panics",
        &["task"],
        "Tasks of the collector that panicked, a fault of the collector; each is in the log",
    ),
    counter(
        "ig_log_lines_lost",
        &[],
        "Lines of the log that were not written because whoever reads it was too slow or has gone",
    ),
    gauge("process_resident_memory_bytes", &[], "Resident memory of the collector"),
    gauge("process_virtual_memory_bytes", &[], "Virtual memory of the collector"),
    counter("process_cpu_seconds", &[], "User and system CPU time of the collector"),
    gauge("process_open_fds", &[], "Open file descriptors of the collector"),
    gauge("process_max_fds", &[], "Most file descriptors the collector may open"),
    gauge("process_threads", &[], "Threads of the collector"),
    gauge("process_start_time_seconds", &[], "When the collector was started, Unix time"),
];

/// The ledger as queries, as it stands in the documentation.
pub fn ledger() -> String {
    let labels = |stage| Loss::of(stage).map(Loss::label).collect::<Vec<_>>().join("|");
    let (kernel, pipeline) = (labels(LossStage::Kernel), labels(LossStage::Pipeline));
    format!(
        "```text
produced = ig_gadget_events_received_total + ig_gadget_events_lost_total{{reason=~\"{kernel}\"}}
received = ig_gadget_events_delivered_total + ig_gadget_events_lost_total{{reason=~\"{pipeline}\"}}
```
"
    )
}

/// The inventory as a Markdown table, as it stands in the documentation.
pub fn markdown() -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for metric in INVENTORY {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = metric.kind.name();
        let labels = labels.join(", ");
        table += &format!("| `{}` | {kind} | {labels} | {} |\n", metric.sample_name(), metric.help());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: somebody adds, renames or rewords a metric or a reason of loss.
    /// Guarantees: the documented table is the code's table.
    #[test]
    fn documentation_has_the_inventory() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
        for part in [ledger(), markdown()] {
            assert!(document.contains(&part), "collector/docs/metrics.md should contain:\n{part}");
        }
    }

    /// Scenario: the table grows.
    /// Guarantees: names are unique, and every metric is documented by a sentence.
    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = INVENTORY.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(INVENTORY.iter().all(|metric| metric.help().len() > 10 && !metric.name.ends_with("_total")));
    }
}
