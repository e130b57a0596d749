//! "Did you mean": an image that is here, or one that everybody knows, by nearly the same name.

use ig_image::{Reference, Store};

/// What short names stand for at the official registry.
///
/// # Source
/// The gadgets that Inspektor Gadget publishes at `ghcr.io/inspektor-gadget/gadget`.
const KNOWN: [&str; 45] = [
    "advise_networkpolicy",
    "advise_seccomp",
    "audit_seccomp",
    "bpfstats",
    "deadlock",
    "fdpass",
    "fsnotify",
    "gpu_top",
    "gpu_top_per_pid",
    "profile_blockio",
    "profile_cpu",
    "profile_cuda",
    "profile_qdisc_latency",
    "profile_tcprtt",
    "snapshot_file",
    "snapshot_process",
    "snapshot_socket",
    "tcpdump",
    "top_blockio",
    "top_cpu_throttle",
    "top_cuda_memory",
    "top_file",
    "top_process",
    "top_tcp",
    "trace_bind",
    "trace_capabilities",
    "trace_dns",
    "trace_exec",
    "trace_fsslower",
    "trace_gpu_starvation",
    "trace_init_module",
    "trace_link",
    "trace_lsm",
    "trace_malloc",
    "trace_mount",
    "trace_oomkill",
    "trace_open",
    "trace_signal",
    "trace_sni",
    "trace_ssl",
    "trace_tcp",
    "trace_tcpdrop",
    "trace_tcpretrans",
    "traceloop",
    "ttysnoop",
];

/// The image that `reference` may be a slip for: nothing if the store has it, or if it is known by this very name.
pub(super) fn to(reference: &Reference, store: &Store) -> Option<String> {
    match store.resolve(reference) {
        Err(error) if error.is_absent() => {}
        _ => return None,
    }
    // A store that cannot be read is told by whoever needs it.
    let here: Vec<String> =
        store.list().unwrap_or_default().into_iter().map(|image| image.repository).collect();
    nearest(&reference.short_repository(), here.iter().map(String::as_str))
}

fn nearest<'a>(wanted: &'a str, here: impl Iterator<Item = &'a str>) -> Option<String> {
    let (place, name) = split(wanted);
    let known = KNOWN.into_iter().filter(|_| place.is_empty());
    let mut names = here.map(split).filter(|(other, _)| *other == place).map(|(_, name)| name).chain(known);
    let all: Vec<&str> = names.by_ref().collect();
    if all.contains(&name) {
        return None;
    }
    ig_model::nearest(name, all).map(|near| format!("{place}{near}"))
}

/// Where an image is, and what it is called there.
fn split(repository: &str) -> (&str, &str) {
    let at = repository.rfind('/').map_or(0, |at| at + 1);
    repository.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    /// Scenario: slips in names of images that are here, that are known, that are in another place; right names.
    /// Guarantees: the nearest of the same place is meant; a name that is known, or like no other, is left alone.
    #[test]
    fn slips_lead_to_the_nearest_name() {
        let here = ["my_gadget", "r.example/team/trace_open", "r.example/other/my_tool"];
        for (wanted, meant) in [
            ("trace_opne", Some("trace_open")),
            ("trace-exec", Some("trace_exec")),
            ("mygadgt", Some("my_gadget")),
            ("r.example/team/trace_opn", Some("r.example/team/trace_open")),
            ("r.example/team/my_tol", None),
            ("trace_dns", None),
            ("my_gadget", None),
            ("something_else", None),
        ] {
            assert_eq!(nearest(wanted, here.into_iter()).as_deref(), meant, "{wanted}");
        }
    }
}
