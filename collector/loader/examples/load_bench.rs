//! Time and memory of loading objects, ours beside libbpf's, in one run.
//!
//! `make bench-load`, or `cargo run --release -p ig-loader --example load_bench -- OBJECT.o…`: every round loads each
//! object with both, alternating; shown are the best times and their ratio, then resident memory before, during and
//! after ours: after the first pass over all objects and after the second, because what the first leaves (pages of
//! code, the allocator's own) is not left twice.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use ig_loader::{Loader, Object};
use libbpf_rs::ObjectBuilder;

const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    libbpf_rs::set_print(None);
    let mut objects = Vec::new();
    for path in std::env::args().skip(1) {
        objects.push((path.clone(), std::fs::read(path)?));
    }
    memory(&objects)?;

    // Kept as a collector keeps them while it loads several: the kernel's types are parsed once.
    let _types = ig_kernel::btf::vmlinux()?;
    println!("{:<40} {:>9} {:>9} {:>6}", "object", "ours", "libbpf", "ratio");
    let (mut ours_total, mut libbpf_total) = (Duration::ZERO, Duration::ZERO);
    for (path, bytes) in &objects {
        let (mut ours_best, mut libbpf_best) = (Duration::MAX, Duration::MAX);
        let mut fault = None;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let loaded = ours(bytes);
            ours_best = ours_best.min(start.elapsed());
            fault = fault.or(loaded.err());

            let start = Instant::now();
            let loaded = libbpf(bytes);
            libbpf_best = libbpf_best.min(start.elapsed());
            fault = fault.or(loaded.err());
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Some(fault) = fault {
            println!("{name:<40} left out: {fault}");
            continue;
        }
        ours_total += ours_best;
        libbpf_total += libbpf_best;
        println!(
            "{name:<40} {:>9} {:>9} {:>6.2}",
            millis(ours_best),
            millis(libbpf_best),
            ratio(ours_best, libbpf_best)
        );
    }
    println!(
        "{:<40} {:>9} {:>9} {:>6.2}",
        "all",
        millis(ours_total),
        millis(libbpf_total),
        ratio(ours_total, libbpf_total)
    );
    Ok(())
}

/// Loads all objects twice and tells resident memory before, at its highest, and after each time.
fn memory(objects: &[(String, Vec<u8>)]) -> Result<(), Box<dyn Error>> {
    let before = Resident::now()?;
    // Five resets the highest mark.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let mut after = Vec::new();
    for _ in 0..2 {
        {
            let _types = ig_kernel::btf::vmlinux()?;
            let mut kept = Vec::new();
            for (_, bytes) in objects {
                kept.extend(ours(bytes).ok());
            }
        }
        ig_kernel::sys::memory::malloc_trim();
        after.push(Resident::now()?);
    }
    let during = status("VmHWM:")?;
    println!("resident KiB: {} before, {} more during", before.all, during - before.all);
    for (pass, now) in ["first", "second"].iter().zip(&after) {
        println!(
            "  {} more after the {pass} pass: {} of memory, {} of files",
            now.all - before.all,
            now.anonymous - before.anonymous,
            now.file - before.file
        );
    }
    Ok(())
}

/// Resident KiB of this process.
struct Resident {
    all: i64,
    /// What was allocated.
    anonymous: i64,
    /// Pages of programs and libraries, read when first used.
    file: i64,
}

impl Resident {
    fn now() -> Result<Self, Box<dyn Error>> {
        Ok(Self { all: status("VmRSS:")?, anonymous: status("RssAnon:")?, file: status("RssFile:")? })
    }
}

fn ours(bytes: &[u8]) -> Result<ig_loader::Loaded, String> {
    let object = Object::parse("bench", bytes).map_err(|error| format!("ours: {error}"))?;
    Loader::new(&object).load().map_err(|error| format!("ours: {error}"))
}

fn libbpf(bytes: &[u8]) -> Result<libbpf_rs::Object, String> {
    let text = |error: libbpf_rs::Error| format!("libbpf: {error}");
    let mut builder = ObjectBuilder::default();
    builder.name("bench").map_err(text)?.open_memory(bytes).map_err(text)?.load().map_err(text)
}

fn status(field: &str) -> Result<i64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn ratio(ours: Duration, libbpf: Duration) -> f64 {
    ours.as_secs_f64() / libbpf.as_secs_f64()
}
