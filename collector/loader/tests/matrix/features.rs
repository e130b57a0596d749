//! The rows of the matrix.

use std::path::Path;

use crate::compile::{compile, compile_with};

/// A feature and the object that has it.
pub(crate) struct Feature {
    pub(crate) title: String,
    pub(crate) object: Vec<u8>,
}

/// Sections of every form, each with the least program.
const SECTIONS: &[&str] = &[
    "socket",
    "socket1",
    "kprobe/schedule",
    "kretprobe/schedule",
    "ksyscall/openat",
    "kprobe.multi/tcp_*",
    "kretprobe.multi/tcp_*",
    "kprobe.session/tcp_*",
    "uprobe//bin/sh:main",
    "uretprobe//bin/sh:main",
    "uprobe.s//bin/sh:main",
    "uprobe.multi//bin/sh:main",
    "uretprobe.multi//bin/sh:main",
    "usdt//bin/sh:a:b",
    "tracepoint/syscalls/sys_enter_openat",
    "tp/sched/sched_switch",
    "raw_tp/sched_switch",
    "raw_tracepoint/sched_switch",
    "raw_tp.w/sched_switch",
    "tp_btf/sched_switch",
    "tp_btf/no_such_tracepoint",
    "fentry/do_sys_openat2",
    "fexit/do_sys_openat2",
    "fmod_ret/security_file_open",
    "fentry.s/security_file_open",
    "lsm/file_open",
    "lsm.s/file_open",
    "lsm_cgroup/socket_bind",
    "iter/task",
    "iter/task_file",
    "iter/tcp",
    "iter/udp",
    "iter/ksym",
    "iter/bpf_map_elem",
    "iter.s/task",
    "perf_event",
    "perf_event/x",
    "tc",
    "tc/ingress",
    "tcx/ingress",
    "tcx/egress",
    "classifier",
    "classifier/ingress/x",
    "action",
    "xdp",
    "xdp.frags",
    "xdp/devmap",
    "xdp/cpumap",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "lwt_seg6local",
    "sockops",
    "sk_skb",
    "sk_skb/stream_parser",
    "sk_skb/stream_verdict",
    "sk_skb/verdict",
    "sk_msg",
    "sk_lookup",
    "sk_reuseport",
    "sk_reuseport/migrate",
    "flow_dissector",
    "cgroup/skb",
    "cgroup_skb/ingress",
    "cgroup_skb/egress",
    "cgroup/sock",
    "cgroup/sock_create",
    "cgroup/sock_release",
    "cgroup/post_bind4",
    "cgroup/bind4",
    "cgroup/bind6",
    "cgroup/connect4",
    "cgroup/connect6",
    "cgroup/connect_unix",
    "cgroup/sendmsg4",
    "cgroup/recvmsg6",
    "cgroup/getpeername4",
    "cgroup/getsockname6",
    "cgroup/sysctl",
    "cgroup/sysctl/x",
    "cgroup/getsockopt",
    "cgroup/setsockopt",
    "cgroup/dev",
    "netfilter",
    "netkit/primary",
    "netkit/peer",
    "syscall",
    "no_such_kind/x",
];

/// Hooks that cannot refuse what they are told of.
const MUST_RETURN_ONE: &[&str] = &["cgroup/recvmsg6", "cgroup/getpeername4", "cgroup/getsockname6"];

/// Sections first, then the programs of `tests/programs/features` by name of their file.
pub(crate) fn all() -> Vec<Feature> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/features");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".bpf.c").map(str::to_owned))
        .filter(|name| name != "section")
        .collect();
    names.sort();
    // Compilers take most of the time of this test.
    let names = &names;
    std::thread::scope(|scope| {
        let sections = scope.spawn(|| SECTIONS.iter().copied().map(section).collect::<Vec<_>>());
        let programs = names.iter().map(|name| {
            let source = std::fs::read_to_string(format!("{folder}/{name}.bpf.c")).unwrap();
            let title = source.lines().nth(1).and_then(|line| line.strip_prefix("// ")).unwrap();
            Feature { title: title.to_owned(), object: compile(&format!("features/{name}")) }
        });
        let programs: Vec<Feature> = programs.collect();
        let mut features = sections.join().unwrap();
        features.extend(programs);
        features
    })
}

fn section(section: &str) -> Feature {
    let section_is = format!("-DSECTION=\"{section}\"");
    let result_is = format!("-DRESULT={}", u8::from(MUST_RETURN_ONE.contains(&section)));
    Feature {
        title: format!("`{section}`"),
        object: compile_with("features/section", &[&section_is, &result_is]),
    }
}

/// File of a folder of objects that has their titles, a line each, in the order of their numbers.
const TITLES: &str = "titles";

/// Puts objects into a folder, for a machine without a compiler.
pub(crate) fn save(folder: &Path, features: &[Feature]) {
    std::fs::create_dir_all(folder).unwrap();
    let titles: Vec<&str> = features.iter().map(|feature| feature.title.as_str()).collect();
    std::fs::write(folder.join(TITLES), titles.join("\n")).unwrap();
    for (number, feature) in features.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.o")), &feature.object).unwrap();
    }
}

/// What [`save`] left.
pub(crate) fn saved(folder: &Path) -> Vec<Feature> {
    let titles = std::fs::read_to_string(folder.join(TITLES)).unwrap();
    let objects = titles.lines().enumerate().map(|(number, title)| Feature {
        title: title.to_owned(),
        object: std::fs::read(folder.join(format!("{number}.o"))).unwrap(),
    });
    objects.collect()
}
