//! Types cut down to what an object asks, judged by the code that comes of them, and against bpftool.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use ig_kernel::btf::{Btf, Kind, vmlinux};
use ig_loader::core_relo::{CoreError, CoreKind, Relocator};
use ig_loader::{Object, min_btf::cut};
use ig_model::Insn;

use crate::compile::compile;
use crate::{loader_for_self, object, read_u64, trigger};

/// The test programs whose relocations are of any interest.
const PROGRAMS: [&str; 7] = ["core", "events", "maps", "traced", "user", "network", "poisoned"];

/// The code of each function after relocation, and what failed. Ids of target types become zero: they are those of
/// the block at hand.
fn relocated(object: &Object, target: &Btf) -> Vec<(String, Vec<Insn>, Vec<CoreError>)> {
    let mut relocator = Relocator::new(object.btf(), vec![target]);
    let functions = object.functions().map(|function| {
        let mut insns = function.insns.to_vec();
        let mut errors = Vec::new();
        for relocation in function.relocations {
            let answer = relocator.resolve(relocation).and_then(|mut fixup| {
                if relocation.kind == CoreKind::TypeIdTarget && fixup.value != 0 {
                    fixup.value = 1;
                }
                fixup.apply(&mut insns)
            });
            errors.extend(answer.err());
        }
        (function.name.to_owned(), insns, errors)
    });
    functions.collect()
}

/// What bpftool cuts for the same object.
fn bpftool(program: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("program.o"), folder.path().join("cut.btf"));
    fs::write(&input, program).unwrap();
    let run = Command::new("bpftool")
        .args(["gen", "min_core_btf", "/sys/kernel/btf/vmlinux"])
        .args([&output, &input])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read(output).unwrap()
}

fn parse(bytes: Vec<u8>) -> Btf {
    Btf::parse(Arc::<[u8]>::from(bytes), None).unwrap()
}

/// Scenario: programs with relocations of every kind, against the whole types of the running kernel, against ours, and
/// against those that bpftool cuts.
/// Guarantees: the instructions are the same in all three cases, ours are small, and the same each time.
#[test]
fn a_cut_relocates_like_the_whole() {
    let kernel = vmlinux().unwrap();
    for name in PROGRAMS {
        let program = compile(name);
        let object = Object::parse(name, &program).unwrap();
        let ours = cut(&object, &kernel).unwrap();
        let (whole, theirs) = (relocated(&object, &kernel), parse(bpftool(&program)));
        assert_eq!(ours, cut(&object, &kernel).unwrap(), "{name}");
        assert!(ours.len() < 64 << 10, "{name}: {} bytes", ours.len());
        assert_eq!(relocated(&object, &parse(ours)), whole, "{name}");
        assert_eq!(relocated(&object, &theirs), whole, "{name}: bpftool's cut");
    }
}

/// Scenario: a cut is cut again, and then read by bpftool.
/// Guarantees: nothing more can be left out, and it is BTF to others, too.
#[test]
fn a_cut_is_minimal_and_readable() {
    let kernel = vmlinux().unwrap();
    let object = object("core");
    let once = cut(&object, &kernel).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.btf");
    fs::write(&file, &once).unwrap();
    let small = parse(once.clone());
    assert_eq!(cut(&object, &small).unwrap(), once);
    let task = small.type_by_name("task_struct", Kind::Struct).and_then(|id| small.type_by_id(id)).unwrap();
    let task = task.as_composite().unwrap();
    assert!(task.member_count() < 16 && task.size > 1024, "size stays, members go");

    let mut command = Command::new("bpftool");
    let run =
        command.args(["btf", "dump", "file"]).arg(&file).env("PATH", "/usr/sbin:/usr/bin").output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && text.contains("'task_struct'"), "{text}");
}

/// Scenario: an object that relocates nothing.
/// Guarantees: the cut is a valid block without types.
#[test]
fn nothing_asked_is_nothing_kept() {
    let object = object("missing_hook");
    let cut = parse(cut(&object, &vmlinux().unwrap()).unwrap());
    assert_eq!(cut.types().count(), 0);
}

/// Scenario: a program with relocations of every kind is loaded with a cut in place of the kernel's types.
/// Guarantees: it passes the verifier, runs, and reads what it reads otherwise.
#[test]
fn a_cut_is_enough_to_run() {
    let object = object("core");
    let cut = parse(cut(&object, &vmlinux().unwrap()).unwrap());
    let mut loader = loader_for_self(&object);
    loader.set_kernel_btf(Arc::new(cut));
    let loaded = loader.load().unwrap_or_else(|error| panic!("{error:?}"));
    let link = loaded.attach("answer").unwrap();
    trigger(1);
    drop(link);
    assert_eq!(read_u64(&object, &loaded, "own_pid"), u64::from(std::process::id()));
    assert_eq!(read_u64(&object, &loaded, "parent_pid"), u64::from(std::os::unix::process::parent_id()));
    assert_eq!(read_u64(&object, &loaded, "enum_ringbuf"), 130);
}
