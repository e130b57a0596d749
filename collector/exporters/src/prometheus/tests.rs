//! Whole pages, read back strictly and by Prometheus' own tools.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ig_series::testing::{counter, gauge, histogram, key, labeler, registry_named, spec};
use ig_series::{
    ExporterFilter, InstrumentSpec, LabelKind, LabelSpec, Labeler, ManualClock, NumberKind, Registry, Table,
    TableSpec,
};
use proptest::prelude::*;

use super::parse::parse;
use super::*;

fn registry(series_total: usize) -> (Registry, Arc<ManualClock>) {
    registry_named(series_total, Arc::new(Names))
}

/// The whole page, with the size of its largest frame.
pub(crate) fn read(source: &PageSource, exposition: impl Into<Exposition>) -> (String, usize) {
    let mut page = source.page(exposition);
    let (mut whole, mut frame, mut largest) = (Vec::new(), Vec::new(), 0);
    loop {
        frame.clear();
        let more = page.frame(&mut frame);
        largest = largest.max(frame.len());
        whole.extend_from_slice(&frame);
        if !more {
            return (String::from_utf8(whole).unwrap(), largest);
        }
    }
}

fn source(registry: &Registry) -> PageSource {
    let resource =
        vec![("service.name".to_owned(), "ig".to_owned()), ("host.name".to_owned(), "a\"b".to_owned())];
    PageSource::new(registry.clone(), resource, None)
}

/// Tables of every kind, and what the page must say of them. The handles keep them registered.
pub(crate) fn rich() -> (Registry, Vec<Table>) {
    let (registry, _) = registry(1000);
    let seconds = InstrumentSpec {
        unit: "s".to_owned(),
        description: "How long it took,\nin \\ \"seconds\"".to_owned(),
        bounds: (0..20).map(|i| 1000.0 * 2f64.powi(i)).collect(),
        scale: 1e-9,
        ..histogram("open.latency", &[])
    };
    let ratio = InstrumentSpec { unit: "1".to_owned(), number: NumberKind::Float, ..gauge("cpu.used") };
    let bytes = InstrumentSpec { unit: "By".to_owned(), description: String::new(), ..counter("io") };
    let mut tables = Vec::new();
    let instruments = vec![counter("opens"), seconds, ratio, bytes];
    tables.push(registry.register(spec("trace_open", instruments, 3), labeler()).unwrap().table);
    tables.push(registry.register(spec("other", vec![counter("opens")], 10), labeler()).unwrap().table);
    let unlabelled = TableSpec { labels: Vec::new(), key_len: 0, ..spec("bare", vec![gauge("level")], 10) };
    tables.push(registry.register(unlabelled, labeler()).unwrap().table);
    let hidden = TableSpec {
        exporters: ExporterFilter::Names(vec!["main".to_owned()]),
        ..spec("hidden", vec![counter("secrets")], 10)
    };
    tables.push(registry.register(hidden, labeler()).unwrap().table);
    for (i, table) in tables.iter().enumerate() {
        let mut writer = table.write();
        for n in 0..5 {
            let key = key(n);
            let row = writer.row(if i == 2 { &[] } else { &key });
            writer.add_int(row, 0, u64::from(n) + 1);
            writer.observe_int(row, 1, 1500 * i64::from(n));
            writer.set_float(row, 2, 0.5);
            writer.add_int(row, 3, 1 << 40);
        }
    }
    (registry, tables)
}

/// Scenario: several gadgets, one family shared by two, an overflow row, a table without labels, a hidden one.
/// Guarantees: one family block, exact integers, scope labels on every series, units and names as the contract says.
#[test]
fn a_rich_page_reads_back() {
    let (registry, _tables) = rich();
    for format in [Format::Text, Format::OpenMetrics] {
        let (page, _) = read(&source(&registry), format);
        let families = parse(&page, format);
        let (counter, target) = match format {
            Format::Text => ("opens_total", "target_info"),
            Format::OpenMetrics => ("opens", "target"),
        };
        let opens = &families[counter];
        assert_eq!(opens.samples.len(), 4 + 5);
        assert_eq!((opens.sum(), &*opens.help), (30, "What opens counts"));
        for (_, labels, _) in &opens.samples {
            assert!(labels["otel_scope_name"] == "trace_open" || labels["otel_scope_name"] == "other");
        }
        let overflow = opens.samples.iter().find(|sample| sample.1.contains_key("otel_metric_overflow"));
        assert_eq!(overflow.unwrap().2.to_string(), "9");
        assert_eq!(families[target].samples[0].1["host_name"], "a\"b");
        assert_eq!(families["cpu_used_ratio"].samples[0].2.to_string(), "0.5");
        assert!(page.contains("open_latency_seconds_bucket{proc_comm=\"comm-1\",id=\"1\",otel_scope_name"));
        assert!(page.contains("le=\"6.4e-05\"} ") && page.contains("le=\"1e-06\"} "));
        assert!(page.contains("\\nin \\\\ "));
        assert!(page.contains(" 1099511627776\n") && page.contains("io_bytes_total{"));
        assert!(page.contains("level{otel_scope_name=\"bare\"") && !page.contains("secrets"));
        assert!(!page.contains("=\"\""), "a label without value");
        assert_eq!(page.contains("# UNIT open_latency_seconds seconds\n"), format == Format::OpenMetrics);
    }
}

/// Scenario: a page with an overflow series, in the format that has creation times and in the one that has not.
/// Guarantees: each counter and histogram, and nothing else, is followed by the time at which its values began.
#[test]
fn creation_times_stand_behind_their_series() {
    let (registry, _tables) = rich();
    let (page, _) = read(&source(&registry), Format::OpenMetrics);
    let lines: Vec<&str> = page.lines().collect();
    let created: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].split('{').next().unwrap().ends_with("_created")).collect();
    // Opens of two tables, latencies, bytes.
    assert_eq!(created.len(), 4 + 5 + 4 + 4);
    for at in created {
        let labels = |line: &str| line[line.find('{').unwrap()..=line.rfind('}').unwrap()].to_owned();
        assert_eq!(labels(lines[at]), labels(lines[at - 1]));
        assert!(lines[at].ends_with(" 1700000000.000"), "{}", lines[at]);
    }
    assert!(lines.iter().any(|line| line.starts_with("opens_created{otel_metric_overflow=\"true\"")));
    assert!(lines.iter().any(|line| line.starts_with("open_latency_seconds_created{")));
    assert!(!read(&source(&registry), Format::Text).0.contains("_created"));
}

/// Scenario: a reader asks for names that are not escaped.
/// Guarantees: metrics and labels have the names that gadgets gave them, in quotes where they need them; no line speaks of
/// units, and the rest of the page is as it was.
#[test]
fn names_keep_their_dots_for_who_asks() {
    let (registry, _tables) = rich();
    let utf8 = Exposition { format: Format::OpenMetrics, escaping: Escaping::Utf8 };
    let (page, _) = read(&source(&registry), utf8);
    for expected in [
        "target_info{\"service.name\"=\"ig\",\"host.name\"=\"a\\\"b\"} 1\n",
        "# TYPE \"open.latency_seconds\" histogram\n",
        "{\"open.latency_seconds_bucket\",\"proc.comm\"=\"comm-1\",id=\"1\",otel_scope_name=\"trace_open\"",
        "{\"open.latency_seconds_created\",\"proc.comm\"=\"comm-1\",",
        "# TYPE \"cpu.used_ratio\" gauge\n",
        "opens_total{\"proc.comm\"=\"comm-1\",id=\"1\",",
        "opens_total{otel_metric_overflow=\"true\",",
        "level{otel_scope_name=\"bare\"",
    ] {
        assert!(page.contains(expected), "expected {expected} in {page}");
    }
    assert!(!page.contains("# UNIT") && page.ends_with("# EOF\n"));
    let (escaped, _) = read(&source(&registry), Format::OpenMetrics);
    let values = |page: &str| {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let mut values: Vec<String> =
            samples.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(values(&page), values(&escaped));
}

/// Scenario: two gadgets have metrics whose names are one when they are escaped, and labels that would be as well.
/// Guarantees: a reader of names that are not escaped sees each metric in a block of its own, and every label.
#[test]
fn names_that_collide_when_escaped_stand_apart() {
    let (registry, _) = registry(100);
    let label = |name: &str| LabelSpec { name: name.to_owned(), kind: LabelKind::Str };
    let register = |gadget: &str, metric: &str| {
        let labels = vec![label("a.b"), label("a_b"), label("otel_scope_name")];
        let wild = Wild3;
        let spec = TableSpec { labels, ..spec(gadget, vec![counter(metric)], 10) };
        let table = registry.register(spec, Box::new(wild)).unwrap().table;
        table.write().row(&key(1));
        table
    };
    let _tables = [register("one", "z.z"), register("two", "z_z")];
    let utf8 = Exposition { format: Format::OpenMetrics, escaping: Escaping::Utf8 };
    let (page, _) = read(&source(&registry), utf8);
    let labels = "\"a.b\"=\"0\",a_b=\"1\",exported_otel_scope_name=\"2\",otel_scope_name=";
    for expected in ["# TYPE \"z.z\" counter\n", "# TYPE z_z counter\n"] {
        assert_eq!(page.matches(expected).count(), 1, "{page}");
    }
    assert!(page.contains(&format!("{{\"z.z_total\",{labels}\"one\"")), "{page}");
    assert!(page.contains(&format!("z_z_total{{{labels}\"two\"")), "{page}");
}

/// Says which label it is asked for.
struct Wild3;

impl Labeler for Wild3 {
    fn render(&self, _: &[u8], index: usize, out: &mut String) {
        out.push_str(&index.to_string());
    }
}

#[test]
fn a_page_of_nothing_is_a_page() {
    let (registry, _) = registry(10);
    for format in [Format::Text, Format::OpenMetrics] {
        let (page, _) = read(&PageSource::new(registry.clone(), Vec::new(), None), format);
        assert_eq!(parse(&page, format).len(), 1);
    }
}

/// Scenario: rows that an earlier page has shown come, go and return between the frames of one page.
/// Guarantees: the page is well formed, no series stands twice, and frames stay small.
#[test]
fn a_page_stays_whole_while_rows_change() {
    let (registry, clock) = registry(100_000);
    let stale_after = Some(std::time::Duration::from_secs(1));
    let spec = TableSpec { stale_after, ..spec("a", vec![counter("c"), histogram("h", &[1.0])], 2000) };
    let table = registry.register(spec, labeler()).unwrap().table;
    for n in 0..2000 {
        table.write().row(&key(n));
    }
    let source = source(&registry);
    read(&source, Format::Text);
    let mut page = source.page(Format::Text);
    let (mut whole, mut n) = (Vec::new(), 0);
    loop {
        let from = whole.len();
        let more = page.frame(&mut whole);
        assert!(whole.len() - from < FRAME_BYTES + 2048);
        if !more {
            break;
        }
        clock.advance(std::time::Duration::from_secs(5));
        for _ in 0..150 {
            n = (n * 31 + 7) % 4000;
            table.write().row(&key(n));
        }
    }
    assert!(table.stats().retired[ig_series::RetireReason::Evicted] > 100);
    parse(std::str::from_utf8(&whole).unwrap(), Format::Text);
}

/// Scenario: Prometheus' own linter reads a page of every kind of metric, and the collector's own metrics.
/// Guarantees: it has nothing to say.
#[test]
fn promtool_has_no_complaints() {
    let promtool = tool("promtool");
    let (registry, _tables) = rich();
    let mut own = prometheus_client::registry::Registry::default();
    let counter = prometheus_client::metrics::counter::Counter::<u64>::default();
    own.register("ig_events_received", "Events received from gadgets", counter);
    let source =
        PageSource::new(registry, vec![("service.name".to_owned(), "ig".to_owned())], Some(Arc::new(own)));
    let (page, _) = read(&source, Format::Text);
    assert!(page.contains("ig_events_received_total 0\n"));
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// A program of Prometheus, if it is installed; says so where it is not.
pub(crate) fn tool(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; `tests/tools.sh test` installs it"))
}

/// Label values as they come from strangers.
struct Wild(Vec<[String; 2]>);

impl Labeler for Wild {
    fn render(&self, key: &[u8], index: usize, out: &mut String) {
        let n = u32::from_le_bytes(key.try_into().unwrap()) as usize;
        out.push_str(&self.0[n][index]);
    }
}

proptest! {
    /// Scenario: label names and values of any characters.
    /// Guarantees: both formats read back with the very values.
    #[test]
    fn any_text_survives(
        values in proptest::collection::vec(any::<[String; 2]>(), 1..20),
        names in any::<[String; 2]>(),
    ) {
        let (registry, _) = registry(100);
        let labels = names.iter().map(|name| LabelSpec { name: name.clone(), kind: LabelKind::Str }).collect();
        let spec = TableSpec { labels, ..spec("sc\"ope\n", vec![counter("c")], 100) };
        let table = registry.register(spec, Box::new(Wild(values.clone()))).unwrap().table;
        for n in 0..values.len() {
            let mut writer = table.write();
            let row = writer.row(&key(u32::try_from(n).unwrap()));
            writer.add_int(row, 0, 1);
        }
        let of = |labels: &BTreeMap<String, String>, name: &str| {
            labels.get(&names::label(name, false)).cloned().unwrap_or_default()
        };
        let collided = names::label(&names[0], false) == names::label(&names[1], false);
        for (format, family) in [(Format::Text, "c_total"), (Format::OpenMetrics, "c")] {
            let families = parse(&read(&source(&registry), format).0, format);
            let samples = &families[family].samples;
            prop_assert_eq!(families[family].sum(), values.len() as u64);
            for [first, second] in &values {
                let found = samples.iter().any(|(_, labels, _)| {
                    labels["otel_scope_name"] == "sc\"ope\n"
                        && (collided
                            || (of(labels, &names[0]) == *first && of(labels, &names[1]) == *second))
                });
                prop_assert!(found);
            }
        }
    }
}
