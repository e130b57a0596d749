//! The collector's own metrics, read at each scrape from where they are kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ig_exporters::otlp::{DropReason, OtlpStats, OwnFamily, OwnPoint};
use ig_http::{Ending, Stats};
use ig_model::{InstrumentKind, Loss, LossStage};
use ig_series::{Registry, RetireReason};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    inventory::{INVENTORY, OwnMetric},
    process::Process,
};
use crate::{
    status::{Board, State, Status},
    tasks::Tasks,
};

/// The version of the compiler that built this; see `build.rs`.
const RUST_VERSION: &str = env!("IG_RUST_VERSION");

/// Where the numbers come from.
pub trait OwnSources: fmt::Debug + Send + Sync + 'static {
    /// Numbers of the OTLP exporters, by name.
    fn otlp(&self) -> Vec<(String, OtlpStats)>;

    /// Numbers of the HTTP servers so far, together.
    fn http(&self) -> Stats;
}

/// The collector's own metrics, over the status board, the series store and the exporters: a [`Collector`] for the page,
/// families for OTLP.
#[derive(Clone, Debug)]
pub struct OwnMetrics {
    status: Status,
    series: Registry,
    sources: Arc<dyn OwnSources>,
    version: &'static str,
    tasks: Tasks,
    lost_log_lines: fn() -> u64,
}

/// Label values and number of each sample, by metric name.
type Samples = BTreeMap<&'static str, Vec<(Vec<String>, f64)>>;

impl OwnMetrics {
    /// A collector over these sources.
    pub fn new(
        status: Status,
        series: Registry,
        sources: Arc<dyn OwnSources>,
        version: &'static str,
        tasks: Tasks,
        lost_log_lines: fn() -> u64,
    ) -> Self {
        Self { status, series, sources, version, tasks, lost_log_lines }
    }

    /// Every metric of the inventory that has a value now, as OTLP names it: without the suffix of counters, with a unit.
    pub fn families(&self) -> Vec<OwnFamily> {
        let mut samples = self.samples();
        let family = |metric: &'static OwnMetric| {
            let rows = samples.remove(metric.name)?;
            let points = rows.into_iter().map(|(values, value)| OwnPoint {
                attributes: metric.labels.iter().copied().zip(values).collect(),
                value,
            });
            Some(OwnFamily {
                name: metric.name,
                description: metric.help(),
                unit: metric.unit(),
                kind: metric.kind,
                points: points.collect(),
            })
        };
        INVENTORY.iter().filter_map(family).collect()
    }

    fn samples(&self) -> Samples {
        let mut samples = Samples::new();
        let mut put = |name: &'static str, labels: &[&str], value: f64| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            samples.entry(name).or_default().push((labels, value));
        };
        put("ig_build_info", &[self.version, RUST_VERSION], 1.0);
        self.status.with(|board| {
            gadgets(board, &mut put);
            exporters(board, &mut put);
            reload(board, &mut put);
        });
        self.series(&mut put);
        self.otlp(&mut put);
        http(self.sources.http(), &mut put);
        for (task, panics) in self.tasks.panics() {
            put("ig_task_panics", &[task], panics as f64);
        }
        put("ig_log_lines_lost", &[], (self.lost_log_lines)() as f64);
        process(&mut put);
        samples
    }

    fn series(&self, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
        let mut by_gadget: BTreeMap<String, [f64; 5]> = BTreeMap::new();
        for table in self.series.tables() {
            let stats = table.stats();
            let sums = by_gadget.entry(table.gadget().to_owned()).or_default();
            let news = [
                stats.series as u64,
                stats.limit as u64,
                stats.refused_series,
                stats.retired[RetireReason::Evicted],
                stats.overflow_events,
            ];
            for (sum, new) in sums.iter_mut().zip(news) {
                *sum += new as f64;
            }
        }
        for (gadget, sums) in by_gadget {
            let names = [
                "ig_series",
                "ig_series_limit",
                "ig_series_refused",
                "ig_series_evicted",
                "ig_series_overflow_events",
            ];
            for (name, sum) in names.into_iter().zip(sums) {
                put(name, &[&gadget], sum);
            }
        }
    }

    fn otlp(&self, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
        for (name, stats) in self.sources.otlp() {
            put("ig_otlp_exports", &[&name], stats.exported_batches as f64);
            put("ig_otlp_export_failures", &[&name], stats.failed_attempts as f64);
            put("ig_otlp_points_exported", &[&name], stats.exported_items as f64);
            for reason in DropReason::ALL {
                let points = stats.dropped(reason) as f64;
                put("ig_otlp_points_dropped", &[&name, reason.as_str()], points);
            }
            put("ig_otlp_points_deferred", &[&name], stats.deferred_items as f64);
            put("ig_otlp_ends_lost", &[&name], stats.ends_lost as f64);
            put("ig_otlp_tables_lost", &[&name], stats.tables_lost as f64);
            put("ig_otlp_points_dropped", &[&name, "rejected"], stats.rejected_items as f64);
            put("ig_otlp_queue_bytes", &[&name], stats.queue_bytes as f64);
            let last_success = stats.last_success_unix_nanos as f64 / 1e9;
            put("ig_otlp_last_success_timestamp_seconds", &[&name], last_success);
        }
    }
}

fn exporters(board: &Board, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
    for (name, exporter) in &board.exporters {
        for state in [State::Running, State::Degraded, State::Refused] {
            let is_in = f64::from(u8::from(exporter.state == state));
            put("ig_exporter_state", &[name, state.name()], is_in);
        }
    }
}

fn http(stats: Stats, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
    put("ig_http_connections", &[], stats.open as f64);
    put("ig_http_connections_accepted", &[], stats.accepted as f64);
    put("ig_http_accept_failures", &[], stats.accept_failures as f64);
    put("ig_http_requests", &[], stats.requests as f64);
    for ending in Ending::ALL {
        put("ig_http_connections_ended", &[ending.name()], stats.ended(ending) as f64);
    }
}

fn gadgets(board: &Board, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
    for (name, gadget) in &board.gadgets {
        for state in State::ALL {
            put("ig_gadget_state", &[name, state.name()], f64::from(u8::from(gadget.state == state)));
        }
        if let Some(reason) = gadget.reasons.first() {
            put("ig_gadget_reason", &[name, reason.kind.name()], 1.0);
        }
        put("ig_gadget_restarts", &[name], gadget.restarts as f64);
        put("ig_gadget_uncovered_cpus", &[name], gadget.uncovered_cpus as f64);
        for (source, stats) in &gadget.sources {
            put("ig_gadget_events_received", &[name, source], stats.received.load() as f64);
            put("ig_gadget_events_delivered", &[name, source], stats.delivered.load() as f64);
            let losses = stats.losses.snapshot();
            for loss in [LossStage::Kernel, LossStage::Pipeline].into_iter().flat_map(Loss::of) {
                put("ig_gadget_events_lost", &[name, source, loss.label()], losses[loss] as f64);
            }
            for (sink, totals) in stats.sinks.totals() {
                put("ig_gadget_sink_records", &[name, source, sink], totals.received as f64);
                for loss in Loss::of(LossStage::Sink) {
                    let lost = totals.lost[loss] as f64;
                    put("ig_gadget_sink_lost", &[name, source, sink, loss.label()], lost);
                }
            }
            for (metric, reason, count) in stats.counters.totals() {
                put(metric, &[name, source, reason], count as f64);
            }
            put("ig_gadget_values_rejected", &[name, source], stats.rejected_values.load() as f64);
            put("ig_gadget_fetches", &[name, source], stats.fetches.load() as f64);
            put("ig_gadget_fetch_failures", &[name, source], stats.failed_fetches.load() as f64);
            put("ig_gadget_fetch_seconds", &[name, source], stats.fetch_ns.load() as f64 / 1e9);
        }
    }
}

fn reload(board: &Board, put: &mut dyn FnMut(&'static str, &[&str], f64)) {
    let reload = &board.reload;
    put("ig_config_reloads", &["success"], reload.succeeded as f64);
    put("ig_config_reloads", &["failure"], reload.failed as f64);
    put("ig_config_reload_last_success", &[], f64::from(u8::from(reload.last_success)));
    put("ig_config_reload_timestamp_seconds", &[], unix_seconds(reload.applied_at));
    put("ig_config_reload_faults", &[], reload.faults.len() as f64);
    put("ig_config_info", &[&reload.hash], 1.0);
}

fn process(put: &mut dyn FnMut(&'static str, &[&str], f64)) {
    let process = Process::read();
    for (name, value) in [
        ("process_resident_memory_bytes", process.resident_bytes),
        ("process_virtual_memory_bytes", process.virtual_bytes),
        ("process_cpu_seconds", process.cpu_seconds),
        ("process_open_fds", process.open_fds),
        ("process_max_fds", process.max_fds),
        ("process_threads", process.threads),
        ("process_start_time_seconds", process.start_seconds),
    ] {
        if let Some(value) = value {
            put(name, &[], value);
        }
    }
}

fn unix_seconds(time: Option<SystemTime>) -> f64 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |age| age.as_secs_f64())
}

/// The number as an integer, if it is one: `162` reads better than `162.0`.
fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
    let integer = number as u64;
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(integer)
}

impl Collector for OwnMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut samples = self.samples();
        for metric in INVENTORY {
            let Some(rows) = samples.remove(metric.name) else { continue };
            let counts = metric.kind == InstrumentKind::Counter;
            let kind = if counts { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(metric.name, &metric.help(), None, kind)?;
            for (values, number) in rows {
                let labels: Vec<(&str, &str)> =
                    metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                let sample = family.encode_family(&labels)?;
                match (counts, whole(number)) {
                    (true, Some(whole)) => ConstCounter::new(whole).encode(sample)?,
                    (true, None) => ConstCounter::new(number).encode(sample)?,
                    (false, Some(whole)) => ConstGauge::new(whole).encode(sample)?,
                    (false, None) => ConstGauge::new(number).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct NoExporters;

    impl OwnSources for NoExporters {
        fn otlp(&self) -> Vec<(String, OtlpStats)> {
            vec![("main".to_owned(), OtlpStats { deferred_items: 3, ..OtlpStats::default() })]
        }

        fn http(&self) -> Stats {
            Stats::default()
        }
    }

    /// Scenario: the page and a receiver are told of the collector itself.
    /// Guarantees: both are told the same metrics with the same label values; the page's name is the other with the suffix
    /// of counters; units are in what the names end with.
    #[test]
    fn receivers_get_what_the_page_shows() {
        let series =
            Registry::new(ig_series::RegistryLimits { series_total: 1 }, Arc::new(ig_series::Verbatim));
        let own = OwnMetrics::new(
            Status::default(),
            series,
            Arc::new(NoExporters),
            "1.2.3",
            Tasks::default(),
            || 0,
        );
        let mut on_page = prometheus_client::registry::Registry::default();
        on_page.register_collector(Box::new(own.clone()));
        let mut page = String::new();
        prometheus_client::encoding::text::encode_registry(&mut page, &on_page).unwrap();
        let families = own.families();
        let samples = page.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(families.iter().map(|family| family.points.len()).sum::<usize>(), samples);
        for family in &families {
            assert!(page.contains(&format!("# TYPE {} {}\n", family.name, family.kind.name())));
            assert!(matches!(family.unit, "" | "s" | "By"), "{family:?}");
        }
        let deferred = families.iter().find(|family| family.name == "ig_otlp_points_deferred").unwrap();
        let point = OwnPoint { attributes: vec![("exporter", "main".to_owned())], value: 3.0 };
        assert_eq!(deferred.points, [point]);
    }

    /// Scenario: the collector is built by some compiler.
    /// Guarantees: what it says of it is what the compiler says of itself.
    #[test]
    fn the_compiler_is_the_one_that_built_this() {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let said = std::process::Command::new(rustc).arg("--version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.split(' ').nth(1), Some(RUST_VERSION), "{said}");
    }
}
