use super::*;

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Scenario: the manifest of an eBPF gadget, with annotations that need sorting and escaping.
/// Guarantees: key order, absence of `mediaType`, and escapes are those of the Go project, byte for byte.
#[test]
fn manifest_json_is_byte_exact() {
    let notes = annotations(&[("org.x.title", "a <b> & \u{2028}c\u{2029}\"\\\n\té"), ("a.first", "")]);
    let config = Descriptor { annotations: notes.clone(), ..Descriptor::of(METADATA, b"name: x\n") };
    let manifest = Manifest::gadget(config, vec![Descriptor::of(EBPF, b"elf")], notes);
    let notes = r#"{"a.first":"","org.x.title":"a \u003cb\u003e \u0026 \u2028c\u2029\"\\\n\té"}"#;
    let expected = format!(
        concat!(
            r#"{{"schemaVersion":2,"artifactType":"application/vnd.gadget.v1+binary","#,
            r#""config":{{"mediaType":"application/vnd.gadget.config.v1+yaml","digest":"{config}","size":8,"annotations":{notes}}},"#,
            r#""layers":[{{"mediaType":"application/vnd.gadget.ebpf.program.v1+binary","digest":"{layer}","size":3}}],"#,
            r#""annotations":{notes}}}"#
        ),
        config = Digest::of(b"name: x\n"),
        layer = Digest::of(b"elf"),
        notes = notes
    );
    let written = to_json(&manifest).unwrap();
    assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
    assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), manifest);
}

/// Scenario: a gadget without metadata, layers or annotations.
/// Guarantees: the empty config carries its data inline, `layers` is `[]`, nothing else appears.
#[test]
fn empty_manifest_json_is_byte_exact() {
    let manifest = Manifest::gadget(Descriptor::empty(), Vec::new(), Annotations::new());
    let expected = concat!(
        r#"{"schemaVersion":2,"artifactType":"application/vnd.gadget.v1+binary","#,
        r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","#,
        r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"#,
        r#""layers":[]}"#
    );
    assert_eq!(String::from_utf8(to_json(&manifest).unwrap()).unwrap(), expected);
}

/// Scenario: an index of two architectures.
/// Guarantees: the index has its media type; entries put annotations before platform.
#[test]
fn index_json_is_byte_exact() {
    let notes = annotations(&[("k", "v")]);
    let entry = |arch| Descriptor {
        annotations: notes.clone(),
        platform: Some(Platform::linux(arch)),
        ..Descriptor::of(MANIFEST, b"m")
    };
    let index = Index::of(vec![entry(Arch::Amd64), entry(Arch::Arm64)], notes.clone());
    let entry_json = |arch: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":1,"annotations":{{"k":"v"}},"platform":{{"architecture":"{arch}","os":"linux"}}}}"#,
            Digest::of(b"m")
        )
    };
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}],"annotations":{{"k":"v"}}}}"#,
        entry_json("amd64"),
        entry_json("arm64")
    );
    assert_eq!(String::from_utf8(to_json(&index).unwrap()).unwrap(), expected);
}

/// Scenario: documents by other writers: `null` members, unknown keys, no artifact type.
/// Guarantees: they are read.
#[test]
fn foreign_documents_are_read() {
    let manifest: Manifest = serde_json::from_str(
        r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"d","size":1,"annotations":null},"layers":null,"future":[1]}"#,
    )
    .unwrap();
    assert!(manifest.layers.is_empty() && manifest.artifact_type.is_empty());
}
