//! trace_capabilities, by what chroot(2) needs: a call that asks for one capability and has no other use.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use ig_tests::{collector::Collector, wait_for};

use super::{seen, watch};

const LABELS: &str = "proc.comm, proc.creds.uid, current_userns, target_userns, cap, capable, syscall, audit, kstack_raw, \
                      ustack.inode";
const CHROOT: [(&str, &str); 2] = [("cap", "CAP_SYS_CHROOT"), ("syscall", "SYS_CHROOT")];
/// The number that stands for no stack.
const NO_STACK: &str = "4294967295";

fn collector(params: &str) -> Collector {
    watch("trace_capabilities", &format!("    params: {{comm: chroot{params}}}\n"), LABELS)
}

/// Runs `chroot / true` as this user with further options; answers whether it could.
fn chroot(uid: &str, options: &[&str]) -> bool {
    Command::new("setpriv")
        .args(["--reuid", uid, "--clear-groups", "chroot"])
        .args(options)
        .args(["/", "true"])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Scenario: root changes its root directory, and a user without capabilities tries to.
/// Guarantees: both checks have capability, result, system call, user, namespaces and a kernel stack.
#[test]
fn checks_have_cause_and_result() {
    let collector = collector("");
    assert!(chroot("0", &[]));
    assert!(!chroot("65534", &[]));
    let own = fs::read_link("/proc/self/ns/user").unwrap().display().to_string();
    let own = own.trim_start_matches("user:[").trim_end_matches(']');
    for (uid, capable) in [("0", "true"), ("65534", "false")] {
        let [cap, syscall] = CHROOT;
        let found = seen(&collector, &[cap, syscall, ("proc_creds_uid", uid), ("proc_comm", "chroot")]);
        assert_eq!(found.len(), 1, "{found:?}");
        let labels = &found[0].labels;
        assert_eq!(labels["capable"], capable);
        assert_eq!((labels["current_userns"].as_str(), labels["target_userns"].as_str()), (own, own));
        assert_ne!(labels["kstack_raw"], NO_STACK);
        // The tracepoint that stands in for kernel probes does not tell.
        assert!(["1", "-1"].contains(&labels["audit"].as_str()), "{labels:?}");
    }
}

/// Scenario: user stacks are asked for; the kernel need not have one each time.
/// Guarantees: records name the executable that their stack belongs to.
#[test]
fn checks_have_user_stacks_when_asked() {
    let collector = collector(", collect-ustack: \"true\"");
    let program =
        ["/usr/sbin/chroot", "/usr/bin/chroot"].into_iter().find_map(|path| fs::metadata(path).ok());
    let inode = program.unwrap().ino().to_string();
    wait_for("a user stack", Duration::from_secs(20), || {
        assert!(chroot("0", &[]));
        let [cap, syscall] = CHROOT;
        (collector.sum("seen_total", &[cap, syscall, ("ustack_inode", &inode)]) > 0.0).then_some(())
    });
}

/// Scenario: the same check twice with `unique`, without kernel stacks.
/// Guarantees: it shows once, with no stack.
#[test]
fn unique_shows_a_capability_once() {
    let collector = collector(", unique: \"true\", collect-kstack: \"false\"");
    assert!(chroot("0", &[]) && chroot("0", &[]));
    let found = seen(&collector, &CHROOT);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].labels["kstack_raw"], NO_STACK);
    // The third one also needs another capability: what came before that has arrived.
    assert!(chroot("0", &["--groups=0"]));
    seen(&collector, &[("cap", "CAP_SETGID"), ("syscall", "SYS_SETGROUPS")]);
    assert_eq!(collector.sum("seen_total", &CHROOT), 1.0);
}
