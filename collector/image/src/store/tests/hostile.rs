//! Images that are damaged, or made to do damage.

use ig_model::Hint as _;
use proptest::prelude::*;

use super::*;
use crate::manifest::BTFGEN;

fn blob_path(store: &Store, content: &[u8]) -> PathBuf {
    blob::path(store.path(), Digest::of(content))
}

/// Overwrites a blob, which is read-only on disk.
pub(super) fn overwrite(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

pub(super) fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn load(store: &Store) -> Result<Gadget, LoadImageError> {
    store.load_gadget(&name("g"), Arch::Amd64)
}

/// Scenario: the object's blob is cut short, flipped in one bit, removed, replaced by a folder or by a pipe.
/// Guarantees: each is a distinct, clear error and not a hang; building again repairs what can be repaired.
#[test]
fn damaged_blobs_are_refused() {
    let (_folder, store) = store();
    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    let path = blob_path(&store, OBJECT);

    overwrite(&path, &OBJECT[..5]);
    let error = load(&store).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(
        chain(&error),
        format!(
            "failed to load the eBPF object of image `ghcr.io/inspektor-gadget/gadget/g:latest`: \
             blob `{}` has 5 bytes, expected 12",
            path.display()
        )
    );
    assert!(error.hint().unwrap().contains("ig image build PATH -t g"));

    let mut flipped = OBJECT.to_vec();
    flipped[7] ^= 1;
    overwrite(&path, &flipped);
    assert!(chain(&load(&store).unwrap_err()).contains("is damaged, its content has digest sha256:"));

    fs::remove_file(&path).unwrap();
    assert!(chain(&load(&store).unwrap_err()).contains("failed to read blob"));

    make_pipe(&path);
    assert!(chain(&load(&store).unwrap_err()).contains("not a regular file"));

    put_image(&store, Some("g"), &[(EBPF, OBJECT)]);
    assert!(load(&store).is_ok());

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(chain(&load(&store).unwrap_err()).contains("not a regular file"));
}

/// Scenario: manifests that announce too much, two objects, unknown layers, odd digests, or no text.
/// Guarantees: too much is refused before it is read; unknown layers only warn.
#[test]
fn odd_manifests_are_refused_or_warned_about() {
    let (_folder, store) = store();
    let config = store.put_blob(METADATA, YAML).unwrap();
    let object = store.put_blob(EBPF, OBJECT).unwrap();
    let other = store.put_blob(EBPF, b"other").unwrap();
    let archive = store.put_blob(BTFGEN, b"btf").unwrap();
    let with = |config: &Descriptor, layers: &[&Descriptor]| {
        let layers = layers.iter().map(|layer| (*layer).clone()).collect();
        put_manifest(&store, Some("g"), &Manifest::gadget(config.clone(), layers, Annotations::new()));
        load(&store)
    };

    let error = with(&config, &[&object, &other]).unwrap_err();
    assert!(error.to_string().ends_with("has more than one eBPF object"));

    let huge = Descriptor { size: u64::MAX, ..object.clone() };
    assert!(chain(&with(&config, &[&huge]).unwrap_err()).contains("more than the 67108864 allowed"));

    let escape = Descriptor { digest: "sha256:../../../../etc/passwd".to_owned(), ..object.clone() };
    assert!(chain(&with(&config, &[&escape]).unwrap_err()).contains("is not a digest"));

    let unknown = Descriptor { media_type: "application/x-future".to_owned(), ..escape };
    let gadget = with(&config, &[&unknown, &object, &archive]).unwrap();
    assert_eq!(gadget.warnings, ["layer of unknown media type `application/x-future` is skipped"]);
    assert_eq!(store.read_layer(&gadget.btfgen.unwrap()).unwrap(), b"btf");

    let bytes = store.put_blob(METADATA, b"\xff\xfe").unwrap();
    assert!(with(&bytes, &[]).unwrap_err().to_string().contains("is not UTF-8 text"));
}

/// Scenario: an image for one other architecture, an index without platforms, a bare manifest under a name.
/// Guarantees: the error lists what there is.
#[test]
fn wrong_platforms_are_named() {
    let (_folder, store) = store();
    let manifest = to_json(&Manifest::gadget(Descriptor::empty(), Vec::new(), Annotations::new())).unwrap();
    let entry = store.put_blob(MANIFEST, &manifest).unwrap();
    let arm = Descriptor { platform: Some(Platform::linux(Arch::Arm64)), ..entry.clone() };
    store.put_index(&Index::of(vec![entry.clone(), arm], Annotations::new()), Some(&name("g"))).unwrap();
    let error = load(&store).unwrap_err();
    assert!(error.to_string().ends_with("has no manifest for amd64, only for: arm64"), "{error}");
    assert!(error.hint().unwrap().ends_with("-t g --arch amd64`"));

    store.put_index(&Index::of(vec![entry.clone()], Annotations::new()), Some(&name("g"))).unwrap();
    assert!(load(&store).unwrap_err().to_string().ends_with("only for: none"));

    store.tag(&name(&format!("x@{}", entry.digest)), &name("g")).unwrap();
    assert!(load(&store).unwrap_err().to_string().ends_with(&format!("but `{MANIFEST}`")));
}

/// Scenario: the store's own index is cut short, huge, deeply nested, or of the wrong shape.
/// Guarantees: reading and writing refuse it and leave it as it is.
#[test]
fn damaged_index_is_refused() {
    let (_folder, store) = store();
    let path = store.path().join("index.json");
    for content in ["{", "[]", "{\"schemaVersion\":2,\"manifests\":[{}]}", &"[".repeat(100_000), ""] {
        fs::write(&path, content).unwrap();
        assert_eq!(store.resolve(&name("g")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(store.list().unwrap_err().hint().is_some());
        assert!(store.put_index(&Index::of(Vec::new(), Annotations::new()), None).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(store.list().unwrap_err().to_string().contains("1099511627776 bytes"));
    fs::remove_file(&path).unwrap();
    assert!(store.list().unwrap().is_empty());
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        Just(format!("\"{}\"", Digest::of(YAML))),
        Just(format!("\"{EBPF}\"")),
        "[ -~]{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let key = prop_oneof![
        Just("schemaVersion"),
        Just("mediaType"),
        Just("config"),
        Just("layers"),
        Just("manifests"),
        Just("digest"),
        Just("size"),
        Just("annotations"),
        Just("platform"),
        Just("architecture"),
        Just("subject"),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Scenario: index and manifest are arbitrary JSON of the right words, or arbitrary bytes, with right digests.
    /// Guarantees: loading and listing give an answer or an error; never a panic.
    #[test]
    fn hostile_documents_never_panic(index in any_json(), manifest in any_json(), bytes in any::<Vec<u8>>()) {
        let (_folder, store) = store();
        store.put_blob(METADATA, YAML).unwrap();
        let wrapped = {
            let entry = store.put_blob(MANIFEST, manifest.as_bytes()).unwrap();
            let entry = Descriptor { platform: Some(Platform::linux(Arch::Amd64)), ..entry };
            to_json(&Index::of(vec![entry], Annotations::new())).unwrap()
        };
        for content in [index.as_bytes(), &bytes, &wrapped] {
            let entry = store.put_blob(manifest::INDEX, content).unwrap();
            layout::try_update_index(store.path(), |index| list_entry(index, entry, Some(&name("g").to_string()))).unwrap();
            prop_assert!(load(&store).is_ok() || load(&store).unwrap_err().to_string().contains("gadget/g"));
            prop_assert_eq!(store.list().unwrap().len(), 1);
        }
        fs::write(store.path().join("index.json"), &index).unwrap();
        prop_assert!(store.list().is_ok() || store.list().unwrap_err().kind() == ErrorKind::Corrupt);
    }
}
