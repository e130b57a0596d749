//! `ig-attach OBJECT…`: loads objects, attaches each of their programs, provokes events and looks at the counters.
//!
//! Why it exists: whether a kernel takes a kind of program is known only when one has run there. A program counts its
//! runs in the global variable `hits_<program>`; iterators are read instead and must write something.
//!
//! One line a program on standard output: object, program, `ok` or `failed`, and why, separated by tabs. Exit status 1
//! if one failed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the lines are the result")]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ig_loader::{AttachOptions, Link, Loaded, Loader, Object, ProgramKind, ProgramSpec};
use ig_model::chain;

/// Emulated kernels are slow; a sampler has to come around.
const PATIENCE: Duration = Duration::from_secs(20);

/// Matches the connection over loopback, and has instructions of every kind.
const FILTER: &str = "src net 127.0.0.0/8 and tcp[tcpflags] & 0xff != 0 and ip[ip[0] % 8] * 3 + len > ip[1] >> 2 \
                      and not (ip6 host ::1 or port 1 or portrange 2-3 or ether broadcast) or (vlan 5 and arp)";

fn main() -> ExitCode {
    let mut failed = false;
    for path in std::env::args().skip(1) {
        failed |= !object(&path);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Tries one object; whether all of it worked.
fn object(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.split('.').next().unwrap_or(name);
    let parsed = std::fs::read(path).map_err(Box::<dyn Error>::from);
    let parsed = parsed.and_then(|bytes| Object::parse(name, &bytes).map_err(Into::into));
    let object = match parsed {
        Ok(object) => object,
        Err(error) => {
            eprintln!("error: {path}: {}", chain(error.as_ref()));
            return false;
        }
    };
    let mut all = true;
    let loaded = load(&object);
    for program in object.programs() {
        let result = loaded
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|loaded| attach_and_look(&object, loaded, program));
        let (word, why) = match &result {
            Ok(()) => ("ok", ""),
            Err(why) => ("failed", why.as_str()),
        };
        println!("{name}\t{}\t{word}\t{}", program.name, why.replace(['\t', '\n'], " "));
        all &= result.is_ok();
    }
    all
}

fn load(object: &Object) -> Result<Loaded, String> {
    let mut loader = Loader::new(object);
    for program in object.programs() {
        loader.want(&program.name).map_err(|error| chain(&error))?;
    }
    for hook in object.packet_filters() {
        loader.set_packet_filter(hook, FILTER).map_err(|error| chain(&error))?;
    }
    loader.load().map_err(|error| chain(&error))
}

fn attach_and_look(object: &Object, loaded: &Loaded, program: &ProgramSpec) -> Result<(), String> {
    let options =
        AttachOptions { sample_frequency: Some(99), interface: Some("lo"), ..AttachOptions::default() };
    let link = loaded.attach_with(&program.name, &options).map_err(|error| chain(&error))?;
    if program.kind == ProgramKind::Iter {
        return walk(&link);
    }
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        provoke().map_err(|error| format!("no event could be provoked: {error}"))?;
        if hits(object, loaded, &program.name)? > 0 {
            return Ok(());
        }
    }
    Err("attached, but its events did not reach it".to_owned())
}

fn walk(link: &Link) -> Result<(), String> {
    let mut text = Vec::new();
    link.iter_reader()
        .map_err(|error| chain(&error))?
        .read_to_end(&mut text)
        .map_err(|error| format!("reading the iterator failed: {error}"))?;
    if text.is_empty() { Err("attached, but it wrote nothing".to_owned()) } else { Ok(()) }
}

/// A program started, files opened, a process id asked for, a connection over loopback, a signal, a sector written to the
/// disk, some work for the CPU.
fn provoke() -> std::io::Result<()> {
    Command::new("/bin/true").stdin(Stdio::null()).status()?;
    std::fs::read("/proc/self/stat")?;
    std::hint::black_box(std::process::id());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?)?.write_all(b"x")?;
    listener.accept()?.0.read_exact(&mut [0])?;
    rustix::process::test_kill_process(rustix::process::getpid())?;
    let mut disk = std::fs::File::options().write(true).open("/dev/vda")?;
    disk.write_all(&[0; 4096])?;
    disk.sync_all()?;
    let busy = Instant::now();
    while busy.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    Ok(())
}

/// The value of the program's counter.
fn hits(object: &Object, loaded: &Loaded, program: &str) -> Result<u64, String> {
    let name = format!("hits_{program}");
    let variable = object.variable(&name).ok_or_else(|| format!("the object has no variable `{name}`"))?;
    let map = loaded.map(&variable.section).ok_or("the object has no map of its data")?;
    let mut value = vec![0; map.value_size() as usize];
    map.lookup(&[0; 4], &mut value).map_err(|error| format!("reading `{name}` failed: {error}"))?;
    let start = variable.offset as usize;
    let number = value.get(start..start + 8).and_then(|bytes| bytes.try_into().ok());
    number.map(u64::from_ne_bytes).ok_or_else(|| format!("`{name}` has not eight bytes"))
}
