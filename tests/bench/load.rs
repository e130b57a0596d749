//! Events at a known rate and in known number.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

/// Name of the threads that open files, as the kernel shows it.
pub(crate) const OPENER: &str = "ig-bench-open";
/// Name of the program that is executed.
pub(crate) const PROGRAM: &str = "ig-bench-exec";

/// Sleeping shorter than this costs more than it spares.
const WORTH_A_SLEEP: Duration = Duration::from_micros(400);

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) events: u64,
    pub(crate) took: Duration,
}

impl Done {
    pub(crate) fn per_second(self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn ns_per_event(self) -> f64 {
        self.took.as_nanos() as f64 / self.events as f64
    }
}

/// A source of events.
#[derive(Debug)]
pub(crate) enum Load {
    /// `openat` and `close` of `/dev/null`.
    Open,
    /// A vfork, an `execve` of the smallest program there is, and a wait.
    Exec(PathBuf),
}

impl Load {
    /// Executions of a program that is put into `folder`.
    pub(crate) fn exec(folder: &Path) -> Self {
        let path = folder.join(PROGRAM);
        if let Some(program) = smallest_program() {
            fs::write(&path, program).unwrap();
        } else {
            fs::copy("/bin/true", &path).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self::Exec(path)
    }

    /// Makes one event.
    pub(crate) fn once(&self) {
        match self {
            Self::Open => {
                rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            }
            Self::Exec(path) => assert!(Command::new(path).status().unwrap().success()),
        }
    }

    /// Makes events on `threads` threads for `time`: as fast as they can, or `rate` a second all together.
    pub(crate) fn run(&self, threads: u32, rate: Option<f64>, time: Duration) -> Done {
        let began = Instant::now();
        let events = thread::scope(|scope| {
            let pace = rate.map(|rate| Duration::from_secs_f64(f64::from(threads) / rate));
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let name = OPENER.to_owned();
                    thread::Builder::new()
                        .name(name)
                        .spawn_scoped(scope, move || {
                            pace.map_or_else(|| self.flat_out(time), |pace| self.paced(pace, time))
                        })
                        .unwrap()
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        Done { events, took: began.elapsed() }
    }

    fn flat_out(&self, time: Duration) -> u64 {
        let batch = if matches!(self, Self::Open) { 64 } else { 1 };
        let (began, mut events) = (Instant::now(), 0);
        while began.elapsed() < time {
            for _ in 0..batch {
                self.once();
            }
            events += batch;
        }
        events
    }

    /// Evenly spread; after a pause of the machine it catches up, so the rate holds.
    fn paced(&self, pace: Duration, time: Duration) -> u64 {
        let (began, mut events) = (Instant::now(), 0_u64);
        loop {
            let due = pace.mul_f64(events as f64);
            if due >= time {
                return events;
            }
            loop {
                let left = due.saturating_sub(began.elapsed());
                if left.is_zero() {
                    break;
                }
                if left > WORTH_A_SLEEP {
                    thread::sleep(left.saturating_sub(WORTH_A_SLEEP / 2));
                } else {
                    std::hint::spin_loop();
                }
            }
            self.once();
            events += 1;
        }
    }
}

/// A static ELF file that only exits, so that an execution costs what the kernel makes it cost and not a dynamic linker.
fn smallest_program() -> Option<Vec<u8>> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code): (u16, &[u8]) = match std::env::consts::ARCH {
        // xor edi, edi; mov eax, 60; syscall
        "x86_64" => (62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]),
        // mov x0, 0; mov x8, 93; svc 0
        "aarch64" => (183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
        _ => return None,
    };
    let size = HEADERS + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let halves =
        |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    halves(&mut file, &[2, machine]); // an executable
    words(&mut file, &[1]);
    longs(&mut file, &[BASE + HEADERS, 64, 0]); // entry, program headers, no sections
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, 1, 64, 0, 0]);
    words(&mut file, &[1, 5]); // load, readable and executable
    longs(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend_from_slice(code);
    Some(file)
}
