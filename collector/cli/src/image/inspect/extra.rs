//! The map of everything known about an image, with the keys and forms of the Go project.

use std::collections::BTreeMap;

use ig_image::manifest::{CREATED, to_json};
use ig_loader::{FunctionCode, MapType, Object, core_relo::Relocator};
use serde::Serialize;
use serde_json::{Value, json};

use super::{diagram, disassemble::disassemble, facts::Facts};
use crate::failure::Failure;

const JSON: &str = "application/json";
const YAML: &str = "text/yaml";
const PLAIN: &str = "text/plain";
const MERMAID: &str = "text/mermaid";

/// One entry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) content: String,
    pub(super) content_type: &'static str,
}

impl Entry {
    fn new(content: impl Into<String>, content_type: &'static str) -> Self {
        Self { content: content.into(), content_type }
    }

    /// The content as a document if its type is one.
    pub(super) fn document(&self) -> Option<Result<Value, Failure>> {
        match self.content_type {
            JSON => Some(serde_json::from_str(&self.content).map_err(|error| Failure::new(&error))),
            YAML => Some(from_yaml(&self.content)),
            _ => None,
        }
    }
}

/// All entries by key.
pub(super) fn map(facts: &Facts, image: &str) -> BTreeMap<String, Entry> {
    let mut map = BTreeMap::new();
    // As the Go project does: an image without any layer has nothing to tell.
    if facts.manifest.layers.is_empty() {
        return map;
    }
    let mut put = |key: &str, entry| map.insert(key.to_owned(), entry);
    let manifest = to_json(&facts.manifest).unwrap_or_default();
    put("oci.manifest", Entry::new(String::from_utf8_lossy(&manifest), JSON));
    put("oci.metadata", Entry::new(facts.gadget.metadata.as_deref().unwrap_or("{}"), YAML));
    let (repository, tag) = written(image);
    put("oci.repository", Entry::new(repository, PLAIN));
    put("oci.tag", Entry::new(tag, PLAIN));
    put("oci.digest", Entry::new(&facts.manifest.config.digest, PLAIN));
    let created = facts.gadget.annotations.get(CREATED).map_or("", String::as_str);
    put("oci.created", Entry::new(created, PLAIN));
    if let Some(object) = &facts.object {
        let sections = facts.gadget.ebpf.as_deref().and_then(|bytes| ig_loader::section_names(bytes).ok());
        put("ebpf.sections", document(&sections.unwrap_or_default()));
        put("ebpf.maps", document(&maps(object)));
        put("ebpf.programs", document(&programs(facts, object)));
        put("ebpf.variables", document(&variables(object)));
        put("ebpf.flowchart", Entry::new(diagram::flowchart(object), MERMAID));
        put("ebpf.sequence", Entry::new(diagram::sequence(object), MERMAID));
    }
    if let Some(module) = &facts.module {
        if let Some(version) = module.version {
            put("wasm.gadgetAPIVersion", Entry::new(version.to_string(), PLAIN));
        }
        put("wasm.upcalls", document(&module.upcalls));
    }
    map
}

fn document(value: &impl Serialize) -> Entry {
    Entry::new(serde_json::to_string(value).unwrap_or_default(), JSON)
}

/// Repository and tag as they were typed, without what short names stand for.
fn written(image: &str) -> (&str, &str) {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// Maps as authors wrote them, without those that hold variables.
fn maps(object: &Object) -> Vec<Value> {
    let maps = object.maps().iter().filter(|map| !map.name.starts_with('.'));
    maps.map(|map| json!({ "Name": map.name, "Type": type_name(map.kind) })).collect()
}

fn variables(object: &Object) -> Vec<Value> {
    let variables = object.variables().iter();
    variables
        .map(|v| json!({ "Name": v.name, "Offset": v.offset, "Size": v.size, "Map": v.section }))
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Program<'a> {
    section: &'a str,
    source: String,
    source_with_relocation: String,
}

/// Programs with their code as compiled and as the running kernel's types make it.
fn programs<'f>(facts: &Facts, object: &'f Object) -> Vec<Program<'f>> {
    let kernel = facts.kernel();
    let targets = kernel.iter().map(AsRef::as_ref).collect();
    let mut relocator = Relocator::new(object.btf(), targets);
    let functions = object.functions().filter(|function| function.section != ".text");
    functions
        .map(|function| Program {
            section: function.section,
            source: disassemble(function.insns),
            source_with_relocation: relocated(&function, &mut relocator),
        })
        .collect()
}

fn relocated(function: &FunctionCode<'_>, relocator: &mut Relocator<'_>) -> String {
    let mut insns = function.insns.to_vec();
    for relocation in function.relocations {
        // What cannot be relocated stays as it was compiled; loading is what judges it.
        if let Ok(fixup) = relocator.resolve(relocation) {
            drop(fixup.apply(&mut insns));
        }
    }
    disassemble(&insns)
}

/// A YAML text as JSON.
fn from_yaml(text: &str) -> Result<Value, Failure> {
    use ig_config::yaml::{Node, ScalarKind, Value as Yaml};
    fn convert(node: &Node) -> Value {
        match &node.value {
            Yaml::Mapping(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), convert(&entry.value))).collect()
            }
            Yaml::Sequence(items) => items.iter().map(convert).collect(),
            Yaml::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => Value::Null,
                ScalarKind::Bool(truth) => Value::from(truth),
                ScalarKind::Int(number) => {
                    i64::try_from(number).map_or_else(|_wide| Value::from(scalar.text.as_str()), Value::from)
                }
                ScalarKind::Float(number) => Value::from(number),
                ScalarKind::Text => Value::from(scalar.text.as_str()),
            },
        }
    }
    let documents = ig_config::yaml::read("gadget.yaml", text).map_err(|faults| {
        Failure::text(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    Ok(documents.first().map_or(Value::Null, |document| convert(&document.root)))
}

/// Names of map types as the Go library spells them.
pub(super) fn type_name(kind: MapType) -> String {
    const NAMES: [&str; 34] = [
        "UnspecifiedMap",
        "Hash",
        "Array",
        "ProgramArray",
        "PerfEventArray",
        "PerCPUHash",
        "PerCPUArray",
        "StackTrace",
        "CGroupArray",
        "LRUHash",
        "LRUCPUHash",
        "LPMTrie",
        "ArrayOfMaps",
        "HashOfMaps",
        "DevMap",
        "SockMap",
        "CPUMap",
        "XSKMap",
        "SockHash",
        "CGroupStorage",
        "ReusePortSockArray",
        "PerCPUCGroupStorage",
        "Queue",
        "Stack",
        "SkStorage",
        "DevMapHash",
        "StructOpsMap",
        "RingBuf",
        "InodeStorage",
        "TaskStorage",
        "BloomFilter",
        "UserRingbuf",
        "CgroupStorage",
        "Arena",
    ];
    NAMES.get(kind.0 as usize).map_or_else(|| format!("MapType({})", kind.0), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{from_yaml, written};

    /// Guarantees: repository and tag are what was typed; a port is not a tag.
    #[test]
    fn names_are_taken_as_typed() {
        assert_eq!(written("trace_exec"), ("trace_exec", "latest"));
        assert_eq!(written("host:5000/a"), ("host:5000/a", "latest"));
        assert_eq!(written("host:5000/a:v1@sha256:00"), ("host:5000/a", "v1"));
    }

    /// Guarantees: YAML becomes the same values in JSON.
    #[test]
    fn yaml_becomes_json() {
        let json = from_yaml("a: [1, 1.5, true, ~, 'x']\nb: {c: 0x10}\n").unwrap();
        assert_eq!(json, serde_json::json!({"a": [1, 1.5, true, null, "x"], "b": {"c": 16}}));
    }
}
