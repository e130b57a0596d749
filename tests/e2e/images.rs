//! Images from a real registry: fetched in the background, followed, verified, and kept when the registry is gone.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use ig_tests::{
    build_gadget,
    collector::Collector,
    events::Probe,
    registry::{Registry, ig_image},
    root, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where somebody else builds and signs.
struct Workshop {
    folder: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("team");
        ig_image(&folder.path().join("store"), &["key", "generate", "--out", keys.to_str().unwrap()]);
        Self { folder }
    }

    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    fn public_key(&self) -> String {
        self.folder.path().join("team.pub").display().to_string()
    }

    /// Builds trace_exec as `image`; another `note` gives another digest.
    fn build(&self, image: &str, note: &str) {
        let copy = self.folder.path().join("trace_exec");
        fs::create_dir_all(&copy).unwrap();
        for entry in fs::read_dir(root().join("gadgets/trace_exec")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        let metadata = fs::read_to_string(copy.join("gadget.yaml")).unwrap();
        fs::write(copy.join("gadget.yaml"), format!("{metadata}\nannotations:\n  example.note: {note}\n"))
            .unwrap();
        build_gadget(&self.store(), &copy, image);
    }

    fn sign(&self, image: &str) {
        let key = self.folder.path().join("team.key");
        ig_image(&self.store(), &["sign", image, "--key", key.to_str().unwrap()]);
    }
}

fn sections(store: &Path, registry: &Registry, workshop: &Workshop, images: &str, image: &str) -> String {
    format!(
        "images:\n  store: {}\n  insecure-registries: [\"{}\"]\n  verify: {{public-keys: [{}]}}\n{images}\
         gadgets:\n  - name: exec\n    image: {image}\n    image-metrics: false\n    \
         metrics: [{{name: executions, type: counter, labels: [proc.comm]}}]\n",
        store.display(),
        registry.host(),
        workshop.public_key()
    )
}

fn state(collector: &Collector) -> String {
    let page = collector.get("/readyz").text();
    page.lines().find(|line| line.starts_with("gadget exec:")).unwrap_or_default().to_owned()
}

fn wait_running(collector: &Collector) {
    wait_for("the gadget to run", || state(collector).starts_with("gadget exec: running").then_some(()));
}

fn counts(collector: &Collector) {
    let probe = Probe::new(collector.folder(), "ig-img");
    let before = collector.sum("executions_total", &[("proc_comm", probe.comm())]);
    probe.run_times(5);
    collector.wait_for_sum("executions_total", &[("proc_comm", probe.comm())], before + 5.0);
}

/// Scenario: the store is empty; the image is signed and in a registry. Then the registry is gone, and the collector
/// starts again, told to pull always.
/// Guarantees: the collector is ready before the image is there, fetches it in the background and runs it; without
/// the registry it runs what it verified before.
#[test]
fn images_come_in_the_background_and_outlive_their_registry() {
    let mut registry = Registry::start();
    let workshop = Workshop::new();
    let image = format!("{}/team/trace_exec:v1", registry.host());
    workshop.build(&image, "one");
    workshop.sign(&image);
    registry.push(&workshop.store(), &image);
    let store = tempfile::tempdir().unwrap();
    let store = store.path().join("store");

    let mut collector = Collector::start(&sections(&store, &registry, &workshop, "", &image));
    wait_running(&collector);
    counts(&collector);
    collector.stop();

    registry.stop();
    let always = "  pull: always\n";
    let collector = Collector::start(&sections(&store, &registry, &workshop, always, &image));
    wait_running(&collector);
    counts(&collector);
    wait_for("word of the failed fetch", || collector.log().contains("image.fetch.failed").then_some(()));
    assert!(state(&collector).starts_with("gadget exec: running"), "{}", state(&collector));
}

/// Scenario: a tag that is followed moves to an image that nobody trusted has signed, then to one that is signed.
/// Guarantees: the unsigned image never runs and what runs keeps running; the signed one replaces it, and the
/// counter goes on.
#[test]
fn a_moved_tag_is_followed_only_to_signed_images() {
    let registry = Registry::start();
    let workshop = Workshop::new();
    let image = format!("{}/team/trace_exec:latest", registry.host());
    workshop.build(&image, "one");
    workshop.sign(&image);
    registry.push(&workshop.store(), &image);
    let store = tempfile::tempdir().unwrap();
    let store = store.path().join("store");

    let follow = "  pull: always\n  refresh-interval: 1s\n";
    let collector = Collector::start(&sections(&store, &registry, &workshop, follow, &image));
    wait_running(&collector);
    counts(&collector);

    workshop.build(&image, "two");
    registry.push(&workshop.store(), &image);
    wait_for("the refusal of the unsigned image", || {
        collector.log().contains("gadget.refresh.refused").then_some(())
    });
    assert_eq!(collector.sum("ig_gadget_restarts_total", &[("gadget", "exec")]), 0.0);
    counts(&collector);

    workshop.build(&image, "three");
    workshop.sign(&image);
    registry.push(&workshop.store(), &image);
    wait_for("the switch to the signed image", || {
        (collector.sum("ig_gadget_restarts_total", &[("gadget", "exec")]) == 1.0).then_some(())
    });
    counts(&collector);
}

/// Scenario: an image that no rule allows, one that is not signed, and a registry that does not answer.
/// Guarantees: each gadget is refused with the rule or the reason, and the collector is ready and stops.
#[test]
fn refusals_name_the_rule() {
    let mut registry = Registry::start();
    let workshop = Workshop::new();
    let image = format!("{}/team/trace_exec:v1", registry.host());
    workshop.build(&image, "one");
    registry.push(&workshop.store(), &image);
    let store = tempfile::tempdir().unwrap();
    let store = store.path().join("store");

    let only = "  allowed-gadgets: [\"registry.example/*\"]\n";
    let collector = Collector::start(&sections(&store, &registry, &workshop, only, &image));
    let said = wait_for("the refusal", || {
        Some(state(&collector)).filter(|state| state.starts_with("gadget exec: refused"))
    });
    assert!(said.contains("allowed-gadgets") || said.contains("runtime-config.yaml:"), "{said}");
    drop(collector);

    let collector = Collector::start(&sections(&store, &registry, &workshop, "", &image));
    let said = wait_for("the refusal", || {
        Some(state(&collector)).filter(|state| state.starts_with("gadget exec: refused"))
    });
    assert!(said.contains("not signed"), "{said}");
    // The signature comes later; a reload looks for it.
    workshop.sign(&image);
    registry.push(&workshop.store(), &image);
    collector.signal(Signal::HUP);
    wait_running(&collector);
    drop(collector);

    registry.stop();
    let other = tempfile::tempdir().unwrap();
    let mut collector =
        Collector::start(&sections(&other.path().join("store"), &registry, &workshop, "", &image));
    wait_for("a word about the registry", || state(&collector).contains(&registry.host()).then_some(()));
    assert!(collector.stop().success());
}

/// Scenario: a registry takes the connection and never answers, and the collector is told to stop.
/// Guarantees: it stops with success while it still waits: no fetch has failed by then.
#[test]
fn a_stop_does_not_wait_for_a_registry() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let store = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(&format!(
        "images: {{store: {}, insecure-registries: [\"{host}\"], verify: {{required: false}}}}\n\
         gadgets:\n  - {{name: exec, image: \"{host}/team/trace_exec:v1\"}}\n",
        store.path().join("store").display()
    ));
    let (mut asked, _) = silent.accept().unwrap();
    assert!(asked.read(&mut [0; 16]).unwrap() > 0, "the collector asks the registry");
    assert!(collector.stop().success(), "{}", collector.log());
    assert!(!collector.log().contains("image.fetch.failed"), "{}", collector.log());
}

/// Scenario: a kernel that does not describe its own types; an image that brings them, and one that brings those of
/// another kernel.
/// Guarantees: the first runs and sees an event; the second says which file it lacks.
#[test]
fn a_kernel_without_types_is_served_by_the_image() {
    let os_release = fs::read_to_string("/etc/os-release").unwrap();
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_matches('"').to_owned()
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let build = |name: &str, release: &str| {
        let archive = folder.path().join(name);
        let place = archive.join(value("ID=")).join(value("VERSION_ID=")).join(std::env::consts::ARCH);
        fs::create_dir_all(&place).unwrap();
        fs::copy("/sys/kernel/btf/vmlinux", place.join(format!("{release}.btf"))).unwrap();
        let gadget = root().join("gadgets/trace_exec");
        let archive = archive.to_str().unwrap();
        ig_image(
            &store,
            &["build", gadget.to_str().unwrap(), "-t", name, "--btfgen", "--btfhub-archive", archive],
        );
    };
    build("fitting", &release);
    build("other", "1.2.3-other");
    let run = |image: &str| {
        let script = "mount --bind /dev/null /sys/kernel/btf/vmlinux && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", script])
            .arg(ig_tests::ig())
            .args(["run", "--store"])
            .arg(&store)
            .args([image, "-o", "json"])
            .stdout(Stdio::piped());
        command
    };
    let mut fitting = run("fitting").spawn().unwrap();
    let probe = Probe::new(folder.path(), "ig-typ");
    let load = probe.run_until_stopped();
    let mut rows = BufReader::new(fitting.stdout.take().unwrap()).lines();
    assert!(rows.any(|row| row.unwrap().contains(probe.comm())), "it ended and saw nothing");
    load.stop();
    kill_process(Pid::from_child(&fitting), Signal::INT).unwrap();
    // Nobody reads any more: what it still prints must not keep it.
    drop(rows);
    assert!(fitting.wait().unwrap().success());

    let output = run("other").stderr(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains(&format!("{release}.btf")), "{errors}");
}
