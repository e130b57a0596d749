//! Probes of user programs: a library is compiled, called by a process, and watched.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ig_loader::{AttachOptions, Loaded, Loader, Object, UprobeSet};

use crate::{object, read_u64, until_quiet};

/// A root directory with a library in the dynamic linker's cache, and a process that calls it.
struct Target {
    folder: tempfile::TempDir,
    process: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Target {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("root/usr/lib");
        std::fs::create_dir_all(&libraries).unwrap();
        std::fs::create_dir_all(folder.path().join("root/etc")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/target.c");
        let library = libraries.join("libtarget.so.1");
        run(Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-DLIBRARY", "-Wl,-soname,libtarget.so.1", "-o"])
            .arg(&library)
            .arg(&source));
        let program = folder.path().join("target");
        run(Command::new("cc").arg("-o").arg(&program).arg(&source).arg(&library));
        run(Command::new("/sbin/ldconfig").arg("-r").arg(folder.path().join("root")));
        let mut process = Command::new(&program)
            .env("LD_LIBRARY_PATH", &libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let calls = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { folder, process, calls, answers }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Calls the function once; it has returned when this does.
    fn call(&mut self, number: i32) -> i32 {
        writeln!(self.calls, "{number}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().parse().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn load(object: &Object, place: &str) -> Loaded {
    let mut loader = Loader::new(object);
    for (program, symbol) in
        [("enter", "somefunction"), ("leave", "somefunction"), ("probe", "provider:probe")]
    {
        loader.set_attach_target(program, &format!("{place}:{symbol}")).unwrap();
    }
    loader.load().unwrap_or_else(|error| panic!("{error:?}"))
}

/// Guarantees: a library by bare name is found through the cache of the given root; entry, return and the static probe
/// fire with their arguments; its counter counts us; a dropped link no longer fires.
#[test]
fn libraries_are_found_by_name_and_watched() {
    let mut target = Target::start();
    let object = object("user");
    let loaded = load(&object, "libtarget");
    assert_eq!(target.call(20), 40);
    let root = target.root();
    let options = AttachOptions { root: Some(&root), ..AttachOptions::default() };
    let links = ["enter", "leave", "probe"].map(|program| loaded.attach_with(program, &options).unwrap());
    assert_eq!(target.call(21), 43, "the counter of watchers must count us");
    let read = |name| read_u64(&object, &loaded, name);
    assert_eq!((read("entered"), read("argument")), (1, 21));
    assert_eq!((read("returned"), read("result")), (1, 43));
    assert_eq!((read("fired"), read("count")), (1, 4));
    let arguments = crate::read_variable(&object, &loaded, "arguments");
    let arguments: Vec<i64> =
        arguments.chunks_exact(8).map(|value| i64::from_ne_bytes(value.try_into().unwrap())).collect();
    assert_eq!(arguments, [21, 2_100_000_000_000, 21, -7]);

    drop(links);
    let seen = || ["entered", "returned", "fired"].map(read);
    until_quiet(|| {
        let before = seen();
        target.call(22) == 44 && seen() == before
    });
}

/// Guarantees: functions of a Go program whose symbols were stripped are found in Go's own table.
#[test]
fn stripped_go_programs_are_watched() {
    // A file of its own: probes are of files, and others run promtool, too.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("promtool");
    ig_test_kit::executable::copy(Path::new("/usr/bin/promtool"), &program);
    let place = format!("{}:main.main", program.display());
    let object = object("user");
    let mut loader = Loader::new(&object);
    loader.set_attach_target("enter", &place).unwrap();
    loader.set_attach_target("leave", &place).unwrap();
    let loaded = loader.load().unwrap();
    let _link = loaded.attach("enter").unwrap();
    run(Command::new(&program).arg("--version"));
    assert_eq!(read_u64(&object, &loaded, "entered"), 1);
    // A probe on the return would break Go's stacks.
    assert!(loaded.attach("leave").unwrap_err().to_string().contains("main.main"));
}

/// Guarantees: a path works as well as a name, and what is missing is named: the file, the symbol, the probe.
#[test]
fn missing_places_are_named() {
    let target = Target::start();
    let object = object("user");
    let root = target.root();
    let options = AttachOptions { root: Some(&root), ..AttachOptions::default() };
    let mut loader = Loader::new(&object);
    loader.set_attach_target("enter", "/usr/lib/libtarget.so.1:nofunction").unwrap();
    loader.set_attach_target("leave", "libnothing:somefunction").unwrap();
    loader.set_attach_target("probe", "/usr/lib/libtarget.so.1:provider:other").unwrap();
    let loaded = loader.load().unwrap();
    for (program, complaint) in [
        ("enter", "this kernel has no uprobe on `/usr/lib/libtarget.so.1:nofunction`"),
        ("leave", "this kernel has no uprobe on `libnothing:somefunction`"),
        ("probe", "this kernel has no uprobe on `/usr/lib/libtarget.so.1:provider:other`"),
    ] {
        let error = loaded.attach_with(program, &options).unwrap_err().to_string();
        assert!(error.contains(complaint.trim_start_matches("this kernel has no ")), "{error}");
    }
}

/// Scenario: two containers share the file of a library.
/// Guarantees: it is attached once, fires once a call, and until the last of them is gone.
#[test]
fn shared_files_are_attached_once() {
    let mut target = Target::start();
    let second = target.folder.path().join("second");
    std::fs::create_dir_all(second.join("opt")).unwrap();
    std::fs::hard_link(target.root().join("usr/lib/libtarget.so.1"), second.join("opt/renamed.so")).unwrap();
    let object = object("user");
    let (first, other) = (load(&object, "libtarget"), load(&object, "/opt/renamed.so"));
    let mut set = UprobeSet::default();
    let root = target.root();
    let options = AttachOptions { root: Some(&root), ..AttachOptions::default() };
    assert_eq!(set.attach(&"one", &first, "enter", &options).unwrap(), 1);
    let options = AttachOptions { root: Some(&second), ..AttachOptions::default() };
    assert_eq!(set.attach(&"two", &other, "enter", &options).unwrap(), 0);
    target.call(1);
    assert_eq!(read_u64(&object, &first, "entered"), 1);
    assert_eq!(read_u64(&object, &other, "entered"), 0);

    assert!(set.detach(&"one").is_empty());
    target.call(1);
    assert_eq!(read_u64(&object, &first, "entered"), 2);
    drop(set.detach(&"two"));
    assert!(set.is_empty());
    until_quiet(|| {
        let before = read_u64(&object, &first, "entered");
        target.call(1);
        read_u64(&object, &first, "entered") == before
    });
}
