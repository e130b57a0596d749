//! Time to name stacks of this very process, and the memory of what is kept: `cargo run --release --example stack_bench`.

#![expect(clippy::print_stdout, reason = "the numbers are the output")]

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, time::Instant};

use ig_symbols::{ExeId, Limits, Method, Options, Process, Symbols};

const STACKS: usize = 10_000;
const FRAMES: usize = 20;

/// Addresses all over the code of this process.
fn addresses() -> Vec<u64> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut addresses = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" r-xp ") && line.contains('/')) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((start, end)) = range else { continue };
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        addresses.extend((number(start)..number(end)).step_by(251));
    }
    addresses
}

fn main() -> std::io::Result<()> {
    let exe = fs::metadata("/proc/self/exe")?;
    let mtime_nsec = u32::try_from(exe.mtime_nsec()).unwrap_or(0);
    let exe = ExeId { inode: exe.ino(), mtime_sec: exe.mtime(), mtime_nsec, ..ExeId::default() };
    let process = Process { pid: std::process::id(), generation: 1, exe };
    let pool = addresses();
    let mut seed = 1_usize;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        pool.get((seed >> 33) % pool.len()).copied().unwrap_or(0)
    };
    let stacks: Vec<Vec<u64>> = (0..STACKS).map(|_| (0..FRAMES).map(|_| next()).collect()).collect();
    let distinct = stacks.iter().flatten().collect::<HashSet<_>>().len();
    for method in [Method::Symtab, Method::Full] {
        let limits = Limits { burst: std::time::Duration::from_secs(60), ..Limits::default() };
        let symbols = Symbols::new(Options { limits, ..Options::default() });
        let mut out = String::new();
        let begun = Instant::now();
        let found = symbols.user(&process, stacks.first().map_or(&[], Vec::as_slice), method, &mut out);
        println!("{method:?}: first stack {:?} {found:?}", begun.elapsed());
        for round in ["cold names", "warm"] {
            let begun = Instant::now();
            let mut unknown = 0;
            for stack in &stacks {
                out.clear();
                unknown += symbols.user(&process, stack, method, &mut out).unknown;
            }
            let kib = symbols.bytes() >> 10;
            println!(
                "{method:?}: {STACKS} stacks of {FRAMES}, {distinct} addresses, {round}: {:?}, {unknown} unknown, {kib} KiB kept",
                begun.elapsed()
            );
        }
    }
    let symbols = Symbols::new(Options::default());
    let mut out = String::new();
    let begun = Instant::now();
    let found = symbols.kernel(&[0xffff_ffff_8110_0000], &mut out);
    println!("kernel: first {:?} {found:?} {out}, {} KiB kept", begun.elapsed(), symbols.bytes() >> 10);
    Ok(())
}
