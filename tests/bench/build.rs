//! What building an image costs beyond the compiler.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    options::Options,
    report::{Figure, Report},
};

/// The gadget that is built: of middling size, without WASM.
const GADGET: &str = "trace_tcp";

pub(crate) fn run(options: &Options, report: &mut Report) {
    report.section("build", "an image from a gadget's folder, kernel types cached, to its name in the store");
    let scratch = tempfile::tempdir().unwrap();
    let gadgets = ig_tests::root().join("gadgets");
    let header = scratch.path().join("vmlinux.h");
    let types = Command::new("bpftool")
        .args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    fs::write(header, types.stdout).unwrap();
    // Fills the caches of files and of kernel types.
    image(&gadgets, scratch.path());
    compiler(&gadgets, scratch.path());
    let (mut images, mut objects) = (Vec::new(), Vec::new());
    for _ in 0..options.pick(9, 3) {
        objects.push(timed(|| compiler(&gadgets, scratch.path())));
        images.push(timed(|| image(&gadgets, scratch.path())));
    }
    report.add(Figure::new(format!("image of {GADGET}"), "ms", images).against("clang alone", &objects));
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e3
}

fn image(gadgets: &Path, scratch: &Path) {
    let mut ig = Command::new(std::env::var_os("IG_BINARY").unwrap());
    ig.args(["image", "build", "-t", GADGET])
        .arg(gadgets.join(GADGET))
        .env("IG_STORE", scratch.join("store"));
    succeed(&mut ig);
}

fn compiler(gadgets: &Path, scratch: &Path) {
    let mut clang = Command::new("clang-19");
    clang
        .current_dir(gadgets.join(GADGET))
        .args(["-target", "bpf", "-Wall", "-O2", "-g", "-D__TARGET_ARCH_x86", "-c", "program.bpf.c", "-I"])
        .arg(scratch)
        .arg("-I")
        .arg(gadgets.join("include"))
        .args(["-I/usr/include/x86_64-linux-gnu", "-o"])
        .arg(scratch.join("program.o"));
    succeed(&mut clang);
}

fn succeed(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} failed with {status}");
}
