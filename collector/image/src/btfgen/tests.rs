use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use ig_model::Hint as _;
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

const UBUNTU: &str = "NAME=x\nID='ubuntu'\nVERSION_ID=\"20.04\"\nVERSION_ID_LIKE=9\n";

fn kernel(machine: &str) -> Kernel {
    Kernel::new(UBUNTU, machine, "5.4.0-90-generic")
}

/// A tar.gz with entries of any kind.
fn layer(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        // Set by hand: the library refuses names such as `..`.
        let place = &mut header.as_old_mut().name;
        place[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn files(names: &[&str]) -> Vec<u8> {
    let entries: Vec<_> = names.iter().map(|name| (*name, EntryType::Regular, name.as_bytes())).collect();
    layer(&entries)
}

fn selected(layer: &[u8], machine: &str) -> Result<String, String> {
    let found = select(layer, &kernel(machine));
    found.map(|content| String::from_utf8(content).unwrap()).map_err(|error| error.to_string())
}

/// Scenario: the same kernel in layers of the intended form, with `./`, with the other name of the machine, and flat.
/// Guarantees: each is found, the intended form before the flat one, and no other kernel's types are taken for it.
#[test]
fn every_form_of_layer_is_read() {
    let exact = "ubuntu/20.04/x86_64/5.4.0-90-generic.btf";
    assert_eq!(selected(&files(&["5.4.0-90-generic.btf", exact]), "x86_64").unwrap(), exact);
    assert_eq!(
        selected(&files(&["./ubuntu/20.04/x86_64/5.4.0-90-generic.btf"]), "x86_64").unwrap(),
        format!("./{exact}")
    );
    let arm = "ubuntu/20.04/arm64/5.4.0-90-generic.btf";
    assert_eq!(selected(&files(&[exact, arm]), "aarch64").unwrap(), arm);
    assert_eq!(selected(&files(&["./5.4.0-90-generic.btf"]), "x86_64").unwrap(), "./5.4.0-90-generic.btf");
    let others = ["ubuntu/18.04/x86_64/5.4.0-90-generic.btf", "x/5.4.0-90-generic.btf", arm];
    assert!(selected(&files(&others), "x86_64").is_err());
}

/// Scenario: a layer without types for the kernel.
/// Guarantees: the error names the file that was looked for, the hint what there is for the same distribution.
#[test]
fn a_miss_names_the_file() {
    let layer = files(&["ubuntu/20.04/x86_64/5.4.0-91-generic.btf", "debian/11/x86_64/5.10.0-1.btf"]);
    let error = select(layer.as_slice(), &kernel("x86_64")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image brings no types for this kernel: `ubuntu/20.04/x86_64/5.4.0-90-generic.btf` is not among the 2 files \
         of its BTF layer"
    );
    assert!(error.hint().unwrap().contains("5.4.0-91-generic.btf"));
    assert!(
        select(files(&[]).as_slice(), &kernel("x86_64")).unwrap_err().hint().unwrap().contains("--btfgen")
    );
}

/// Scenario: entries that lead out, links, devices, names without end, no gzip, half a file, gigabytes of zeros.
/// Guarantees: each is refused with its name or its bound; memory stays that of one entry.
#[test]
fn hostile_layers_are_refused() {
    let wanted = ("ubuntu/20.04/x86_64/5.4.0-90-generic.btf", EntryType::Regular, &b"x"[..]);
    let rows = [
        (("../x.btf", EntryType::Regular, &b""[..]), "leads out of the archive"),
        (("/etc/x.btf", EntryType::Regular, b""), "has an absolute name"),
        (("a/../../x", EntryType::Directory, b""), "leads out"),
        (("x", EntryType::Symlink, b""), "is a link"),
        (("x", EntryType::Link, b""), "is a link"),
        (("x", EntryType::Block, b""), "is neither a file nor a folder"),
        (("x", EntryType::Fifo, b""), "is neither a file nor a folder"),
        (("x", EntryType::GNULongName, &[b'a'; 8192]), "absurd length"),
    ];
    for (entry, expected) in rows {
        let error = selected(&layer(&[entry, wanted]), "x86_64").unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(selected(b"text", "x86_64").is_err());
    let whole = layer(&[wanted]);
    assert!(selected(&whole[..whole.len() / 2], "x86_64").is_err());

    // A header that announces a terabyte, and a stream of zeros that never ends on its own.
    let mut header = Header::new_gnu();
    header.set_path("x.btf").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut gzip, header.as_bytes()).unwrap();
    let error = selected(&gzip.finish().unwrap(), "x86_64").unwrap_err();
    assert!(error.contains("larger than the types of any kernel"), "{error}");
}

/// Scenario: any bytes, and any bytes within a gzip stream.
/// Guarantees: an answer, never a panic.
#[test]
fn any_bytes_are_survived() {
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..2048))| {
        prop_assert!(select(bytes.as_slice(), &kernel("x86_64")).is_err());
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut gzip, &bytes).unwrap();
        drop(select(gzip.finish().unwrap().as_slice(), &kernel("x86_64")));
    });
}

/// Guarantees: quotes of both kinds go, the last assignment counts, and what is not there is empty.
#[test]
fn os_release_is_read_like_a_shell_would() {
    let kernel = Kernel::new("ID=\"centos\"\nID=arch\nPRETTY_NAME=x\n", "x86_64", "6");
    assert_eq!((kernel.id.as_str(), kernel.version_id.as_str()), ("arch", ""));
    assert_eq!(kernel.file(), "arch//x86_64/6.btf");
    assert!(!Kernel::running(Path::new("/")).unwrap().release.is_empty());
    assert!(
        Kernel::running(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere/etc/os-release")
    );
}
