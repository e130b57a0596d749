//! profile_cpu, by a process that computes, and one that asks the kernel to.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Child, Command, Stdio},
};

use ig_tests::{
    collector::Collector,
    cpu_seconds,
    events::{Busy, own_name},
    exposition::Sample,
    wait_for,
};

use super::has;
use crate::interactive::Watch;

/// The number that stands for no stack.
const NO_STACK: &str = "4294967295";
/// Samples to wait for: half a second of one processor.
const ENOUGH: f64 = 25.0;

/// Collects the samples of the tasks that these two lines of a gadget's section let through. The others' would be more
/// series than a gadget may have.
fn profile(filter: &str, params: &str) -> Collector {
    Collector::start(&format!(
        "gadgets:
  - name: g
    image: profile_cpu
    filter: {filter}
    image-metrics: false
    interval: 200ms
    params: {{{params}}}
    metrics: [{{name: seen, type: counter, field: samples, labels: [proc.comm, proc.pid, kernel_ip, kern_stack_raw, \
         user_stack_raw.inode, user_stack_raw.tgid_level0]}}]
"
    ))
}

/// The series of a process, once there are enough samples of it, one that is `wanted` among them.
fn samples_of(collector: &Collector, pid: u32, wanted: impl Fn(&Sample) -> bool) -> Vec<Sample> {
    let pid = pid.to_string();
    wait_for("samples", || {
        let found: Vec<Sample> = collector
            .samples()
            .into_iter()
            .filter(|sample| sample.name == "seen_total" && has(&sample.labels, &[("proc_pid", &pid)]))
            .collect();
        let enough = found.iter().map(|sample| sample.value).sum::<f64>() >= ENOUGH;
        (enough && found.iter().any(&wanted)).then_some(found)
    })
}

/// What a gadget that prints folded stacks says of a process that has used this much more processor time meanwhile.
fn folded(flags: &[&str], pid: u32, seconds: f64) -> String {
    let pid_text = pid.to_string();
    let watch = Watch::start("profile_cpu", &[flags, &["-o", "folded", "--pid", &pid_text]].concat());
    let until = cpu_seconds(pid) + seconds;
    wait_for("a busy process to get the processor", || (cpu_seconds(pid) >= until).then_some(()));
    let ended = watch.interrupt();
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout
}

/// Scenario: a process computes in user space, another one copies zeroes in the kernel.
/// Guarantees: both are sampled; those in the kernel have a kernel stack and an address, the others neither.
#[test]
fn samples_tell_kernel_from_user() {
    let (computes, copies) = (own_name("ig-usr"), own_name("ig-krn"));
    let collector = profile(&format!("proc.comm~^({computes}|{copies}|swapper.*)$"), "");
    let computing = Busy::start(&computes, "");
    let copying = Busy::in_kernel(&copies);
    let in_kernel = |sample: &Sample| sample.labels["kernel_ip"] != "0";
    let found = samples_of(&collector, computing.pid(), |sample| !in_kernel(sample));
    assert!(found.iter().all(|sample| sample.labels["proc_comm"] == computes));
    let mut user = found.iter().filter(|sample| !in_kernel(sample));
    assert!(user.all(|sample| sample.labels["kern_stack_raw"] == NO_STACK), "{found:?}");
    let found = samples_of(&collector, copying.pid(), |sample| {
        in_kernel(sample) && sample.labels["kern_stack_raw"] != NO_STACK
    });
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
    let (copies, other) = (own_name("ig-krn"), own_name("ig-usr"));
    let copying = Busy::in_kernel(&copies);
    let _other = Busy::start(&other, "");
    let pid = copying.pid().to_string();
    let params = format!("pid: \"{pid}\", collect-ustack: \"true\", user-stacks-only: \"true\"");
    let collector = profile(&format!("proc.comm~^({copies}|{other})$"), &params);
    let inode = fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino().to_string();
    // The kernel need not have a stack each time.
    let found =
        samples_of(&collector, copying.pid(), |sample| sample.labels["user_stack_raw_inode"] == inode);
    let with = |wanted: &[(&str, &str)]| {
        let matches = |sample: &&Sample| wanted.iter().all(|(name, value)| sample.labels[*name] == *value);
        found.iter().filter(matches).count()
    };
    assert_eq!(with(&[("kern_stack_raw", NO_STACK), ("kernel_ip", "0")]), found.len());
    assert!(with(&[("user_stack_raw_inode", &inode), ("user_stack_raw_tgid_level0", &pid)]) > 0, "{found:?}");
    let others = collector.samples().into_iter().filter(|sample| sample.name == "seen_total");
    assert!(others.into_iter().all(|sample| sample.labels["proc_pid"] == pid));
}

/// Scenario: the stacks of a process that copies zeroes are printed for flame graphs, with kernel symbols.
/// Guarantees: lines are stack and count, begin with the program and lead to the function it is busy in.
#[test]
fn folded_stacks_lead_to_the_work() {
    let comm = own_name("ig-krn");
    let copying = Busy::in_kernel(&comm);
    let stacks = folded(&["--kernel-stacks-only"], copying.pid(), 2.0);
    for line in stacks.lines() {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(count.parse::<u64>().unwrap() > 0 && stack.starts_with(&format!("{comm};")), "{line}");
    }
    assert!(stacks.contains(";vfs_read;read_zero"), "{stacks}");
}

/// A child that is killed when dropped.
struct Spinning(Child);

impl Drop for Spinning {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
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
    let spinning = Command::new(&program).stdin(Stdio::null()).spawn().map(Spinning).unwrap();
    for (symbolizers, expected) in [("auto", "main;work;burn;hot "), ("symtab", "main;work;burn ")] {
        let stacks = folded(&["--collect-ustack", "--symbolizers", symbolizers], spinning.0.id(), 2.0);
        assert!(stacks.contains(expected), "{symbolizers}: {stacks}");
    }
}
