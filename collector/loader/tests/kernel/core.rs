//! CO-RE relocations, judged by what programs see.

use ig_kernel::btf::{Kind, vmlinux};

use crate::{loader_for_self, object, read_u64, read_variable, trigger};

/// Scenario: a program asks each kind of relocation about types whose flavours are shuffled, absent or wrong.
/// Guarantees: existence is two plus zero or one as the kernel's types have it, values are those of the kernel.
#[test]
fn each_kind_of_relocation_is_answered() {
    let object = object("core");
    let loaded = loader_for_self(&object).load().unwrap_or_else(|error| panic!("{error:?}"));
    let links = ["answer", "bits"].map(|name| loaded.attach(name).unwrap());
    trigger(1);
    assert_eq!(read_u64(&object, &loaded, "bits_value"), 2);
    // Sets the very bit that the program reads.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    trigger(1);
    drop(links);

    let read = |name| read_u64(&object, &loaded, name);
    let btf = vmlinux().unwrap();
    let task = btf.type_by_name("task_struct", Kind::Struct).unwrap();
    assert_eq!(read("own_pid"), u64::from(std::process::id()));
    assert_eq!(read("parent_pid"), u64::from(std::os::unix::process::parent_id()));
    assert_eq!(read("size_of_task"), u64::from(btf.resolve_size(task).unwrap()));
    assert_eq!(read("type_id"), u64::from(task.0));
    assert!(
        object.btf().type_by_id(ig_kernel::btf::TypeId(u32::try_from(read("local_id")).unwrap())).is_some()
    );
    assert_eq!(read("comm_size"), 16);
    assert_eq!(read("enum_ringbuf"), 130);
    for (name, expected) in [
        ("exists_comm", 3),
        ("exists_never", 2),
        ("exists_type", 3),
        ("exists_no_type", 2),
        ("size_no_type", 2),
        ("enum_never", 2),
        ("enum_no_type", 2),
        ("matches_right", 3),
        ("matches_wrong", 2),
        ("matches_struct", 3),
        ("matches_struct_wrong", 2),
        ("signed_tgid", 3),
        ("bits_value", 3),
    ] {
        assert_eq!(read(name), expected, "{name}");
    }
    let comm = std::fs::read("/proc/thread-self/comm").unwrap();
    let seen = read_variable(&object, &loaded, "comm_copy");
    assert!(seen.starts_with(comm.trim_ascii_end()));
}
