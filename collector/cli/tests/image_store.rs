//! The commands around the local image store, as scripts use them.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ig_image::manifest::{
    Annotations, CREATED, Descriptor, EBPF, Index, MANIFEST, METADATA, Manifest, Platform, to_json,
};
use ig_image::{Arch, Reference, Store};

const FULL: &str = "ghcr.io/inspektor-gadget/gadget/g:latest";

fn ig(store: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["image", "--store"])
        .arg(store)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must succeed; answers what it prints to standard output and to standard error.
fn ok(store: &Path, arguments: &[&str]) -> (String, String) {
    let output = ig(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Puts an image into a store, built at a time that does things to terminals; answers its digest.
fn put_image(store: &Path, name: &str) -> String {
    let store = Store::open(store).unwrap();
    let notes = Annotations::from([(CREATED.to_owned(), "\u{1b}[2J<now>".to_owned())]);
    let config = store.put_blob(METADATA, b"name: g\n").unwrap();
    let layer = store.put_blob(EBPF, b"\x7fELF").unwrap();
    let manifest = to_json(&Manifest::gadget(config, vec![layer], notes.clone())).unwrap();
    let entry = store.put_blob(MANIFEST, &manifest).unwrap();
    let entry = Descriptor { platform: Some(Platform::linux(Arch::host())), ..entry };
    let name = Reference::parse(name).unwrap();
    store.put_index(&Index::of(vec![entry], notes), Some(&name)).unwrap().to_string()
}

/// Scenario: an image is listed in every form, into a pipe.
/// Guarantees: keys and order are those that scripts know; hostile text is escaped; compact JSON ends without a line
/// break.
#[test]
fn list_prints_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert_eq!(ok(&store, &["list", "-o", "json"]).0, "[]");
    let digest = put_image(&store, "g");
    let row = format!(
        r#"{{"Repository":"g","Tag":"latest","Digest":"{digest}","Created":"\u001b[2J\u003cnow\u003e"}}"#
    );
    assert_eq!(ok(&store, &["ls", "-o", "json"]).0, format!("[{row}]"));
    let columns = format!("REPOSITORY TAG DIGEST CREATED\ng latest {digest} \\u{{1b}}[2J<now>\n");
    assert_eq!(ok(&store, &["list"]).0, columns);
    assert_eq!(ok(&store, &["list", "--no-trunc"]).0, columns);
    let yaml = ok(&store, &["list", "-o", "yaml"]).0;
    assert!(yaml.contains("  \"Tag\": \"latest\"\n") && !yaml.contains('\u{1b}'), "{yaml}");
    let pretty = ok(&store, &["list", "-o", "jsonpretty"]).0;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap()[0]["Digest"], digest);
}

/// Scenario: an image is tagged, exported, removed by both names, imported again.
/// Guarantees: messages are the reference's, on the stream where it prints them; wrong usage exits with 2.
#[test]
fn images_travel_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = (folder.path().join("store"), folder.path().join("g.tar"));
    let digest = put_image(&store, "g");
    let tagged = ok(&store, &["tag", "g", "localhost:5000/h:v1"]);
    assert_eq!(tagged, (String::new(), format!("Successfully tagged with localhost:5000/h:v1@{digest}\n")));
    let path = file.to_str().unwrap();
    let exported = ok(&store, &["export", "g", "localhost:5000/h:v1", path]);
    assert_eq!(exported.1, format!("Successfully exported images to {path}\n"));
    assert_eq!(ok(&store, &["rm", "g", "localhost:5000/h:v1"]).1.lines().count(), 2);
    assert_eq!(fs::read_dir(store.join("blobs/sha256")).unwrap().count(), 0);
    let imported = ok(&store, &["import", path]);
    assert_eq!(imported.0, format!("Successfully imported images:\n  {FULL}\n  localhost:5000/h:v1\n"));
    assert_eq!(ok(&store, &["import", "-o", "json", path]).0, format!(r#"["{FULL}","localhost:5000/h:v1"]"#));

    let limited = ig(&store, &["import", "--max-bytes", "100", path]);
    assert_eq!(limited.status.code(), Some(1));
    assert!(text(&limited.stderr).contains("hint: "), "{}", text(&limited.stderr));
    assert_eq!(ig(&store, &["tag", "g", &format!("h@{digest}")]).status.code(), Some(2));
    assert_eq!(ig(&store, &["rm", "UPPER CASE"]).status.code(), Some(2));
    let missing = ig(&store, &["rm", "missing"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("missing:latest` is not in the store"));
}

/// Scenario: a blob is damaged, the index is torn; the store is checked, repaired, cleared of garbage.
/// Guarantees: exit statuses tell sound from hurt from lost; the repair says what is lost; afterwards all is sound.
#[test]
fn stores_are_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let digest = put_image(&store, "g");
    assert!(ok(&store, &["fsck"]).0.starts_with("1 names, 4 blobs, "));
    fs::write(store.join("index.json"), "{\"manifests\":[").unwrap();
    assert_eq!(ig(&store, &["list"]).status.code(), Some(1));
    let found = ig(&store, &["fsck"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stderr).contains("--repair"));
    let repaired = ig(&store, &["fsck", "--repair"]);
    assert_eq!(repaired.status.code(), Some(1), "the name is lost");
    assert!(text(&repaired.stdout).contains(&format!("ig image tag image@{digest} NAME")));
    ok(&store, &["tag", &format!("image@{digest}"), "g"]);
    ok(&store, &["fsck"]);

    fs::write(store.join("blobs/sha256").join("0".repeat(64)), "garbage").unwrap();
    let repaired = ok(&store, &["fsck", "--repair"]).0;
    assert!(repaired.contains("the file is removed"), "{repaired}");
    put_image(&store, "g");
    let Output { status, stderr, .. } = ig(&store, &["gc", "--older-than", "0s", "--dry-run"]);
    assert!(status.success() && text(&stderr).contains("would remove 0 files"), "{}", text(&stderr));
}
