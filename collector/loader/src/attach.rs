//! From loaded programs to links.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ig_kernel::map::online_cpus;
use ig_kernel::probe;
use ig_kernel::sys::bpf::{self, ATTACH_PERF_EVENT, LinkTarget};
use ig_kernel::sys::perf::{self, ProbePoint};
use ig_kernel::tracefs::{self, TracefsError};

use crate::error::AttachError;
use crate::loader::{Loaded, Program};
use crate::section::ProgramKind;

mod uprobe;

/// What attaching may need beyond the object.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions<'a> {
    /// Map whose elements an `iter/bpf_map_elem` walks, by name.
    pub iter_map: Option<&'a str>,
    /// How often a second a `perf_event` program samples each CPU.
    pub sample_frequency: Option<u64>,
    /// Process whose use of a file a uprobe watches; all without.
    pub pid: Option<i32>,
}

/// A program at its hook; dropping it detaches.
///
/// Closing the link of a classic tracepoint waits for the kernel to notice on all CPUs, about 75 ms: drop such links
/// where nobody waits, such as a blocking thread, and several of them at the same time on several threads.
#[derive(Debug)]
pub struct Link {
    program: String,
    // Links go before the events they hang on: fields are dropped in order.
    links: Vec<OwnedFd>,
    events: Vec<OwnedFd>,
}

impl Link {
    /// Name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Starts a walk of an iterator. Reading the file to its end runs the program over all there is; what it writes
    /// with `bpf_seq_write` is what is read.
    ///
    /// # Errors
    /// [`AttachError::Iterator`]; also when the program is none.
    pub fn iter_reader(&self) -> Result<File, AttachError> {
        let failed = |source| AttachError::Iterator { program: self.program.clone(), source };
        let link = self.links.first().ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        Ok(File::from(bpf::iter_create(link.as_fd()).map_err(failed)?))
    }

    /// Descriptor of the kernel's link; `None` where the kernel is too old for one.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.links.first().map(OwnedFd::as_fd)
    }

    /// Perf events the program hangs on.
    pub fn event_count(&self) -> usize {
        self.events.len()
    }
}

impl Loaded {
    /// Attaches a program to where its section (or the loader's caller) says.
    ///
    /// # Errors
    /// Any [`AttachError`].
    pub fn attach(&self, program: &str) -> Result<Link, AttachError> {
        self.attach_with(program, &AttachOptions::default())
    }

    /// Attaches a program that needs more than its section says.
    ///
    /// # Errors
    /// Any [`AttachError`].
    pub fn attach_with(&self, program: &str, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
        let program = self.program(program).ok_or_else(|| AttachError::UnknownProgram(program.to_owned()))?;
        if program.disabled {
            return Err(AttachError::Disabled(program.name.clone()));
        }
        match program.kind {
            ProgramKind::Tracepoint => tracepoint(program),
            ProgramKind::RawTracepoint => raw_tracepoint(program),
            ProgramKind::TracepointBtf
            | ProgramKind::Fentry
            | ProgramKind::Fexit
            | ProgramKind::FmodRet
            | ProgramKind::Lsm => traced(program),
            ProgramKind::Iter => self.iterator(program, options),
            ProgramKind::Kprobe | ProgramKind::Kretprobe => kprobe(program, &program.target),
            ProgramKind::Ksyscall | ProgramKind::Kretsyscall => syscall_kprobe(program),
            ProgramKind::Uprobe | ProgramKind::Uretprobe => uprobe::attach(program, options),
            ProgramKind::PerfEvent => sampler(program, options),
            _ => {
                Err(program.unsupported("this kind of section needs a target that the caller has to supply"))
            }
        }
    }

    fn iterator(&self, program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
        let map = match options.iter_map {
            None if program.target == "bpf_map_elem" => {
                return Err(program.unsupported("an iterator over map elements needs the map"));
            }
            None => None,
            Some(name) => Some(self.map(name).ok_or_else(|| AttachError::Target {
                program: program.name.clone(),
                target: name.to_owned(),
                form: "a map of the object",
            })?),
        };
        let target = map.map_or(LinkTarget::Program, |map| LinkTarget::MapElements(map.as_fd()));
        let link = bpf::link_create(program.fd.as_fd(), program.attach_type, target)
            .map_err(|source| program.failed(program.target.clone(), source))?;
        Ok(program.link(vec![link], Vec::new()))
    }
}

impl Program {
    fn link(&self, links: Vec<OwnedFd>, events: Vec<OwnedFd>) -> Link {
        Link { program: self.name.clone(), links, events }
    }

    fn failed(&self, hook: String, source: io::Error) -> AttachError {
        if source.raw_os_error() == Some(libc::ENOENT) {
            return AttachError::MissingHook { program: self.name.clone(), hook };
        }
        AttachError::Io { program: self.name.clone(), hook, source }
    }

    fn unsupported(&self, problem: &'static str) -> AttachError {
        AttachError::Unsupported { program: self.name.clone(), section: self.section.clone(), problem }
    }

    fn bad_target(&self, form: &'static str) -> AttachError {
        AttachError::Target { program: self.name.clone(), target: self.target.clone(), form }
    }

    /// Hangs the program on an open perf event.
    fn hang_on(&self, event: OwnedFd) -> io::Result<Link> {
        match bpf::link_create(self.fd.as_fd(), ATTACH_PERF_EVENT, LinkTarget::Fd(event.as_fd())) {
            Ok(link) => {
                perf::enable(event.as_fd())?;
                Ok(self.link(vec![link], vec![event]))
            }
            // Before Linux 5.15 there are no links of perf events.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                perf::set_bpf(event.as_fd(), self.fd.as_fd())?;
                perf::enable(event.as_fd())?;
                Ok(self.link(Vec::new(), vec![event]))
            }
            Err(error) => Err(error),
        }
    }
}

fn tracepoint(program: &Program) -> Result<Link, AttachError> {
    let mut parts = program.target.split('/');
    let (Some(group), Some(name)) = (parts.next(), parts.next()) else {
        return Err(program.bad_target("group/name"));
    };
    let hook = format!("tracepoint `{group}:{name}`");
    let id = tracefs::event_id(group, name).map_err(|source| match source {
        TracefsError::NoEvent { .. } => {
            AttachError::MissingHook { program: program.name.clone(), hook: hook.clone() }
        }
        source => AttachError::Tracefs { program: program.name.clone(), source },
    })?;
    let event = perf::open_tracepoint(id).map_err(|source| program.failed(hook.clone(), source))?;
    program.hang_on(event).map_err(|source| program.failed(hook, source))
}

fn raw_tracepoint(program: &Program) -> Result<Link, AttachError> {
    let name = CString::new(program.target.as_str()).map_err(|_nul| program.bad_target("tracepoint"))?;
    let link = bpf::raw_tracepoint_open(Some(&name), program.fd.as_fd())
        .map_err(|source| program.failed(format!("raw tracepoint `{}`", program.target), source))?;
    Ok(program.link(vec![link], Vec::new()))
}

/// Programs whose hook was fixed when they were loaded.
fn traced(program: &Program) -> Result<Link, AttachError> {
    let link = bpf::raw_tracepoint_open(None, program.fd.as_fd()).map_err(|source| {
        // 524 is the kernel's own ENOTSUPP: no trampolines or no ftrace.
        let without_trampolines = matches!(source.raw_os_error(), Some(524 | libc::EPERM | libc::EBUSY))
            && matches!(program.kind, ProgramKind::Fentry | ProgramKind::Fexit | ProgramKind::FmodRet)
            && probe::probe(probe::Feature::Fentry).is_unsupported();
        if without_trampolines {
            return AttachError::UnsupportedKernel {
                program: program.name.clone(),
                hook: program.section.clone(),
                needs: "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
            };
        }
        program.failed(program.section.clone(), source)
    })?;
    Ok(program.link(vec![link], Vec::new()))
}

fn kprobe(program: &Program, function: &str) -> Result<Link, AttachError> {
    let hook = format!("kprobe on `{function}`");
    // `function+0x10` probes within the function.
    let (symbol, offset) = match function.split_once('+') {
        Some((symbol, offset)) => (symbol, parse_offset(offset)),
        None => (function, Some(0)),
    };
    let (Some(offset), Ok(name)) = (offset, CString::new(symbol)) else {
        return Err(program.bad_target("function or function+offset"));
    };
    let (pmu, point) = probe_pmu(program, "kprobe", &hook, program.kind == ProgramKind::Kretprobe)?;
    let event = perf::open_kprobe(pmu, &name, offset, point);
    // System calls are named after their architecture since Linux 4.17.
    let prefix = if cfg!(target_arch = "x86_64") { "__x64_" } else { "__arm64_" };
    let event = match (event, CString::new(format!("{prefix}{symbol}"))) {
        (Err(error), Ok(name)) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
            perf::open_kprobe(pmu, &name, offset, point).map_err(|_second| error)
        }
        (event, _) => event,
    };
    let event = event.map_err(|source| program.failed(hook.clone(), source))?;
    program.hang_on(event).map_err(|source| program.failed(hook, source))
}

fn syscall_kprobe(program: &Program) -> Result<Link, AttachError> {
    kprobe(program, &format!("sys_{}", program.target))
}

fn parse_offset(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Number of a probe PMU, and the way to ask it for entries or returns.
fn probe_pmu(
    program: &Program,
    pmu: &str,
    hook: &str,
    on_return: bool,
) -> Result<(u32, ProbePoint), AttachError> {
    let read = || -> io::Result<(u32, ProbePoint)> {
        let number = probe::pmu_type(pmu)?;
        let point = if on_return {
            ProbePoint::Return { bit: probe::pmu_return_bit(pmu)? }
        } else {
            ProbePoint::Entry
        };
        Ok((number, point))
    };
    read().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => AttachError::UnsupportedKernel {
            program: program.name.clone(),
            hook: hook.to_owned(),
            needs: if pmu == "kprobe" { "CONFIG_KPROBE_EVENTS" } else { "CONFIG_UPROBE_EVENTS" },
        },
        _ => program.failed(hook.to_owned(), source),
    })
}

/// The software clock of each CPU that is online.
fn sampler(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let frequency = options
        .sample_frequency
        .filter(|frequency| *frequency > 0)
        .ok_or_else(|| program.unsupported("a sampler needs a frequency"))?;
    let mut link = program.link(Vec::new(), Vec::new());
    for cpu in online_cpus() {
        let hook = || format!("CPU clock of CPU {cpu}");
        let event = perf::open_cpu_clock(cpu, frequency).map_err(|source| program.failed(hook(), source))?;
        let one = program.hang_on(event).map_err(|source| program.failed(hook(), source))?;
        link.links.extend(one.links);
        link.events.extend(one.events);
    }
    Ok(link)
}
