//! What is fuzzed: one function for each parser that reads hostile bytes.
//!
//! Why it exists: objects, types, gadget.yaml, configurations and manifests come from others and are read by a root
//! process. A target gets any bytes and must return: no panic, no hang, no memory beyond what the size of the input
//! explains. Some check a property on the way, such as that what is written reads back.
//!
//! libFuzzer drives the targets (`make fuzz`); the test `corpus` replays the committed inputs, those that once broke
//! something among them, on each run of the tests.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::path::Path;

use ig_config::metadata::Metadata;
use ig_config::runtime::check_str_with;
use ig_config::substitute::Environment;
use ig_image::Reference;
use ig_image::manifest::{Index, Manifest, to_json};

mod expression;
mod gadget;
mod image;
mod object;
mod record;
mod trust;

/// A parser under test.
pub type Target = fn(&[u8]);

/// All targets by name; a folder of `corpus/` belongs to each.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", image::archive),
    ("btf", object::btf),
    ("btf_ext", object::btf_ext),
    ("btf_layer", gadget::btf_layer),
    ("config", config),
    ("expression", expression::expression),
    ("gadget_yaml", gadget::gadget_yaml),
    ("index", image::index),
    ("manifest", manifest),
    ("metadata", metadata),
    ("min_btf", object::min_btf),
    ("object", object::object),
    ("object_types", object::types_of_object),
    ("record", record::record),
    ("packet_filter", packet_filter),
    ("reference", reference),
    ("relocation", object::relocation),
    ("image_policy", trust::image_policy),
    ("signature", trust::signature),
    ("signing_key", trust::signing_key),
    ("sources", object::sources),
    ("symbol_file", symbol_file),
    ("trust_policy", trust::trust_policy),
];

/// One target by name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Texts are bytes that happen to be UTF-8; others never reach these parsers.
fn text(bytes: &[u8], parse: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        parse(text);
    }
}

/// gadget.yaml, and all that the runtime asks of it.
fn metadata(bytes: &[u8]) {
    text(bytes, |text| {
        let Ok(mut metadata) = Metadata::parse(text) else { return };
        black_box((
            metadata.name(),
            metadata.description(),
            metadata.annotations(),
            metadata.param_defaults(),
        ));
        let sources: Vec<String> = metadata.datasource_names().into_iter().map(str::to_owned).collect();
        for source in &sources {
            black_box((metadata.datasource_annotations(source), metadata.datasource_tags(source)));
            black_box((metadata.field_annotations(source, "a.b"), metadata.field_tags(source, "a")));
            // An override may be refused, but must not break the tree.
            drop(metadata.annotate(&format!("{source}.field:key.of=value")));
        }
        black_box(metadata.ebpf_param("variable"));
        metadata.merge(metadata.clone());
        black_box((metadata.wasm_params(), metadata.custom_params()));
        // A patch may be refused, but must not break the tree.
        drop(metadata.apply_custom_params(&BTreeMap::from([("custom.a".to_owned(), "b".to_owned())])));
    });
}

/// An expression of tcpdump's language: compiled to a bounded number of instructions, or refused within the text.
fn packet_filter(bytes: &[u8]) {
    text(bytes, |text| match ig_packet_filter::compile(text) {
        Ok(insns) => assert!(insns.len() <= 32_010, "{} instructions", insns.len()),
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.column()), "{error}"),
    });
}

/// Executables and libraries: segments, symbols, debug information, demangled names.
fn symbol_file(bytes: &[u8]) {
    // Most are refused.
    drop(ig_symbols::check_symbol_file(bytes));
}

/// A runtime configuration, without the environment and the files of this machine.
fn config(bytes: &[u8]) {
    struct Sealed;
    impl Environment for Sealed {
        fn var(&self, name: &str) -> Option<String> {
            name.starts_with('A').then(|| "a: [b]\n# c".to_owned())
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            if path.as_os_str().len().is_multiple_of(2) {
                Ok("text".to_owned())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        }
    }
    text(bytes, |text| match check_str_with("fuzz.yaml", text, &Sealed) {
        Ok(loaded) => assert!(!loaded.hash.is_empty(), "an accepted configuration has a hash"),
        Err(error) => {
            assert!(!error.faults.is_empty(), "a refusal has a reason");
            for fault in &error.faults {
                black_box((fault.message(), fault.long()));
            }
        }
    });
}

/// Manifests and indexes; what was read is written in a form that reads back as the same.
fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let again = to_json(&manifest).and_then(|json| serde_json::from_slice::<Manifest>(&json));
        assert!(again.is_ok_and(|again| again == manifest), "a manifest reads back as written");
    }
    if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
        let again = to_json(&index).and_then(|json| serde_json::from_slice::<Index>(&json));
        assert!(again.is_ok_and(|again| again == index), "an index reads back as written");
    }
}

/// Names of images; a name that was accepted is accepted in its full form, too.
fn reference(bytes: &[u8]) {
    text(bytes, |text| {
        if let Ok(reference) = Reference::parse(text) {
            let full = reference.to_string();
            assert!(Reference::parse(&full).is_ok_and(|again| again == reference), "{full} reads back");
        }
    });
}
