//! Parameters as users, images and manifests write them, against what programs and operators are told.

use std::collections::BTreeMap;

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, InstanceSpec},
};
use ig_datasource::{DataSource, Field, Origin, Param, ParamDesc, ParamType, SourceKind};
use ig_model::FieldKind;
use ig_operators::{Operators, arrange, fetch, filter};

use super::{Settings, customise, forget_order, resolve};
use crate::{plan::draft::check, status::Reason};

fn param(key: &str, kind: ParamType, default: &str) -> Param {
    Param {
        key: key.to_owned(),
        variable: format!("targ_{key}"),
        kind,
        default: default.to_owned(),
        description: format!("the {key}"),
    }
}

fn params() -> Vec<Param> {
    vec![
        param("pid", ParamType::Scalar(FieldKind::Int32), "0"),
        param("comm", ParamType::Text(4), ""),
        param("suffix", ParamType::Text(4), "ab"),
        param("odd", ParamType::Opaque(2), ""),
    ]
}

/// An event source with a pid that is tied to the parameter, and a map.
fn sources() -> Vec<DataSource> {
    let mut pid = Field::new("pid", FieldKind::Uint32, 0, 4);
    pid.annotations.insert("filter.param".into(), "pid".into());
    let tracer = Origin::Tracer { map: "events".into() };
    let map = Origin::MapIterator { map: "counts".into(), key_size: 4, value_size: 4 };
    vec![
        DataSource { fields: vec![pid], ..DataSource::new("open", SourceKind::Single, tracer, 8) },
        DataSource::new("top", SourceKind::Array, map, 8),
    ]
}

fn gadget(values: &[(&str, &str)]) -> Gadget {
    let params = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Gadget { params, ..Gadget::default() }
}

fn resolved(values: &[(&str, &str)], metadata: &str) -> Settings {
    settled(&gadget(values), &Metadata::parse(metadata).unwrap(), &sources())
}

/// Settings after the operators have checked theirs.
fn settled(gadget: &Gadget, metadata: &Metadata, sources: &[DataSource]) -> Settings {
    let operators = Operators::standard();
    let mut settings = resolve(&operators, gadget, &params(), metadata, sources);
    let reasons = check(&operators, gadget, sources, &mut settings.operators);
    settings.faults.extend(reasons.iter().map(Reason::text));
    settings
}

/// Scenario: an image prefers an order; nobody watches, with and without a limit, and with an order of the user's.
/// Guarantees: the order is forgotten where nothing depends on it, so that a collector sorts for nobody.
#[test]
fn an_order_for_eyes_is_forgotten() {
    use arrange::{MAX_ENTRIES, NAME, SORT};

    let metadata = Metadata::parse("paramDefaults: {operator.sort.sort: -sent}").unwrap();
    let sort = |values: &[(&str, &str)]| {
        let mut settings = settled(&gadget(values), &metadata, &sources());
        assert_eq!(settings.faults, Vec::<String>::new());
        forget_order(&metadata, &mut settings);
        settings.operators.of(NAME).get(SORT).map(str::to_owned)
    };
    assert_eq!(sort(&[]), None);
    assert_eq!(sort(&[(MAX_ENTRIES, "-1")]), None);
    assert_eq!(sort(&[(MAX_ENTRIES, "5")]).as_deref(), Some("-sent"));
    assert_eq!(sort(&[(SORT, "received")]).as_deref(), Some("received"));
}

fn faults(values: &[(&str, &str)]) -> String {
    resolved(values, "").faults.join("\n")
}

/// Scenario: short and full names in any case, values equal to the default, the image's own defaults.
/// Guarantees: the user's value wins over `paramDefaults`, these over the variable's own; what nobody sets is left
/// alone, but for texts that gadget.yaml gives.
#[test]
fn variables_get_their_bytes() {
    let nothing = resolved(&[], "");
    assert_eq!(nothing.variables, BTreeMap::from([("targ_suffix".into(), b"ab\0\0".to_vec())]));
    let defaults = "paramDefaults: {Operator.OCI.ebpf.PID: 7, operator.oci.ebpf.nothing: 1}";
    assert_eq!(resolved(&[], defaults).variables["targ_pid"], 7_i32.to_ne_bytes());
    let user = resolved(&[("operator.oci.ebpf.pid", "8"), ("COMM", "sh")], defaults);
    assert_eq!(
        (user.variables["targ_pid"].as_slice(), user.variables["targ_comm"].as_slice()),
        (&8_i32.to_ne_bytes()[..], &b"sh\0\0"[..])
    );
    assert!(
        !resolved(&[("pid", "0")], defaults).variables.contains_key("targ_pid"),
        "back to the object's own"
    );
    assert!(resolved(&[("odd", "")], "").faults.is_empty(), "what it has anyway need not fit");
    assert_eq!(resolved(&[("odd", "xy")], "").variables["targ_odd"], b"xy");
}

/// Scenario: unknown names, values that do not fit, in a configuration and in a manifest of the reference.
/// Guarantees: each is named with the nearest name or what would be right; a manifest gets a warning for a name that
/// is not known, and none is silent.
#[test]
fn wrong_parameters_are_named() {
    for (name, value, expected) in [
        ("pdi", "1", "unknown parameter `pdi`; did you mean `pid`? (the image has: pid, comm, suffix, odd)"),
        ("operator.filter.filtr", "x", "did you mean `operator.filter.filter`"),
        ("pid", "x", "invalid value `x` for parameter `pid`: expected int32"),
        ("comm", "12345", "expected a string of at most 4 bytes"),
        ("odd", "x", "expected a text of exactly 2 bytes"),
        ("map-fetch-interval", "5", "`5` is no duration"),
        ("map-fetch-interval", "5s,top:6s", "mixes a value for all data sources"),
        ("map-fetch-count", "tpo:6", "data source `tpo`, which does not exist; did you mean `top`?"),
        ("max-entries", "-2", "`-2` is no limit"),
        ("operator.sort.sort", "open:pid", "data source `open` is a stream of single events"),
    ] {
        let text = faults(&[(name, value)]);
        assert!(text.contains(expected), "{name}={value}: {text}");
    }
    let both = faults(&[("map-fetch-interval", "0"), ("map-fetch-count", "2")]);
    assert!(both.contains("`top` cannot be read more than once without an interval"), "{both}");
    let manifest = Gadget { manifest: Some(InstanceSpec::default()), ..gadget(&[("pdi", "1")]) };
    let settings = settled(&manifest, &Metadata::default(), &sources());
    assert!(settings.faults.is_empty() && settings.warnings[0].contains("unknown parameter `pdi`"));
    let without_effect = resolved(&[("operator.LocalManager.host", "true")], "");
    assert!(without_effect.faults.is_empty() && without_effect.warnings[0].contains("has no effect"));
}

/// Scenario: operators' parameters for all data sources and for single ones.
/// Guarantees: each data source is told its own; what is not said is not told.
#[test]
fn operators_are_told() {
    let settings = resolved(
        &[
            ("filter", "a==1"),
            ("operator.filter.filter.open", "b==2"),
            ("filter-expr", "a == 1"),
            ("operator.filter.filter-expr.top", "b == 2"),
            ("sort", "top:-pid"),
            ("max-entries", "top:20"),
            ("map-fetch-interval", "500ms"),
            ("map-fetch-count", "top:3"),
            ("operator.otel-metrics.otel-metrics-name", "top:mine,open:"),
        ],
        "datasources: {}",
    );
    let Settings { operators, faults, .. } = settings;
    // No data source has metrics, so there is no such parameter.
    assert!(faults.len() == 1 && faults[0].contains("otel-metrics-name"), "{faults:?}");
    let params = |name| operators.of(name);
    let gadget = Gadget::default();
    assert_eq!(filter::rules(&gadget, params(filter::NAME), "open"), ["a==1", "b==2"]);
    assert_eq!(filter::rules(&gadget, params(filter::NAME), "top"), ["a==1"]);
    assert_eq!(params(filter::NAME).get("operator.filter.filter-expr.top"), Some("b == 2"));
    assert_eq!(params("arrange").get(arrange::SORT), Some("top:-pid"));
    assert_eq!(params("arrange").get(arrange::MAX_ENTRIES), Some("top:20"));
    assert_eq!(params("fetch").get(fetch::COUNT), Some("top:3"));
    assert_eq!(params("arrange").get(fetch::COUNT), None, "nobody is told what is another's");
    let never = resolved(&[], "paramDefaults: {operator.oci.ebpf.map-fetch-interval: '0'}").operators;
    assert_eq!(never.of("fetch").get(fetch::INTERVAL), Some("0"));
    let private = [("operator.env.env-vars", "HOME")];
    assert_eq!(resolved(&private, "").operators.of("env").get("operator.env.env-vars"), Some("HOME"));
    let of_image = resolved(&[], "paramDefaults: {operator.env.env-vars: HOME}").operators;
    assert_eq!(of_image.of("env").get("operator.env.env-vars"), None, "no image opens the environment");
}

/// Scenario: an equality on the field that the author tied to a parameter, and rules that only look alike.
/// Guarantees: the program is told only what it cannot get wrong.
#[test]
fn filters_run_in_the_kernel_where_that_is_safe() {
    let told = |filter: &str, values: &[(&str, &str)], sources: &[DataSource]| {
        let gadget = Gadget { filter: Some(filter.to_owned()), ..gadget(values) };
        let settings = settled(&gadget, &Metadata::default(), sources);
        settings.variables.get("targ_pid").cloned()
    };
    let one = &sources()[..1];
    let seven = Some(7_i32.to_ne_bytes().to_vec());
    assert_eq!(told("comm!=x,PID==7", &[], one), seven);
    assert_eq!(told("", &[("operator.filter.filter", "pid=7")], one), seven);
    for rule in ["pid!=7", "pid>=7", "pid==0", "pid==x", "other==7", "pid==4294967295"] {
        assert_eq!(told(rule, &[], one), None, "{rule}");
    }
    assert_eq!(told("pid==7", &[("pid", "0")], one), None, "the user has a say");
    assert_eq!(told("pid==7", &[], &sources()), None, "the parameter is for all data sources");
}

/// Scenario: a gadget with parameters of every kind and defaults of its own.
/// Guarantees: the list has them all once, with types, defaults and the image's wishes; custom ones change gadget.yaml.
#[test]
fn everything_is_described() {
    let text = "paramDefaults: {operator.limiter.max-entries: 20}\nparams:\n  wasm: {w: {key: depth, type: uint8}}\n  \
                custom: {every: {defaultValue: 3s, patch: {operator: {process: {interval: '{{call .getParamValue \
                \"custom.every\"}}'}}}}}\n";
    let mut metadata = Metadata::parse(text).unwrap();
    let sources = sources();
    let described = settled(&Gadget::default(), &metadata, &sources).described;
    let find = |key: &str| described.iter().find(|param| param.full_key() == key).unwrap();
    assert_eq!(find("operator.oci.ebpf.pid").type_hint, "int32");
    assert_eq!(find("operator.oci.wasm.depth").type_hint, "uint8");
    assert_eq!(find("custom.every").default_value, "3s");
    assert_eq!(find("operator.limiter.max-entries").default_value, "20");
    let mut keys: Vec<String> = described.iter().map(ParamDesc::full_key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), described.len());

    customise(&gadget(&[("every", "5s")]), &mut metadata).unwrap();
    assert_eq!(metadata.get("operator.process.interval"), Some("5s"));
    assert!(
        settled(&gadget(&[("custom.every", "5s"), ("depth", "9")]), &metadata, &sources).faults.is_empty()
    );
    let depth = settled(&gadget(&[("depth", "256")]), &metadata, &sources).faults;
    assert!(depth[0].contains("expected uint8"), "{depth:?}");
}
