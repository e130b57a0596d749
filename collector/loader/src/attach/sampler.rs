//! A program that samples each CPU by a clock of its own.

use std::fs;
use std::sync::{Mutex, PoisonError};

use ig_kernel::cpus::{Followed, PerCpu};
use ig_kernel::map::online_cpus;
use ig_kernel::sys::perf;

use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::Program;

/// The clocks of a program, which follow the CPUs.
#[derive(Debug)]
pub(super) struct Sampler {
    /// With a descriptor of its own: CPUs come long after the object was loaded.
    program: Program,
    frequency: u64,
    clocks: Mutex<PerCpu<Link>>,
}

/// The kernel's limit, which it lowers by itself when sampling takes too long.
fn most_samples() -> u64 {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate").unwrap_or_default();
    text.trim().parse().unwrap_or(u64::MAX)
}

/// The software clock of each CPU that is online.
pub(super) fn attach(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let frequency = options
        .sample_frequency
        .filter(|frequency| *frequency > 0)
        .ok_or_else(|| program.unsupported("a sampler needs a frequency"))?;
    let own =
        program.try_clone().map_err(|source| program.failed("the clock of each CPU".to_owned(), source))?;
    let sampler = Sampler { program: own, frequency, clocks: Mutex::default() };
    match sampler.follow(&online_cpus(), false).error {
        Some(error) => Err(error),
        None => Ok(Link { sampler: Some(sampler), ..program.link(Vec::new(), Vec::new()) }),
    }
}

impl Sampler {
    pub(super) fn follow(&self, online: &[u32], anew: bool) -> Followed<Link, AttachError> {
        self.clocks().follow(online, anew, |cpu| self.open(cpu))
    }

    pub(super) fn len(&self) -> usize {
        self.clocks().len()
    }

    fn clocks(&self) -> std::sync::MutexGuard<'_, PerCpu<Link>> {
        // Each change of the map is whole, whatever panicked between two.
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of one CPU; `None` if it is offline.
    fn open(&self, cpu: u32) -> Result<Option<Link>, AttachError> {
        let Self { program, frequency, .. } = self;
        let failed = |source| program.failed(format!("CPU clock of CPU {cpu}"), source);
        let event = match perf::open_cpu_clock(cpu, *frequency) {
            // It went offline in between.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && *frequency > most_samples() => {
                return Err(program.unsupported(
                    "it samples more often than /proc/sys/kernel/perf_event_max_sample_rate allows",
                ));
            }
            event => event.map_err(failed)?,
        };
        program.hang_on(event).map(Some).map_err(failed)
    }
}
