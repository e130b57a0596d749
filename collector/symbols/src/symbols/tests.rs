//! Hostile symbol files.

use std::{fs, io::Cursor, path::Path, process::Command, sync::LazyLock};

use proptest::prelude::*;

use crate::{check_symbol_file, elf, module::Module};

/// Debug information in which a function is a copy of itself, and two are copies of each other.
const CYCLES: &str = include_str!("../../tests/cycles.s");

fn build(source: &str, name: &str, flags: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), source).unwrap();
    let status = Command::new("cc").args(flags).args([name, "-o", "out"]).current_dir(folder.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "`cc` is needed, see tests/tools.sh");
    fs::read(folder.path().join("out")).unwrap()
}

static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let source = "static inline __attribute__((always_inline)) int twice(int x) { return x + x; }\n\
                  int work(int x) { return twice(x) * 3; }\nint main(int n, char **v) { return work(n); }\n";
    build(source, "demo.c", &["-g", "-O1", "-fno-inline"])
});

/// Scenario: functions that are copies of themselves and of each other.
/// Guarantees: reading ends; they have no name, and the sound function behind them has.
#[test]
fn cycles_end() {
    let bytes = build(CYCLES, "cycles.s", &["-c"]);
    let elf = elf::read(Cursor::new(&bytes), elf::Want { functions: true }).unwrap();
    let functions = elf.functions.unwrap();
    let at = |address| {
        let mut names = Vec::new();
        functions.at(address, &mut names);
        names.into_iter().map(String::from_utf8_lossy).collect::<Vec<_>>()
    };
    assert_eq!(at(0x4008), ["sound"]);
    assert!(at(0x1000).is_empty() && at(0x2000).is_empty() && at(0x3000).is_empty());
}

/// Scenario: a real program, cut off after every sixteenth byte.
/// Guarantees: an answer or an error each time.
#[test]
fn cut_files() {
    assert!(check_symbol_file(&PROGRAM).unwrap() > 4, "whole, it has symbols");
    for length in (0..PROGRAM.len()).step_by(16) {
        drop(check_symbol_file(&PROGRAM[..length]));
    }
}

/// Scenario: a file of 10 GiB that is all holes, whose section headers claim to fill it.
/// Guarantees: reading it ends, with no more memory than the limit of one file allows.
#[test]
fn endless_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = PROGRAM.clone();
    let at = |offset: usize| offset..offset + 8;
    let headers = usize::try_from(u64::from_le_bytes(bytes[at(0x28)].try_into().unwrap())).unwrap();
    for header in (headers..bytes.len()).step_by(64).skip(1) {
        if bytes.len() >= header + 64 {
            bytes[at(header + 32)].copy_from_slice(&(9_u64 << 30).to_le_bytes());
        }
    }
    let path = folder.path().join("endless");
    fs::write(&path, &bytes).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    let module = Module::load(file, Path::new("/endless"), &[], true).unwrap();
    assert!(module.bytes() < 1 << 20);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400 << 10, "{peak} KiB were in use");
}

proptest! {
    /// Scenario: a real program with some bytes changed, mostly in its headers and tables.
    /// Guarantees: an answer or an error.
    #[test]
    fn changed_files(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = PROGRAM.clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        drop(check_symbol_file(&bytes));
    }

    /// Scenario: any bytes behind the beginning of an ELF file.
    /// Guarantees: an answer or an error.
    #[test]
    fn any_bytes(rest in prop::collection::vec(any::<u8>(), 0..400), wide in any::<bool>()) {
        let magic = [0x7f, b'E', b'L', b'F', 1 + u8::from(wide), 1, 1, 0];
        drop(check_symbol_file(&[&magic[..], &rest].concat()));
    }
}
