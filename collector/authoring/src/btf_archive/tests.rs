use std::fs;
use std::path::Path;
use std::process::Command;

use ig_image::Arch;
use ig_image::btfgen::{Kernel, select};

use super::*;

const UBUNTU: &str = "ID='ubuntu'\nVERSION_ID=\"20.04\"\n";

/// An object that relocates one access, made by clang.
fn object(folder: &Path) -> Vec<u8> {
    let source = "struct task_struct { int tgid; } __attribute__((preserve_access_index));\n\
                  __attribute__((section(\"raw_tp/sys_enter\"), used)) int f(struct task_struct *t) { return t->tgid; }\n\
                  char LICENSE[] __attribute__((section(\"license\"), used)) = \"GPL\";\n";
    let (input, output) = (folder.join("p.c"), folder.join("p.o"));
    fs::write(&input, source).unwrap();
    let clang = if Path::new("/usr/bin/clang-19").exists() { "clang-19" } else { "clang" };
    let mut command = Command::new(clang);
    let command = command.args(["-target", "bpf", "-O2", "-g", "-c"]).arg(&input).arg("-o").arg(&output);
    assert!(command.status().unwrap().success(), "clang is needed: tests/tools.sh build installs it");
    fs::read(output).unwrap()
}

/// Scenario: an archive with the running kernel's types as xz (by the real tools) and as they are, for two machines,
/// and a file where none belongs; then broken ones.
/// Guarantees: one small file for each kernel of the machine, the same bytes each time, found at run time; broken files
/// are named.
#[test]
fn an_archive_becomes_a_layer() {
    let scratch = tempfile::tempdir().unwrap();
    let object = object(scratch.path());
    let archive = scratch.path().join("archive");
    let folder = |name: &str| {
        let folder = archive.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let vmlinux = ig_kernel::btf::VMLINUX_PATH;
    let types = fs::read(vmlinux).unwrap();
    let (ubuntu, arm) = (folder("ubuntu/20.04/x86_64"), folder("debian/11/arm64"));
    fs::write(ubuntu.join("5.4.0-90-generic.btf"), &types).unwrap();
    fs::write(arm.join("5.10.0-1.btf"), &types).unwrap();
    fs::write(archive.join("lost.btf"), "").unwrap();
    let packed = Command::new("tar")
        .current_dir(&ubuntu)
        .args(["-cJf", "4.15.0-1-generic.btf.tar.xz", "--transform=s/.*/4.15.0-1-generic.btf/"])
        .arg("5.4.0-90-generic.btf")
        .status()
        .unwrap();
    assert!(packed.success(), "tar and xz-utils are needed: tests/tools.sh test installs them");

    let mut steps = Vec::new();
    let mut each = |path: &Path, number, count| steps.push((path.to_owned(), number, count));
    let made = pack(&object, &archive, Arch::Amd64, &mut each).unwrap();
    assert_eq!((made.kernels, made.misplaced.as_slice()), (2, [archive.join("lost.btf")].as_slice()));
    assert_eq!((steps.len(), steps[1].1, steps[1].2), (2, 2, 2));
    assert!(made.layer.len() < 4096, "{} bytes", made.layer.len());
    assert_eq!(pack(&object, &archive, Arch::Amd64, &mut |_, _, _| {}).unwrap(), made);
    for release in ["5.4.0-90-generic", "4.15.0-1-generic"] {
        let cut = select(made.layer.as_slice(), &Kernel::new(UBUNTU, "x86_64", release)).unwrap();
        let cut = Btf::parse(cut, None).unwrap();
        assert!(cut.types_by_name("task_struct").next().is_some());
    }
    let arm = pack(&object, &archive, Arch::Arm64, &mut |_, _, _| {}).unwrap();
    let debian = Kernel::new("ID=debian\nVERSION_ID=\"11\"", "aarch64", "5.10.0-1");
    assert!(select(arm.layer.as_slice(), &debian).is_ok());

    let broken = ubuntu.join("6.1.0.btf.tar.xz");
    for content in [&b"text"[..], b"\xfd7zXZ\0\0\x04\xff\xff\xff\xff"] {
        fs::write(&broken, content).unwrap();
        let error = pack(&object, &archive, Arch::Amd64, &mut |_, _, _| {}).unwrap_err();
        assert!(error.to_string().contains("6.1.0.btf.tar.xz"), "{error}");
    }
    let nowhere = pack(&object, &scratch.path().join("none"), Arch::Amd64, &mut |_, _, _| {}).unwrap_err();
    assert!(matches!(nowhere, PackError::Read { .. }));
}
