//! trace_capabilities, by what chroot(2) needs: a call that asks for one capability and has no other use.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ig_tests::{collector::Collector, events::own_name, wait_for};

use super::{seen, watch};

const LABELS: &str = "proc.comm, proc.creds.uid, current_userns, target_userns, cap, capable, syscall, audit, kstack_raw, \
                      ustack.inode";
const CHROOT: [(&str, &str); 2] = [("cap", "CAP_SYS_CHROOT"), ("syscall", "SYS_CHROOT")];
/// The number that stands for no stack.
const NO_STACK: &str = "4294967295";

fn collector(params: &str) -> Collector {
    let own = own_name("ig-chr");
    let collector = watch("trace_capabilities", &format!("    params: {{comm: {own}{params}}}\n"), LABELS);
    let chroot =
        ["/usr/sbin/chroot", "/usr/bin/chroot"].map(Path::new).into_iter().find(|path| path.exists());
    // Another user runs it.
    fs::set_permissions(collector.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    ig_test_kit::executable::copy(chroot.unwrap(), &program(&collector));
    collector
}

/// The copy of chroot(8) whose name no other process has.
fn program(collector: &Collector) -> PathBuf {
    collector.folder().join(own_name("ig-chr"))
}

/// Runs `chroot / true` as this user with further options; answers whether it could.
fn chroot(collector: &Collector, uid: &str, options: &[&str]) -> bool {
    Command::new("setpriv")
        .args(["--reuid", uid, "--clear-groups"])
        .arg(program(collector))
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
    assert!(chroot(&collector, "0", &[]));
    assert!(!chroot(&collector, "65534", &[]));
    let own = fs::read_link("/proc/self/ns/user").unwrap().display().to_string();
    let own = own.trim_start_matches("user:[").trim_end_matches(']');
    for (uid, capable) in [("0", "true"), ("65534", "false")] {
        let [cap, syscall] = CHROOT;
        let found =
            seen(&collector, &[cap, syscall, ("proc_creds_uid", uid), ("proc_comm", &own_name("ig-chr"))]);
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
    let inode = fs::metadata(program(&collector)).unwrap().ino().to_string();
    wait_for("a user stack", || {
        assert!(chroot(&collector, "0", &[]));
        let [cap, syscall] = CHROOT;
        (collector.sum("seen_total", &[cap, syscall, ("ustack_inode", &inode)]) > 0.0).then_some(())
    });
}

/// Scenario: the same check twice with `unique`, without kernel stacks.
/// Guarantees: it shows once, with no stack.
#[test]
fn unique_shows_a_capability_once() {
    let collector = collector(", unique: \"true\", collect-kstack: \"false\"");
    assert!(chroot(&collector, "0", &[]) && chroot(&collector, "0", &[]));
    let found = seen(&collector, &CHROOT);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].labels["kstack_raw"], NO_STACK);
    // The third one also needs another capability: what came before that has arrived.
    assert!(chroot(&collector, "0", &["--groups=0"]));
    seen(&collector, &[("cap", "CAP_SETGID"), ("syscall", "SYS_SETGROUPS")]);
    assert_eq!(collector.sum("seen_total", &CHROOT), 1.0);
}
