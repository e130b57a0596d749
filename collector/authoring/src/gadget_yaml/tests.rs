use std::{path::Path, process::Command};

use ig_config::{Fault, metadata::Metadata};
use ig_loader::Object;
use proptest::prelude::*;

use super::{Companion, Review, UpdateError, update, validate};

const PROGRAM: &str = r#"
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u32 gadget_errno;
typedef __u32 gadget_uid;
struct creds { gadget_uid uid; };
struct event { __u64 timestamp_raw; char comm[16]; gadget_errno error_raw; __u64 latency; struct creds creds; };
struct { int (*type)[27]; int (*max_entries)[4096]; } events __attribute__((section(".maps"), used));
const volatile _Bool wanted = 0;
const volatile char name[8] = {};
__u32 plain = 1;
static const volatile __u32 hidden = 7;
const void *gadget_tracer_opens___events___event __attribute__((used));
const void *gadget_param_wanted __attribute__((used));
const void *gadget_param_name __attribute__((used));
const struct event *unused __attribute__((used));
__attribute__((section("raw_tp/sys_enter"), used)) int on_enter(void *ctx) { return wanted + plain + hidden; }
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
"#;

fn object_of(source: &str) -> Object {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("p.bpf.c"), folder.path().join("p.o"));
    std::fs::write(&input, source).unwrap();
    let clang = if Path::new("/usr/bin/clang-19").exists() { "clang-19" } else { "clang" };
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-O2", "-g", "-c"]).arg(&input).arg("-o").arg(&output);
    assert!(command.status().expect("clang is needed: tests/tools.sh build installs it").success());
    Object::parse("p", &std::fs::read(&output).unwrap()).unwrap()
}

fn object() -> Object {
    object_of(PROGRAM)
}

fn review(text: &str) -> Review {
    validate(Some(&object()), Companion::None, "gadget.yaml", text)
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// Scenario: parameters without a variable, without a key, of variables that cannot be set, with a default that does
/// not fit, and one that is right.
/// Guarantees: what the reference's builder refuses is an error with line and column, all the rest is a warning.
#[test]
fn parameters_are_held_against_the_object() {
    let text = "name: x\nparams:\n  ebpf:\n    wanted: {key: wanted, defaultValue: maybe, descripton: x}\n    wantd: {key: w}\n    \
                name: {description: a}\n    plain: {key: p}\n    hidden: {key: h}\n";
    let review = review(text);
    assert_eq!(
        lines(&review.errors),
        [
            "gadget.yaml:5:5: params.ebpf.wantd: the object has no variable of this name \"wantd\"; did you mean \"wanted\"?",
            "gadget.yaml:6:5: params.ebpf.name: parameter has no key, expected `key`, the name that users set it by",
            "gadget.yaml:7:5: params.ebpf.plain: the variable is not `const volatile` \"plain\"; declare it `const volatile`, \
             so that it can be set before the program is verified",
            "gadget.yaml:8:5: params.ebpf.hidden: the variable is not global \"hidden\"; drop `static` from its definition",
        ]
    );
    assert_eq!(
        lines(&review.warnings),
        [
            "gadget.yaml:4:48: params.ebpf.wanted.descripton: unknown key has no effect; did you mean \"description\"?",
            "gadget.yaml:4:41: params.ebpf.wanted.defaultValue: default does not fit \"maybe\", expected bool",
        ]
    );
}

/// Scenario: names that nothing answers to: a data source, fields, a template, annotations, a program, a key.
/// Guarantees: each is a warning at its place that names the nearest one; names that operators make are fine.
#[test]
fn names_without_effect_are_pointed_out() {
    let text = "nmae: x\ndatasources:\n  open:\n    fields: {}\n  OPENS:\n    annotations: {metrics.colect: true, io.example/own: 1}\n    fields:\n      \
                latncy: {annotations: {template: pdi}}\n      error: {}\n      timestamp: {}\n      creds.user: {}\n      runtime.containerName: {}\n      \
                comm:\n        annotations: {columns.alignment: middle, columns.hidden: yes, columns: {width: wide}}\nprograms:\n  on_entr: {attach_to: x}\n";
    let review = review(text);
    assert!(review.errors.is_empty(), "{:?}", lines(&review.errors));
    let warnings = lines(&review.warnings);
    let expected = [
        "gadget.yaml:1:1: nmae: unknown key has no effect; did you mean \"name\"?",
        "gadget.yaml:3:3: datasources.open: the object has no data source of this name \"open\"; did you mean \"opens\"?",
        "gadget.yaml:6:19: datasources.OPENS.annotations.metrics.colect: unknown annotation has no effect; did you mean \"metrics.collect\"?",
        "gadget.yaml:8:7: datasources.OPENS.fields.latncy: the data source has no field of this name \"latncy\"; did you mean \"latency\"?",
        "gadget.yaml:8:40: datasources.OPENS.fields.latncy.annotations.template: unknown template has no effect \"pdi\"; did you mean \"pid\"?",
        "gadget.yaml:14:42: datasources.OPENS.fields.comm.annotations.columns.alignment: the annotation cannot have this value \"middle\", expected one of: left, right",
        "gadget.yaml:14:66: datasources.OPENS.fields.comm.annotations.columns.hidden: the annotation cannot have this value \"yes\", expected one of: true or false",
        "gadget.yaml:14:88: datasources.OPENS.fields.comm.annotations.columns.width: the annotation cannot have this value \"wide\", expected one of: a whole number or `type`",
        "gadget.yaml:16:3: programs.on_entr: the object has no program of this name \"on_entr\"; did you mean \"on_enter\"?",
    ];
    assert_eq!(warnings, expected, "{warnings:#?}");
    let with_wasm =
        validate(Some(&object()), Companion::Wasm, "gadget.yaml", "datasources: {made: {fields: {a: {}}}}");
    assert!(with_wasm.warnings.is_empty(), "a module may make anything");
}

/// Scenario: metrics of a gadget that Prometheus would see under one name, in one data source and in two; a name of the
/// collector's own.
/// Guarantees: each is an error at its place that names the other place; without `metrics.collect` nothing is wrong.
#[test]
fn metrics_that_would_hide_each_other_are_errors() {
    let text = |collect: bool| {
        format!(
            "datasources:\n  opens:\n    annotations: {{metrics.collect: {collect}, metrics.implicit-counter.name: opens}}\n    fields:\n      \
                latency: {{annotations: {{metrics.type: gauge, metrics.name: opens_total}}}}\n      \
                error: {{annotations: {{metrics.type: gauge, metrics.name: process_threads}}}}\n  other:\n    \
                annotations: {{metrics.collect: {collect}}}\n    fields:\n      \
                error: {{annotations: {{metrics.type: counter, metrics.name: opens}}}}\n"
        )
    };
    let errors = lines(&review(&text(true)).errors);
    assert_eq!(errors.len(), 3, "{errors:#?}");
    for (error, parts) in errors.iter().zip([
        ["gadget.yaml:5:7", "`opens_total`, which is part of the counter", "gadget.yaml:3:42"],
        ["gadget.yaml:6:7", "describe the collector's process", "another `metrics.name`"],
        ["gadget.yaml:10:7", "has the name of another metric", "gadget.yaml:3:42"],
    ]) {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    assert!(review(&text(false)).errors.is_empty());
}

/// Scenario: metrics of fields that cannot carry them, and histograms whose boundaries fall or are not numbers.
/// Guarantees: each is an error at the value.
#[test]
fn metrics_that_cannot_be_are_errors() {
    let one = |field: &str, annotations: &str| {
        let text =
            format!("datasources: {{opens: {{fields: {{{field}: {{annotations: {{{annotations}}}}}}}}}}}\n");
        lines(&review(&text).errors).join("\n")
    };
    assert!(one("comm", "metrics.type: counter").contains("expected a number as the field"));
    assert!(one("latency", "metrics.boundaries: '1,2,2'").contains("expected rising numbers, 2 follows 2"));
    assert!(one("latency", "metrics.boundaries: '1;2'").contains("numbers joined by commas"));
    assert!(one("latency", "metrics.boundaries: '1,inf'").contains("finite numbers"));
    assert!(one("latency", "metrics.scale: '-1'").contains("cannot take negative values"));
    assert_eq!(one("latency", "metrics.type: gauge, metrics.scale: '-1'"), "");
    assert_eq!(
        one("latency", "metrics.type: histogram, metrics.boundaries: '0.5, 1, 2e3', metrics.scale: 1e-9"),
        ""
    );
}

/// Scenario: texts that are no gadget.yaml, an object whose marker names what is not there.
/// Guarantees: a fault with a place, never a panic.
#[test]
fn broken_input_is_reported() {
    assert!(lines(&review("name: [").errors)[0].starts_with("gadget.yaml:1:"));
    assert!(lines(&review("- a").errors)[0].contains("expected a mapping"));
    assert!(lines(&review("a: 1\n---\nb: 2\n").errors)[0].contains("second document"));
    let wrong = object_of(&PROGRAM.replace("___events___event __", "___nothing___event __"));
    let review = validate(Some(&wrong), Companion::None, "gadget.yaml", "");
    assert!(review.errors.is_empty(), "an empty file says nothing that could be wrong");
    let review = validate(Some(&wrong), Companion::None, "gadget.yaml", "name: x\n");
    assert!(lines(&review.errors)[0].contains("there is no map `nothing`"), "{review:?}");
}

/// Scenario: no gadget.yaml at all.
/// Guarantees: the new one has every data source, field and parameter, is valid, and needs no second update.
#[test]
fn a_new_file_is_complete() {
    let object = object();
    let made = update(&object, None).unwrap();
    assert_eq!(
        made,
        "name: \"TODO: Fill the gadget name\"\ndescription: \"TODO: Fill the gadget description\"\n\
         homepageURL: \"TODO: Fill the gadget homepage URL\"\n\
         documentationURL: \"TODO: Fill the gadget documentation URL\"\n\
         sourceURL: \"TODO: Fill the gadget source code URL\"\ndatasources:\n  opens:\n    fields:\n"
            .to_owned()
            + &["timestamp_raw", "comm", "error_raw", "latency", "creds"].map(|field| format!(
                "      {field}:\n        annotations:\n          description: \"TODO: Fill field description\"\n"
            )).concat()
            + "params:\n  ebpf:\n    wanted:\n      key: wanted\n      description: \"TODO: Fill parameter description\"\n    \
               name:\n      key: name\n      description: \"TODO: Fill parameter description\"\n"
    );
    let review = validate(Some(&object), Companion::None, "gadget.yaml", &made);
    assert!(review.errors.is_empty() && review.warnings.is_empty(), "{review:?}");
    assert_eq!(update(&object, Some(&made)).unwrap(), made);
}

/// Scenario: a file with comments, odd order, unknown keys, braces, other case, block texts and half of the fields.
/// Guarantees: additions only; each line that was there is still there, in its order.
#[test]
fn an_update_only_adds() {
    let object = object();
    let text = "# mine\nname: x # short\ndescription: |\n  two\n  lines\n\nfuture: {kept: [1, 2]}\nhomepageURL:   # none yet\ndataSources:\n    Opens:\n        \
                fields:\n            # the name\n            comm: {annotations: {columns.width: 5}}\n            latency:\n                annotations:\n                    \
                description: >-\n                        long\n                        text\n\n# about parameters\nparams:\n  ebpf: {wanted: {key: w}}\nsourceURL: s\n";
    let done = update(&object, Some(text)).unwrap();
    let mut rest = done.lines();
    for line in text.lines().filter(|line| !line.contains("homepageURL") && !line.contains("ebpf:")) {
        assert!(rest.any(|other| other == line), "`{line}` is kept, in order:\n{done}");
    }
    let metadata = Metadata::parse(&done).unwrap();
    for field in ["timestamp_raw", "error_raw", "creds"] {
        assert_eq!(metadata.field_annotations("opens", field)["description"], "TODO: Fill field description");
    }
    assert_eq!(metadata.field_annotations("opens", "latency")["description"], "long text");
    assert_eq!(
        metadata.field_annotations("opens", "comm").len(),
        1,
        "what is described in any way is left alone"
    );
    assert_eq!(metadata.get("params.ebpf.wanted.description"), Some("TODO: Fill parameter description"));
    assert_eq!(metadata.get("params.ebpf.name.key"), Some("name"));
    assert_eq!(metadata.homepage_url(), Some("TODO: Fill the gadget homepage URL"));
    assert!(done.contains("homepageURL: \"TODO: Fill the gadget homepage URL\"   # none yet\n"), "{done}");
    assert_eq!(update(&object, Some(&done)).unwrap(), done);
    let crlf = update(&object, Some("name: x\r\n")).unwrap();
    assert!(crlf.lines().count() > 5 && crlf.matches("\r\n").count() == crlf.matches('\n').count());
}

/// Scenario: a list, a text or an explicit nothing stands where a mapping belongs.
/// Guarantees: no edit of a place that means two things; the error has the additions to make by hand.
#[test]
fn what_does_not_fit_is_given_out() {
    for text in ["params: [a]\n", "datasources: ~\n", "datasources: {opens: x}\n"] {
        match update(&object(), Some(text)) {
            Err(UpdateError::Unfit { additions }) => {
                assert!(additions.contains("timestamp_raw:"), "{additions}");
            }
            Ok(done) => panic!("{done}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Scenario: any mapping of a few keys, in any style.
/// Guarantees: an update either keeps all values and is complete, or is refused; validation never panics.
#[test]
fn any_file_is_completed_or_refused() {
    let object = object();
    let scalar = prop_oneof![
        Just(String::new()),
        Just("~".to_owned()),
        "[a-z]{1,6}",
        Just("'q: #'".to_owned()),
        Just("|\n   block\n   text".to_owned()),
        Just("[1, 2]".to_owned()),
        Just("{}".to_owned()),
        Just("{opens: {fields: {comm: {tags: [x]}}}, ebpf: {}}".to_owned()),
        Just("\n  opens:\n   fields:\n    comm:\n  ebpf:\n    wanted:\n      key: w".to_owned()),
    ];
    let key = prop_oneof![
        Just("name"),
        Just("datasources"),
        Just("params"),
        Just("other"),
        Just("homepageURL"),
        Just("DataSources"),
    ];
    proptest!(ProptestConfig::with_cases(300), |(entries in proptest::collection::vec((key, scalar), 0..5), end in "(\n| # c\n)?")| {
        let text: String = entries.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        let text = text.trim_end().to_owned() + &end;
        drop(validate(Some(&object), Companion::None, "g", &text));
        if let Ok(done) = update(&object, Some(&text)) {
            prop_assert_eq!(update(&object, Some(&done)).unwrap(), done.clone());
            for line in text.lines().filter(|line| !line.trim().is_empty() && !line.contains(['{', ':'])) {
                prop_assert!(done.contains(line), "{}", done);
            }
        }
    });
}
