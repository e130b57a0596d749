use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use ig_model::otlp::{Compression, OtlpProtocol, OtlpSettings, Signal};
use ig_model::{InstrumentKind, Temporality};

use super::{Buckets, Exporters, LoadError, Loaded, Pull, RuntimeConfig, check_str_with, load, load_with};
use crate::{Fault, substitute::Environment, table::Status};

/// An environment that holds what a test says.
#[derive(Default)]
struct Fake {
    vars: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl Environment for Fake {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(ToString::to_string)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let text = self.files.get(path.to_str().unwrap()).map(ToString::to_string);
        text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn check(body: &str) -> Result<Loaded, LoadError> {
    let text = format!("apiVersion: 1\nkind: runtime-config\n{body}");
    check_str_with("dir/c.yaml", &text, &Fake::default())
}

fn config(body: &str) -> RuntimeConfig {
    check(body)
        .map_err(|error| error.faults.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap()
        .config
}

#[test]
fn silence_means_the_defaults() {
    assert_eq!(config(""), RuntimeConfig::default());
    assert_eq!(
        config("exporters: {prometheus: }\nimages:\nlimits: {}\ngadgets:\n"),
        RuntimeConfig::default()
    );
    let listen = RuntimeConfig::default().exporters.prometheus.unwrap().listen;
    assert_eq!(listen.to_string(), "127.0.0.1:2224");
    assert_eq!(config("exporters: {}").exporters.prometheus, None, "an empty section asks for no exporter");
}

/// Guarantees: what the tables state as defaults is what the types default to, key by key.
#[test]
fn written_defaults_change_nothing() {
    let written = |object: &crate::table::Object| {
        let keys = object.keys.iter().filter(|key| key.status == Status::Supported);
        let keys = keys.filter_map(|key| Some(format!("{}: {}", key.name, key.default?)));
        format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
    };
    let otlp = written(&super::tables::OTLP);
    let otlp = format!(
        "{{endpoint: http://a, retry: {}, queue: {}, {}",
        written(&super::tables::RETRY),
        written(&super::tables::QUEUE),
        &otlp[1..]
    );
    let body = format!(
        "exporters: {{prometheus: {}, otlp: {{o: {otlp}}}}}\nimages: {}\nlimits: {}\ngadgets: [{{name: a, image: b, {}]\n",
        written(&super::tables::PROMETHEUS),
        written(&super::tables::IMAGES),
        written(&super::tables::LIMITS),
        &written(&super::tables::GADGET)[1..],
    );
    let silent =
        "exporters: {prometheus: {}, otlp: {o: {endpoint: http://a}}}\ngadgets: [{name: a, image: b}]\n";
    assert_eq!(config(&body), config(silent));
    let gadget = &config(silent).gadgets[0];
    assert!(gadget.image_metrics && gadget.exporters.is_none() && gadget.interval.is_none());
    let expected =
        OtlpSettings { name: "o".to_owned(), endpoint: "http://a".to_owned(), ..OtlpSettings::default() };
    assert_eq!(config(silent).exporters.otlp["o"], expected);
}

#[test]
fn default_document_says_the_defaults() {
    let loaded = check_str_with("default.yaml", super::DEFAULT_DOCUMENT, &Fake::default()).unwrap();
    assert_eq!(loaded.config, RuntimeConfig::default());
}

#[test]
fn every_key_arrives() {
    let config = config(
        "exporters:
  prometheus: {listen: '[::1]:0'}
  otlp:
    main: {endpoint: https://h:1/p, protocol: http/protobuf, interval: 1m30s, timeout: 500ms, temporality: delta,
           compression: none, headers: {X-Key: v}, tls: {ca-file: ca.pem, server-name: s}, resource: {a.b: 1.50},
           retry: {initial: 2s, max: 4s, max-elapsed: 0}, queue: {max-bytes: 64KiB},
           endpoints: {metrics: 'https://h:1/in?k=v'}}
images: {pull: never, store: /s}
limits: {series-per-gadget: 1, series-total: 2, stale-after: 0}
log: {level: debug, format: json}
gadgets:
  - name: g
    image: i
    params: {a: 0x10, b: true, c: '1'}
    filter: x==1
    filter-expr: x == 1 or y
    interval: 2s
    annotate: ['ds:a=b']
    exporters: [main]
    limits: {series: 7}
    image-metrics: false
    metrics:
      - {name: h, type: histogram, datasource: d, field: f, unit: s, scale: 1e-9, description: text,
         labels: [a.b, {name: n, field: c}], buckets: [1, 2.5]}
",
    );
    let otlp = &config.exporters.otlp["main"];
    assert_eq!(
        (otlp.protocol, otlp.temporality, otlp.compression),
        (OtlpProtocol::HttpProtobuf, Temporality::Delta, Compression::None)
    );
    assert_eq!((otlp.interval, otlp.timeout), (Duration::from_secs(90), Duration::from_millis(500)));
    assert_eq!(otlp.headers["x-key"].expose(), "v");
    assert_eq!(otlp.url(Signal::Metrics).unwrap(), "https://h:1/in?k=v");
    assert_eq!(otlp.shown_endpoint(), "https://h:1/in");
    assert_eq!(otlp.tls.ca_file.as_deref(), Some(Path::new("dir/ca.pem")));
    assert_eq!(otlp.resource["a.b"], "1.50");
    assert_eq!(otlp.queue.max_bytes, 64 << 10);
    assert_eq!(otlp.retry.max_elapsed, Duration::ZERO);
    assert_eq!(config.images.pull, Pull::Never);
    assert_eq!(config.images.store.as_deref(), Some(Path::new("/s")));
    assert_eq!(config.limits.stale_after, Duration::ZERO);
    let gadget = &config.gadgets[0];
    let params: Vec<_> = gadget.params.values().map(String::as_str).collect();
    assert_eq!(params, ["0x10", "true", "1"]);
    assert_eq!((gadget.series_limit, gadget.image_metrics), (Some(7), false));
    assert_eq!(gadget.exporters.as_deref(), Some(&["main".to_owned()][..]));
    let metric = &gadget.metrics[0];
    assert_eq!((metric.kind, metric.scale), (InstrumentKind::Histogram, Some(1e-9)));
    assert_eq!(metric.buckets, Some(Buckets::Explicit(vec![1.0, 2.5])));
    let labels: Vec<_> = metric.labels.iter().map(|l| (l.name.as_str(), l.field.as_str())).collect();
    assert_eq!(labels, [("a.b", "a.b"), ("n", "c")]);
}

/// Guarantees: moving a gadget, or editing a comment, makes no other gadget of it; changing anything else does.
#[test]
fn gadgets_compare_without_their_place() {
    let gadgets = "gadgets: [{name: a, image: b, metrics: [{name: m, type: counter, labels: [x]}]}]";
    let moved = format!("# a comment\n\n{}", gadgets.replace("[{name: a", "[ {name: a"));
    assert_eq!(config(gadgets), config(&moved));
    assert_ne!(config(gadgets), config(&gadgets.replace("labels: [x]", "labels: [y]")));
    assert_ne!(config(gadgets), config(&gadgets.replace("image: b", "image: c")));
}

#[test]
fn buckets_read_round() {
    let bounds = Buckets::Exponential { start: 1e-6, factor: 10.0, count: 4 }.bounds();
    assert_eq!(bounds, [1e-6, 1e-5, 1e-4, 1e-3]);
    assert_eq!(Buckets::Linear { start: 0.1, width: 0.1, count: 3 }.bounds(), [0.1, 0.2, 0.3]);
}

/// Guarantees: substitution reaches text and nothing else, keeps types, and is not repeated on its own result.
#[test]
fn substitution_happens_in_text_leaves() {
    let environment = Fake {
        vars: BTreeMap::from([("A", "x: [1]"), ("EMPTY", ""), ("N", "5"), ("TWICE", "${A}")]),
        files: BTreeMap::from([("dir/s/token", "secret\n"), ("/abs", "a\r\n")]),
    };
    let body = "apiVersion: 1\nkind: runtime-config\ngadgets:\n  - name: g\n    image: img\n    params:\n      \
                a: ${A}\n      b: '${EMPTY:-d}-${NONE:-}-${EMPTY}'\n      c: $${A} $A {A}\n      \
                d: ${file:s/token}\n      e: ${file:/abs}\n      f: '${TWICE}'\n      ${A}: key\n";
    let text = body.replace("${A}: key", "k: v");
    let loaded = check_str_with("dir/c.yaml", &text, &environment).unwrap();
    let params: Vec<_> = loaded.config.gadgets[0].params.values().map(String::as_str).collect();
    assert_eq!(params, ["x: [1]", "d--", "${A} $A {A}", "secret", "a", "${A}", "v"]);
    let referenced: Vec<_> = loaded.referenced.iter().map(|file| file.path.as_path()).collect();
    assert_eq!(referenced, [Path::new("/abs"), Path::new("dir/s/token")]);
    let number = "apiVersion: 1\nkind: runtime-config\nlimits: {series-total: '${N}'}";
    let error = check_str_with("c.yaml", number, &environment).unwrap_err();
    assert_eq!(
        error.faults[0].to_string(),
        "c.yaml:3:24: limits.series-total: wrong type: text \"${N}\", expected a whole number from 1 to 100000000"
    );
}

/// Guarantees: neither a header nor a text put in from elsewhere shows in any form of a fault or of the values.
#[test]
fn secrets_stay_hidden() {
    let environment = Fake { files: BTreeMap::from([("/key", "hunter2")]), ..Fake::default() };
    let text = "apiVersion: 1\nkind: runtime-config\nexporters:\n  otlp:\n    a: {endpoint: '${file:/key}', \
                headers: {authorization: hunter2, x: [hunter2], y: \"hunter2\\n\", z: 'hunter2${'}}\n    \
                b: {endpoint: http://h, Headers: {authorization: hunter2}}\n";
    let error = check_str_with("c.yaml", text, &environment).unwrap_err();
    assert!(error.faults.len() >= 5, "{error:?}");
    for fault in &error.faults {
        let all = format!("{}{}{fault:?}", fault.long(), serde_json::to_string(fault).unwrap());
        assert!(!all.contains("hunter2"), "{all}");
    }
    for broken in ["headers: {authorization: 'hunter2}", "headers: {a: hunter2, a: hunter2}"] {
        let error = check(broken).unwrap_err();
        assert!(!error.faults[0].long().contains("hunter2"), "{}", error.faults[0].long());
    }
    let url = check("exporters: {otlp: {o: {endpoint: 'http://me:hunter2@h'}}}").unwrap_err();
    assert!(!url.faults[0].long().contains("hunter2"), "{}", url.faults[0].long());
    let good = config("exporters: {otlp: {o: {endpoint: http://h, headers: {authorization: hunter2}}}}");
    assert!(!format!("{good:?}").contains("hunter2"));
}

#[test]
fn manifests_become_gadgets() {
    let text = "apiVersion: 1\nkind: instance-spec\nimage: ghcr.io/x/trace_open:v1@sha256:00\nid: \
                0123456789abcdef0123456789abcdef\ntags: [a, 1]\nnodes: [n]\nparamValues: {a.b: 007, c: , d: yes}\nextra: 1\n\
                ---\napiVersion: 1\nkind: instance-spec\nimage: trace_open\n---\n\
                apiVersion: 1\nkind: instance-spec\nname: trace_open-2\nimage: trace_open\n";
    let loaded = check_str_with("m.yaml", text, &Fake::default()).unwrap();
    let names: Vec<_> = loaded.config.gadgets.iter().map(|gadget| gadget.name.as_str()).collect();
    assert_eq!(names, ["trace_open", "trace_open-3", "trace_open-2"], "written names come first");
    let gadget = &loaded.config.gadgets[0];
    assert_eq!(gadget.params.values().map(String::as_str).collect::<Vec<_>>(), ["007", "", "yes"]);
    let manifest = gadget.manifest.as_ref().unwrap();
    assert_eq!((manifest.tags.len(), manifest.nodes.len(), manifest.id.is_some()), (2, 1, true));
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].to_string(), "m.yaml:8:1: extra: unknown key is ignored");
    assert_eq!(loaded.config.exporters, Exporters::default());
}

#[test]
fn a_directory_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, body: &str| {
        fs::write(folder.path().join(name), format!("apiVersion: 1\nkind: runtime-config\n{body}")).unwrap();
    };
    write("b.yaml", "gadgets: [{name: two, image: i, exporters: [o]}]");
    write("a.yml", "gadgets: [{name: one, image: i}]\nlimits: {series-total: 5}");
    write("c.yaml", "exporters: {otlp: {o: {endpoint: http://h}}}");
    write(".hidden.yaml", "broken: [");
    write("notes.txt", "broken: [");
    let loaded = load(folder.path()).unwrap();
    let names: Vec<_> = loaded.config.gadgets.iter().map(|gadget| gadget.name.as_str()).collect();
    assert_eq!((names, loaded.config.limits.series_total, loaded.files.len()), (vec!["one", "two"], 5, 3));
    let hash = loaded.hash;
    assert_eq!((hash.len(), &hash), (64, &load(folder.path()).unwrap().hash));
    write("c.yaml", "exporters: {otlp: {o: {endpoint: http://h}}} # edited");
    assert_ne!(hash, load(folder.path()).unwrap().hash);

    write("d.yaml", "gadgets: [{name: one, image: i}]\nlimits: {series-total: 6}");
    let faults = load(folder.path()).unwrap_err().faults;
    let faults: Vec<_> = faults.iter().map(Fault::message).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("gadget name is taken \"one\", first at ") && faults[0].contains("a.yml:3:"));
    assert!(
        faults[1].contains("limits: section is given twice, first at ") && faults[1].contains("a.yml:4:1")
    );
}

/// Guarantees: the hash follows the files that are put in, so that a rotated secret is a change.
#[test]
fn hash_covers_files_put_in() {
    let hash = |secret| {
        let environment = Fake { files: BTreeMap::from([("/s", secret)]), ..Fake::default() };
        let text =
            "apiVersion: 1\nkind: runtime-config\ngadgets: [{name: a, image: b, params: {x: '${file:/s}'}}]";
        check_str_with("c.yaml", text, &environment).unwrap().hash
    };
    assert_ne!(hash("1"), hash("2"));
}

/// Guarantees: what cannot be read is refused with its name, and a pipe or device does not block or fill the memory.
#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |path: &Path| load_with(path, &Fake::default()).unwrap_err().faults.remove(0).to_string();
    let missing = folder.path().join("none.yaml");
    assert!(fault(&missing).starts_with(&format!("{}: failed to read: No such file", missing.display())));
    assert!(fault(folder.path()).contains("directory holds no documents, expected *.yaml or *.yml"));
    assert!(fault(Path::new("/dev/zero")).contains("not a regular file"));
    let binary = folder.path().join("b.yaml");
    fs::write(&binary, b"a: \xff").unwrap();
    assert!(fault(&binary).contains("not UTF-8 at byte 3"));
    fs::write(&binary, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(fault(&binary).contains("larger than"));
    fs::write(&binary, "# nothing\n").unwrap();
    assert!(fault(&binary).contains("file holds no document, expected kind: runtime-config"));
}

#[test]
fn many_faults_are_counted_not_kept() {
    let error = check(&format!("gadgets:\n{}", "  - {nam: a, x: y}\n".repeat(5_000))).unwrap_err();
    assert!(error.faults.len() <= 201, "{}", error.faults.len());
}
