//! The gadgets of this repository, built as a user builds them.

use std::fs;
use std::path::Path;

use ig_authoring::build::{BuildRequest, Progress, build};
use ig_image::{Arch, Reference, Store};

/// Scenario: every folder of `gadgets/` that has a program is built for this machine.
/// Guarantees: neither the compiler nor the check of gadget.yaml has anything to say about them, and each image loads
/// with its object.
#[test]
fn every_gadget_builds_without_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path().join("store")).unwrap();
    let gadgets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gadgets");
    let mut built = 0;
    for entry in fs::read_dir(gadgets).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("program.bpf.c").exists() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let reference = Reference::parse(&name).unwrap();
        let request = BuildRequest {
            tag: Some(reference.clone()),
            cache: Some(scratch.path().join("cache")),
            ..BuildRequest::new(&folder)
        };
        let mut said = Vec::new();
        build(&store, &request, &mut |step| {
            if let Progress::Diagnostics { text } | Progress::Warning { text } = step {
                said.push(text.to_owned());
            }
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(said.is_empty(), "{name}: {}", said.join("\n"));
        assert!(store.load_gadget(&reference, Arch::host()).unwrap().ebpf.is_some(), "{name}");
        built += 1;
    }
    assert!(built > 0);
    assert_eq!(store.list().unwrap().len(), built);
}
