//! C to objects, with the tools a gadget author has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Compiles `tests/programs/<name>.bpf.c`.
pub(crate) fn compile(name: &str) -> Vec<u8> {
    compile_with(name, &[])
}

/// The same with more arguments for the compiler.
pub(crate) fn compile_with(name: &str, arguments: &[&str]) -> Vec<u8> {
    compile_file(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/{name}.bpf.c")),
        arguments,
    )
}

/// Compiles any file.
pub(crate) fn compile_file(source: &Path, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("program.o");
    let run = Command::new("clang-19")
        .args([
            "-g",
            "-O2",
            "-Wall",
            "-Wno-missing-declarations",
            "-target",
            "bpf",
            "-D__TARGET_ARCH_x86",
            "-I/usr/include/x86_64-linux-gnu",
            "-c",
        ])
        .args(arguments)
        .arg(source)
        .arg("-I")
        .arg(headers())
        .arg("-o")
        .arg(&output)
        .output()
        .expect("clang-19 must be installed for the loader's tests");
    assert!(run.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&run.stderr));
    std::fs::read(output).unwrap()
}

/// Folder of `vmlinux.h`, made once from the kernel's own types.
fn headers() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loader-headers");
        std::fs::create_dir_all(&folder).unwrap();
        let run = Command::new("bpftool")
            .args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"])
            .output()
            .expect("bpftool must be installed for the loader's tests");
        assert!(run.status.success(), "bpftool: {}", String::from_utf8_lossy(&run.stderr));
        // Renamed: another run of these tests may be reading it.
        let mut file = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::io::Write::write_all(&mut file, &run.stdout).unwrap();
        file.persist(folder.join("vmlinux.h")).unwrap();
        folder
    })
}
