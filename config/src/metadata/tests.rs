use super::Metadata;

const TEXT: &str = "
name: trace open
homepageURL: https://example.test/
annotations:
  enable-containers-datasource: true
dataSources:
  Open:
    annotations:
      metrics.collect: true
      cli: {clear-screen-before: 1}
    tags: [one, 2]
    fields:
      proc.comm:
        annotations:
          columns.maxWidth: 16
          columns: {hidden: false, alignment: left}
      proc:
        pid:
          annotations: {metrics: {type: key}}
        comm:
          annotations: {never: seen}
      fname:
        annotations: {description: 'a name'}
        tags: a b
params:
  ebpf:
    targ_pid: {key: pid, defaultValue: 0x10, description: ~}
ebpfParams:
  old_one: {key: old}
paramDefaults:
  operator.oci.ebpf.map-fetch-interval: '0'
programs:
  ig_fn:
    attach_to: vfs_read
    sampler: {frequency: 49}
";

fn metadata() -> Metadata {
    Metadata::parse(TEXT).unwrap()
}

#[test]
fn keys_make_no_difference_of_case() {
    let metadata = metadata();
    assert_eq!(metadata.name(), Some("trace open"));
    assert_eq!(metadata.homepage_url(), Some("https://example.test/"));
    assert_eq!(metadata.datasource_names(), ["open"]);
    assert_eq!(metadata.datasource_annotations("OPEN")["metrics.collect"], "true");
    assert_eq!(metadata.get("Programs.ig_FN.Attach_To"), Some("vfs_read"));
}

/// Guarantees: dotted keys and nested keys are found by the same path, and the longest dotted key wins.
#[test]
fn paths_see_dotted_and_nested_keys() {
    let metadata = metadata();
    let comm = metadata.field_annotations("open", "proc.comm");
    assert_eq!(comm["columns.maxwidth"], "16");
    assert_eq!(comm["columns.hidden"], "false");
    assert!(!comm.contains_key("never"), "`proc.comm` wins over `proc: {{comm: ...}}`");
    assert_eq!(metadata.field_annotations("open", "proc.pid")["metrics.type"], "key");
    assert_eq!(metadata.get("datasources.open.fields.proc.comm.annotations.columns.maxWidth"), Some("16"));
    assert_eq!(metadata.datasource_annotations("open")["cli.clear-screen-before"], "1");
    assert!(metadata.field_annotations("open", "nothing").is_empty());
}

#[test]
fn single_values_read_as_text() {
    let metadata = metadata();
    assert_eq!(metadata.annotations()["enable-containers-datasource"], "true");
    assert_eq!(metadata.get("programs.ig_fn.sampler.frequency"), Some("49"));
    let param = metadata.ebpf_param("targ_PID").unwrap();
    assert_eq!((param.key.as_deref(), param.default_value.as_deref()), (Some("pid"), Some("16")));
    assert_eq!(param.description, None);
    assert_eq!(metadata.ebpf_param("old_one").unwrap().key.as_deref(), Some("old"));
    assert_eq!(metadata.ebpf_param("none"), None);
    assert_eq!(metadata.param_defaults()["operator.oci.ebpf.map-fetch-interval"], "0");
    let numbers = Metadata::parse("{a: 1.0, b: 1e3, c: 0.25, d: .inf, e: 1_0}").unwrap();
    let numbers: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|key| numbers.get(key).unwrap()).collect();
    assert_eq!(numbers, ["1", "1000", "0.25", "+Inf", "1_0"]);
}

#[test]
fn lists_read_as_lists() {
    let metadata = metadata();
    assert_eq!(metadata.datasource_tags("open"), ["one", "2"]);
    assert_eq!(metadata.field_tags("open", "fname"), ["a", "b"]);
    assert!(metadata.field_tags("open", "proc.comm").is_empty());
}

/// Guarantees: an override is what later look-ups find, whether the key was dotted, nested or new.
#[test]
fn overrides_win() {
    let mut metadata = metadata();
    for entry in [
        "open:metrics.collect=false",
        "open.proc.comm:columns.hidden=true",
        "open.proc.pid:metrics.type=gauge",
        "open.new.field:description=a=b:c",
        "other:x=",
    ] {
        metadata.annotate(entry).unwrap();
    }
    assert_eq!(metadata.datasource_annotations("open")["metrics.collect"], "false");
    let comm = metadata.field_annotations("open", "proc.comm");
    assert_eq!((comm["columns.hidden"].as_str(), comm["columns.maxwidth"].as_str()), ("true", "16"));
    assert_eq!(metadata.field_annotations("open", "proc.pid")["metrics.type"], "gauge");
    assert_eq!(metadata.field_annotations("open", "new.field")["description"], "a=b:c");
    assert_eq!(metadata.datasource_annotations("other")["x"], "");
    for bad in ["", "open", "open:key", ":key=value", "open:=value"] {
        assert!(metadata.annotate(bad).is_err(), "{bad}");
    }
}

#[test]
fn patches_merge_deeply() {
    let mut metadata = metadata();
    let mut patch =
        Metadata::parse("datasources: {open: {fields: {fname: {annotations: {Width: '{{w}}'}}}}}").unwrap();
    patch.try_map_text(|text| Ok::<_, ()>(text.replace("{{w}}", "9"))).unwrap();
    metadata.merge(patch);
    let name = metadata.field_annotations("open", "fname");
    assert_eq!((name["width"].as_str(), name["description"].as_str()), ("9", "a name"));
    assert_eq!(metadata.subtree("datasources.open").unwrap().list("tags").len(), 2);
}

#[test]
fn texts_that_are_no_metadata_are_refused() {
    assert!(Metadata::parse("").unwrap().datasource_names().is_empty());
    for text in ["- a", "just text", "a: [", "\u{0}", "a: 1\na: 2"] {
        let error = Metadata::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("failed to read gadget metadata: gadget.yaml:"), "{error}");
    }
}
