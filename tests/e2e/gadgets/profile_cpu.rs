//! profile_cpu, by a process that computes, and one that asks the kernel to.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ig_tests::{collector::Collector, exposition::Sample, ig, store, wait_for};

use super::has;

/// The number that stands for no stack.
const NO_STACK: &str = "4294967295";
/// Samples to wait for: half a second of one processor.
const ENOUGH: f64 = 25.0;

/// A process that keeps a processor busy; killed when dropped.
struct Busy(Child);

impl Busy {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn profile(params: &str) -> Collector {
    Collector::start(&format!(
        "gadgets:
  - name: g
    image: profile_cpu
    image-metrics: false
    interval: 200ms
    params: {{{params}}}
    metrics: [{{name: seen, type: counter, field: samples, labels: [proc.comm, proc.pid, kernel_ip, kern_stack_raw, \
         user_stack_raw.inode, user_stack_raw.tgid_level0]}}]
"
    ))
}

/// The series of a process, once there are enough samples of it.
fn samples_of(collector: &Collector, pid: &str) -> Vec<Sample> {
    wait_for("samples", Duration::from_secs(30), || {
        let found: Vec<Sample> = collector
            .samples()
            .into_iter()
            .filter(|sample| sample.name == "seen_total" && has(&sample.labels, &[("proc_pid", pid)]))
            .collect();
        (found.iter().map(|sample| sample.value).sum::<f64>() >= ENOUGH).then_some(found)
    })
}

/// Scenario: a process computes in user space, another one copies zeroes in the kernel.
/// Guarantees: both are sampled; those in the kernel have a kernel stack and an address, the others neither.
#[test]
fn samples_tell_kernel_from_user() {
    let collector = profile("");
    let path = collector.folder().join("ig-burner");
    fs::copy("/bin/sh", &path).unwrap();
    let computing = Busy::start(Command::new(&path).args(["-c", "while :; do :; done"]));
    let copying = Busy::start(Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=1M"]));
    let found = samples_of(&collector, &computing.pid());
    assert!(found.iter().all(|sample| sample.labels["proc_comm"] == "ig-burner"));
    let user: Vec<&Sample> = found.iter().filter(|sample| sample.labels["kernel_ip"] == "0").collect();
    assert!(!user.is_empty() && user.iter().all(|sample| sample.labels["kern_stack_raw"] == NO_STACK));
    let found = samples_of(&collector, &copying.pid());
    let kernel: Vec<&Sample> = found.iter().filter(|sample| sample.labels["kernel_ip"] != "0").collect();
    assert!(kernel.iter().any(|sample| sample.labels["kern_stack_raw"] != NO_STACK), "{found:?}");
    // User stacks were not asked for.
    assert!(found.iter().all(|sample| sample.labels["user_stack_raw_inode"] == "0"));
    // The idle task is left out.
    assert!(
        collector.samples().iter().all(|sample| sample.labels.get("proc_pid").is_none_or(|pid| pid != "0"))
    );
}

/// Scenario: one process is chosen, with user stacks alone, while another one is busy too.
/// Guarantees: only the chosen one shows, and each sample names its process and executable, and no kernel stack.
#[test]
fn user_stacks_of_one_process() {
    let copying = Busy::start(Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=1M"]));
    let _other = Busy::start(Command::new("sh").args(["-c", "while :; do :; done"]));
    let pid = copying.pid();
    let collector = profile(&format!("pid: \"{pid}\", collect-ustack: \"true\", user-stacks-only: \"true\""));
    let inode = fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino().to_string();
    let found = samples_of(&collector, &pid);
    let with = |wanted: &[(&str, &str)]| {
        let matches = |sample: &&Sample| wanted.iter().all(|(name, value)| sample.labels[*name] == *value);
        found.iter().filter(matches).count()
    };
    assert_eq!(with(&[("kern_stack_raw", NO_STACK), ("kernel_ip", "0")]), found.len());
    // The kernel need not have a stack each time.
    assert!(with(&[("user_stack_raw_inode", &inode), ("user_stack_raw_tgid_level0", &pid)]) > 0, "{found:?}");
    let others = collector.samples().into_iter().filter(|sample| sample.name == "seen_total");
    assert!(others.into_iter().all(|sample| sample.labels["proc_pid"] == pid));
}

/// Scenario: the stacks of a process that copies zeroes are printed for flame graphs, with kernel symbols.
/// Guarantees: lines are stack and count, begin with the program and lead to the function it is busy in.
#[test]
fn folded_stacks_lead_to_the_work() {
    let copying = Busy::start(Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=1M"]));
    let mut command = Command::new(ig());
    command.args(["run", "--store"]).arg(store());
    command.args(["profile_cpu", "--kernel-stacks-only", "-o", "folded", "--timeout", "5", "--pid"]);
    let output = command.arg(copying.pid()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stacks = String::from_utf8(output.stdout).unwrap();
    for line in stacks.lines() {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(count.parse::<u64>().unwrap() > 0 && stack.starts_with("dd;"), "{line}");
    }
    assert!(stacks.contains(";vfs_read;read_zero"), "{stacks}");
}

/// A program that computes in a function within a function.
const SPIN: &str = "static volatile unsigned long sum;\n\
    static inline __attribute__((always_inline)) void hot(void) { for (int i = 0; i < 100000; i++) sum += i; }\n\
    __attribute__((noinline)) static void burn(void) { hot(); __asm__ volatile(\"\" ::: \"memory\"); }\n\
    __attribute__((noinline)) void work(void) { burn(); __asm__ volatile(\"\" ::: \"memory\"); }\n\
    int main(void) { for (;;) work(); }\n";

/// Scenario: the stacks of a C program are printed for flame graphs, with symbols from its debug information.
/// Guarantees: they lead from `main` to the inlined function that computes; symbol tables alone leave that one out.
#[test]
fn folded_user_stacks_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("spin.c"), folder.path().join("spin"));
    fs::write(&source, SPIN).unwrap();
    // Without optimisation every function has its frame; `hot` is inlined all the same.
    let flags = ["-O0", "-g", "-o"];
    let built = Command::new("cc").args(flags).args([&program, &source]).status().unwrap();
    assert!(built.success(), "the program cannot be compiled");
    let spinning = Busy::start(&mut Command::new(&program));
    for (symbolizers, expected) in [("auto", "main;work;burn;hot "), ("symtab", "main;work;burn ")] {
        let mut command = Command::new(ig());
        command.args(["run", "--store"]).arg(store());
        command.args(["profile_cpu", "--collect-ustack", "--symbolizers", symbolizers]);
        command.args(["-o", "folded", "--timeout", "5", "--pid"]);
        let output = command.arg(spinning.pid()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stacks = String::from_utf8(output.stdout).unwrap();
        assert!(stacks.contains(expected), "{symbolizers}: {stacks}");
    }
}
