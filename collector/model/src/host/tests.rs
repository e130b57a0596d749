use std::{
    env::temp_dir,
    os::unix::fs::symlink,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

const POD: [&str; 2] = ["pid:[4026532001]", "mnt:[4026532002]"];
const NODE: [&str; 2] = ["pid:[4026532900]", "mnt:[4026532901]"];
const KERNEL: [&str; 2] = [FIRST_PID_NAMESPACE, "mnt:[4026531841]"];

/// A made-up tree of files; removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = temp_dir().join(format!("ig-host-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// procfs at `path` with process 1 and us as process `pid`, in these namespaces.
    fn procfs(self, path: &str, pid: u32, first: [&str; 2], ours: [&str; 2]) -> Self {
        let proc = self.0.join(path);
        for (pid, [process_ids, files]) in [(1, first), (pid, ours)] {
            let folder = proc.join(pid.to_string()).join("ns");
            fs::create_dir_all(&folder).unwrap();
            symlink(process_ids, folder.join("pid")).unwrap();
            symlink(files, folder.join("mnt")).unwrap();
        }
        symlink(pid.to_string(), proc.join("self")).unwrap();
        self
    }

    fn host(&self, root: &str) -> Host {
        Host::of([("HOST_ROOT".into(), self.0.join(root).into_os_string())])
    }

    fn check(&self) -> Result<(), String> {
        self.host("host").check_beside(&self.0.join("proc")).map_err(|error| {
            assert!(error.hint().is_some());
            crate::chain(&error).replace(&self.0.display().to_string(), "")
        })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Scenario: a pod with a PID namespace of its own, in which we are process 7 and the host knows us as 4242; a pod on a
/// node that is a container itself; a pod in the PID namespace of its node.
/// Guarantees: the host's procfs below the root is taken, and its first process tells what lies outside of the mounts.
#[test]
fn a_pod_sees_its_host() {
    let pod = || Tree::new().procfs("proc", 7, POD, POD);
    let tree = pod().procfs("host/proc", 4242, KERNEL, POD);
    assert_eq!(tree.check(), Ok(()));
    let host = tree.host("host");
    assert_eq!(host.proc, tree.0.join("host/proc"));
    let cgroups = Path::new("/sys/fs/cgroup-of-a-test");
    assert_eq!(host.visible(cgroups), cgroups);
    let by_process = tree.0.join("host/proc/1/root/sys/fs/cgroup-of-a-test");
    fs::create_dir_all(&by_process).unwrap();
    assert_eq!(host.visible(cgroups), by_process);
    let mounted = tree.0.join("host/sys/fs/cgroup-of-a-test");
    fs::create_dir_all(&mounted).unwrap();
    assert_eq!(host.visible(cgroups), mounted);

    assert_eq!(pod().procfs("host/proc", 4242, NODE, POD).check(), Ok(()));
    let shared = [NODE[0], POD[1]];
    let tree = Tree::new().procfs("proc", 4242, NODE, shared).procfs("host/proc", 4242, NODE, shared);
    assert_eq!(tree.check(), Ok(()));
}

/// Scenario: nothing is mounted, a file lies where the folder should be, the folder for procfs is missing, empty or a file;
/// procfs is that of another container, or our own.
/// Guarantees: each has an error of its own that names the path, and a hint.
#[test]
fn a_folder_that_lies_is_named() {
    let said = |tree: Tree| tree.check().unwrap_err();
    let pod = || Tree::new().procfs("proc", 7, POD, POD);

    assert!(said(pod()).starts_with("expected a folder of the host at `/host`: No such file"));
    let file = pod();
    fs::write(file.0.join("host"), "").unwrap();
    assert_eq!(said(file), "expected a folder of the host at `/host`: not a directory");

    let bare = pod();
    fs::create_dir(bare.0.join("host")).unwrap();
    assert!(said(bare).starts_with("expected a folder of the host at `/host/proc`: No such file"));
    let file = pod();
    fs::create_dir(file.0.join("host")).unwrap();
    fs::write(file.0.join("host/proc"), "").unwrap();
    assert_eq!(said(file), "expected a folder of the host at `/host/proc`: not a directory");

    let empty = pod();
    fs::create_dir_all(empty.0.join("host/proc")).unwrap();
    assert_eq!(said(empty), "expected procfs at `/host/proc`, got a folder without `self`");

    let foreign = pod().procfs("host/proc", 99, NODE, POD);
    fs::remove_dir_all(foreign.0.join("host/proc/99")).unwrap();
    let text =
        "expected the host's procfs at `/host/proc`, got that of a PID namespace this process is not part of";
    assert_eq!(said(foreign), text);

    let own = pod().procfs("host/proc", 7, POD, POD);
    assert_eq!(said(own), "expected the host's procfs at `/host/proc`, got that of this container");
}

/// Scenario: an environment with empty variables, one without any, and a relative root.
/// Guarantees: empty is unset; without a root the host is where we are and is not looked at; a relative root is refused.
#[test]
fn the_environment_says_where_the_host_is() {
    let host = Host::of([("HOST_ROOT".into(), "".into()), ("NODE_NAME".into(), "".into())]);
    assert_eq!((host.root.as_path(), host.proc.as_path()), (Path::new("/"), Path::new("/proc")));
    assert_eq!((host.node.as_deref(), host.variable("NODE_NAME")), (None, Some("")));
    assert!(host.check().is_ok());
    assert_eq!(host.visible(Path::new("/sys/fs/cgroup")), Path::new("/sys/fs/cgroup"));

    let host = Host::of([("HOST_ROOT".into(), "host".into()), ("NODE_NAME".into(), "n1".into())]);
    assert_eq!((host.node.as_deref(), host.variable("absent")), (Some("n1"), None));
    assert!(matches!(host.check(), Err(HostError::Relative(_))));
}
