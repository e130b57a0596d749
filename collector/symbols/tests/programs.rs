//! Symbols of real programs: compiled, run, and asked for the addresses of their own frames.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ig_symbols::{ExeId, Limits, Method, Options, Process, Symbols};
use tempfile::TempDir;

const C: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noinline)) static void dump(void) {
    void *frames[32];
    int n = backtrace(frames, 32);
    for (int i = 0; i < n; i++) printf("%p\n", frames[i]);
}
static inline __attribute__((always_inline)) void merged(void) { dump(); __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) static void leaf(void) { merged(); __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) void outer(void) { leaf(); __asm__ volatile("" ::: "memory"); }
int main(void) {
    outer();
    void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
    printf("vdso %p\n", vdso ? dlsym(vdso, "__vdso_clock_gettime") : 0);
    char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(name, "w");
    fprintf(map, "%lx 40 JS:add;x /app.js:1\n", (unsigned long)code + 16);
    fclose(map);
    printf("jit %p\n", (void *)(code + 32));
    printf("ready\n");
    fflush(stdout);
    getchar();
    unlink(name);
    return 0;
}
"#;

const RUST: &str = r#"
use std::ffi::c_void;
unsafe extern "C" { fn backtrace(buffer: *mut *mut c_void, size: i32) -> i32; }
#[inline(never)]
fn dump() {
    let mut frames = [std::ptr::null_mut(); 32];
    let n = unsafe { backtrace(frames.as_mut_ptr(), 32) };
    for frame in &frames[..n as usize] { println!("{frame:?}"); }
}
mod shape {
    pub struct Circle<T>(pub T);
    impl<T: Copy + std::fmt::Debug> Circle<T> {
        #[inline(always)]
        fn merged(&self) { super::dump(); std::hint::black_box(()); }
        #[inline(never)]
        pub fn area(&self) { self.merged(); std::hint::black_box(()); }
    }
}
fn main() {
    shape::Circle([0_u8; 4]).area();
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}
"#;

/// A program that printed its addresses and waits.
struct Waiting {
    child: Child,
    process: Process,
    frames: Vec<u64>,
    named: Vec<(String, u64)>,
}

impl Waiting {
    fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run {}: {error}", program.display()));
        let (mut frames, mut named) = (Vec::new(), Vec::new());
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16);
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
            match line.split_once(' ') {
                _ if line == "ready" => break,
                Some((name, address)) => named.push((name.to_owned(), number(address).unwrap_or(0))),
                None => frames.push(number(&line).unwrap()),
            }
        }
        let process = process(child.id(), program);
        Self { child, process, frames, named }
    }

    fn named(&self, name: &str) -> u64 {
        self.named.iter().find(|(known, _)| known == name).unwrap().1
    }

    fn end(mut self) -> (Process, Vec<u64>) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        (self.process, self.frames.clone())
    }
}

fn process(pid: u32, program: &Path) -> Process {
    let data = fs::metadata(program).unwrap();
    let exe = ExeId {
        major: 0,
        minor: 0,
        inode: data.ino(),
        mtime_sec: data.mtime(),
        mtime_nsec: u32::try_from(data.mtime_nsec()).unwrap(),
    };
    Process { pid, generation: pid, exe }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output =
        output.unwrap_or_else(|error| panic!("`{program}` does not run, see tests/tools.sh: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn compile_c(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    fs::write(folder.join("demo.c"), C).unwrap();
    run("cc", &[&["-O1", "demo.c", "-o", name, "-ldl"], flags].concat(), folder);
    folder.join(name)
}

/// Symbols that wait for what they load, however busy the machine is.
fn patient(root: &Path) -> Symbols {
    let burst = Duration::from_secs(120);
    Symbols::new(Options { root: root.to_owned(), limits: Limits { burst, ..Limits::default() } })
}

fn names(symbols: &Symbols, process: &Process, addresses: &[u64], method: Method) -> Vec<String> {
    let mut out = String::new();
    symbols.user(process, addresses, method, &mut out);
    out.split_terminator("; ").map(str::to_owned).collect()
}

fn starts_with(names: &[String], expected: &[&str]) {
    assert_eq!(names.get(..expected.len()).unwrap_or_default(), expected, "{names:?}");
}

const PLAIN: [&str; 4] = ["dump", "leaf", "outer", "main"];
const INLINED: [&str; 5] = ["dump", "merged", "leaf", "outer", "main"];

/// Scenario: a C program with static and inlined functions: PIE, at a fixed address, with debug information, with that
/// compressed.
/// Guarantees: each frame has its function's name; with debug information the inlined one as well, unless only symbol
/// tables are asked for.
#[test]
fn c_programs() {
    let folder = TempDir::new().unwrap();
    let symbols = patient(Path::new("/"));
    let rows: [(&str, &[&str], bool); 5] = [
        ("pie", &["-pie", "-fPIE"], false),
        ("fixed", &["-no-pie", "-fno-pie"], false),
        ("debug", &["-g", "-pie", "-fPIE"], true),
        ("dwarf4", &["-gdwarf-4", "-no-pie", "-fno-pie"], true),
        ("packed", &["-g", "-gz=zlib"], true),
    ];
    for (name, flags, has_debug) in rows {
        let waiting = Waiting::start(&compile_c(folder.path(), name, flags));
        let plain = names(&symbols, &waiting.process, &waiting.frames, Method::Symtab);
        assert_eq!(plain.len(), waiting.frames.len(), "one name for each frame");
        starts_with(&plain, &PLAIN);
        let full = names(&symbols, &waiting.process, &waiting.frames, Method::Full);
        starts_with(&full, if has_debug { &INLINED } else { &PLAIN });
    }
}

/// Scenario: a stripped program whose symbols are in a file of their own: beside it by name, below /usr/lib/debug by
/// build id, beside it but of another build.
/// Guarantees: the names are found where the file is the right one, and not taken from the wrong one.
#[test]
fn separate_debug_files() {
    let root = TempDir::new().unwrap();
    symlink("/proc", root.path().join("proc")).unwrap();
    let folder = root.path();
    for (name, id) in [("named", "none"), ("wrong", "none"), ("by-id", "sha1")] {
        compile_c(folder, name, &["-g", &format!("-Wl,--build-id={id}")]);
        let debug = format!("{name}.debug");
        run("objcopy", &["--only-keep-debug", name, &debug], folder);
        run("strip", &["--strip-all", name], folder);
        run("objcopy", &[&format!("--add-gnu-debuglink={debug}"), name], folder);
        if name == "wrong" {
            fs::write(folder.join(&debug), &fs::read(folder.join("named.debug")).unwrap()[1..]).unwrap();
        } else if name == "by-id" {
            let notes = Command::new("readelf").args(["-n", name]).current_dir(folder).output().unwrap();
            let notes = String::from_utf8(notes.stdout).unwrap();
            let id = notes.split("Build ID: ").nth(1).unwrap().split_whitespace().next().unwrap();
            let place = folder.join(format!("usr/lib/debug/.build-id/{}", &id[..2]));
            fs::create_dir_all(&place).unwrap();
            fs::rename(folder.join(&debug), place.join(format!("{}.debug", &id[2..]))).unwrap();
        }
        let symbols = patient(root.path());
        let waiting = Waiting::start(&folder.join(name));
        let found = names(&symbols, &waiting.process, &waiting.frames, Method::Full);
        if name == "wrong" {
            assert!(found[1].starts_with("0x"), "{found:?}");
        } else {
            starts_with(&found, &INLINED);
        }
    }
}

/// Scenario: a Rust program with generic and inlined methods, with and without debug information.
/// Guarantees: names read as in the source, without hashes; a `;` within a type does not divide frames.
#[test]
fn rust_programs() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("demo.rs"), RUST).unwrap();
    let symbols = patient(Path::new("/"));
    for (flags, expected) in [
        (
            &["-Cdebuginfo=2"][..],
            &["demo::dump", "<demo::shape::Circle<[u8, 4]>>::merged", "<demo::shape::Circle<[u8, 4]>>::area"]
                [..],
        ),
        (&["-Cdebuginfo=0"], &["demo::dump", "<demo::shape::Circle<[u8, 4]>>::area"]),
    ] {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let common = ["--edition=2024", "-O", "-Csymbol-mangling-version=v0", "demo.rs"];
        run(&rustc, &[&common, flags].concat(), folder.path());
        let waiting = Waiting::start(&folder.path().join("demo"));
        let found = names(&symbols, &waiting.process, &waiting.frames, Method::Full);
        starts_with(&found, expected);
    }
}

/// Scenario: code that a program made at run time and named in its perf map, the kernel's code in every process, an
/// address that is nowhere.
/// Guarantees: the first two have names, the last shows itself; nothing of that is late.
#[test]
fn code_without_a_file() {
    let folder = TempDir::new().unwrap();
    let waiting = Waiting::start(&compile_c(folder.path(), "jit", &[]));
    let symbols = patient(Path::new("/"));
    let addresses = [waiting.named("jit"), waiting.named("vdso") + 1, 0x10];
    let found = names(&symbols, &waiting.process, &addresses, Method::Symtab);
    assert_eq!(found[0], "JS:add,x /app.js:1");
    assert!(found[1].contains("clock_gettime"), "{found:?}");
    assert_eq!(found[2], "0x10");
}

/// Scenario: a process that ended after it was seen; one that ended before; one whose program was replaced by exec.
/// Guarantees: what is cached is used; code at fixed addresses has its names from another process of the same file;
/// nobody's addresses are looked up in the code of another program.
#[test]
fn processes_that_are_gone() {
    let folder = TempDir::new().unwrap();
    let symbols = patient(Path::new("/"));
    let pie = compile_c(folder.path(), "pie", &["-pie", "-fPIE"]);
    let waiting = Waiting::start(&pie);
    starts_with(&names(&symbols, &waiting.process, &waiting.frames, Method::Symtab), &PLAIN);
    let child = Waiting::start(&compile_c(folder.path(), "other", &["-pie", "-fPIE"]));
    let mut other = child.process;
    other.exe.mtime_nsec ^= 1;
    assert!(
        names(&symbols, &other, &child.frames, Method::Symtab)[0].starts_with("0x"),
        "not what the record says"
    );
    let (process, frames) = waiting.end();
    starts_with(&names(&symbols, &process, &frames, Method::Symtab), &PLAIN);
    let unseen = Process { generation: 7, ..process };
    assert!(names(&symbols, &unseen, &frames, Method::Symtab)[0].starts_with("0x"));

    let fixed = compile_c(folder.path(), "fixed", &["-no-pie", "-fno-pie"]);
    let waiting = Waiting::start(&fixed);
    names(&symbols, &waiting.process, &waiting.frames, Method::Symtab);
    let (process, frames) = waiting.end();
    let unseen = Process { generation: 8, ..process };
    starts_with(&names(&symbols, &unseen, &frames, Method::Symtab), &PLAIN);
}

/// Scenario: nobody may wait, then everybody; then nobody asks any more.
/// Guarantees: without time a stack shows its addresses and is late; once symbols are loaded it has names without
/// waiting; what is not used is given back.
#[test]
fn budget_and_memory() {
    let folder = TempDir::new().unwrap();
    let waiting = Waiting::start(&compile_c(folder.path(), "pie", &[]));
    let limits = Limits {
        burst: Duration::ZERO,
        per_second: Duration::ZERO,
        // Much longer than between two questions, however busy the machine is.
        idle: Duration::from_secs(2),
        ..Limits::default()
    };
    let symbols = Symbols::new(Options { root: "/".into(), limits });
    let mut out = String::new();
    let found = symbols.user(&waiting.process, &waiting.frames, Method::Symtab, &mut out);
    assert!(found.is_late && found.unknown == found.frames, "{found:?} {out}");
    assert!(out.starts_with("0x"));
    let until = |wanted: &dyn Fn(&Symbols) -> bool| {
        for _ in 0..3600 {
            if wanted(&symbols) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    };
    assert!(until(&|symbols| {
        let mut out = String::new();
        let found = symbols.user(&waiting.process, &waiting.frames, Method::Symtab, &mut out);
        !found.is_late && out.starts_with("dump; leaf; ")
    }));
    assert!(until(&|symbols| symbols.bytes() == 0), "{} bytes are kept", symbols.bytes());
}

/// Scenario: an address of a function of the running kernel, and one of user space.
/// Guarantees: the first has its name, the second none.
#[test]
fn the_running_kernel() {
    let table = fs::read_to_string("/proc/kallsyms").unwrap();
    let line = table.lines().find(|line| line.ends_with(" T vfs_read")).unwrap();
    let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
    assert_ne!(address, 0, "this test needs root: the kernel hides its addresses");
    let mut out = String::new();
    let found = patient(Path::new("/")).kernel(&[address + 4, 1], &mut out);
    assert_eq!(out, "vfs_read; [unknown]; ");
    assert_eq!((found.frames, found.unknown, found.is_late), (2, 1, false));
}
