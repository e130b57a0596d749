//! Custom parameters of a gadget.yaml against the tree they make of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Metadata, template};

const TEXT: &str = "
name: top process
operator:
  process: {interval: 60s}
params:
  wasm:
    first: {key: min, defaultValue: 10, description: Least, type: uint32, possibleValues: [10, 20]}
    second: {}
  custom:
    Interval:
      description: Time between reports
      defaultValue: 3s
      patch:
        operator: {process: {interval: '{{call .getParamValue \"custom.interval\"}}'}}
    mode:
      defaultValue: brief
      alias: m
      values:
        brief: {patch: {datasources: {p: {annotations: {note: '{{ call .getConfig `name` }}!'}}}}}
        full: {patch: {dataSources: {P: {annotations: {note: all}}}}}
        none: {}
      patch: {datasources: {p: {annotations: {note: generic}}}}
    useless: {description: without patch}
";

fn patched(params: &[(&str, &str)]) -> Result<Metadata, String> {
    let mut metadata = Metadata::parse(TEXT).unwrap();
    let params = params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    metadata.apply_custom_params(&params).map_err(|error| error.to_string())?;
    Ok(metadata)
}

/// Scenario: custom and WASM parameters with all, some and no words about them.
/// Guarantees: each is described as written; a custom one that does nothing is left out.
#[test]
fn parameters_are_described() {
    let metadata = Metadata::parse(TEXT).unwrap();
    let custom = metadata.custom_params();
    let keys: Vec<&str> = custom.iter().map(|param| param.key.as_str()).collect();
    assert_eq!(keys, ["interval", "mode"]);
    assert_eq!((custom[0].default_value.as_str(), custom[0].possible_values.len()), ("3s", 0));
    assert_eq!(
        (custom[1].alias.as_str(), custom[1].possible_values.join(" ")),
        ("m", "brief full none".into())
    );
    let wasm = metadata.wasm_params();
    assert_eq!((wasm[0].key.as_str(), wasm[0].type_hint.as_str()), ("min", "uint32"));
    assert_eq!((wasm[0].possible_values.join(" "), wasm[1].key.as_str()), ("10 20".into(), "second"));
}

/// Scenario: values that are given in any case, left to the default, emptied, and without a patch of their own.
/// Guarantees: the patch of the value counts, else the one for all; templates see parameters and the tree.
#[test]
fn values_patch_the_tree() {
    let default = patched(&[]).unwrap();
    assert_eq!(default.get("operator.process.interval"), Some("3s"));
    assert_eq!(default.get("datasources.p.annotations.note"), Some("top process!"));
    let given = patched(&[("custom.interval", "1m"), ("CUSTOM.Mode", "Full")]).unwrap();
    assert_eq!(given.get("operator.process.interval"), Some("1m"));
    assert_eq!(given.datasource_annotations("p")["note"], "all");
    let generic = patched(&[("custom.interval", ""), ("custom.mode", "none")]).unwrap();
    assert_eq!(generic.get("operator.process.interval"), Some("60s"));
    assert_eq!(generic.get("datasources.p.annotations.note"), Some("generic"));
}

/// Scenario: a value that does not exist, and templates that cannot be expanded.
/// Guarantees: each is refused by name, with what would be right.
#[test]
fn wrong_values_and_templates_are_named() {
    let error = patched(&[("custom.mode", "ful")]).unwrap_err();
    assert_eq!(
        error,
        "invalid value `ful` for parameter `custom.mode`: expected one of brief, full, none; did you mean `full`?"
    );
    let expand = |text: &str| template::expand(text, &BTreeMap::new(), &Metadata::default());
    for wrong in ["{{if x}}", "{{.name}}", "{{call .getConfig}}", "{{call .getConfig \"a\" | upper}}", "{{}}"]
    {
        let error = expand(wrong).unwrap_err().to_string();
        assert!(error.contains("is not supported") && error.contains(wrong), "{error}");
    }
    assert!(expand("a {{call `}}").unwrap_err().to_string().contains("no closing"));
    assert_eq!(expand("a {{- /* note */ -}} b{{\"}}\\\"\"}}{{`\\`}}c").unwrap(), "ab}}\"\\c");
}

proptest! {
    /// Scenario: any text as a template.
    /// Guarantees: no panic; a text without braces is itself.
    #[test]
    fn any_text_is_read(text in "[{}\"`\\\\ a-z./*-]{0,40}") {
        let expanded = template::expand(&text, &BTreeMap::new(), &Metadata::default());
        if !text.contains("{{") {
            prop_assert_eq!(expanded, Ok(text));
        }
    }
}
