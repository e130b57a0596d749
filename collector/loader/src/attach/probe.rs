//! Kernel probes, tracepoints, samplers, and hooks that were fixed when the program was loaded.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use ig_kernel::probe;
use ig_kernel::sys::bpf;
use ig_kernel::sys::perf::{self, ProbePoint};
use ig_kernel::tracefs::{self, KprobeEvent, TracefsError};

use super::{AttachOptions, Link};
use crate::error::AttachError;
use crate::loader::Program;
use crate::section::{ProgramKind, SYSCALL_PREFIX};

pub(super) fn tracepoint(program: &Program) -> Result<Link, AttachError> {
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

pub(super) fn raw_tracepoint(program: &Program) -> Result<Link, AttachError> {
    let name = CString::new(program.target.as_str()).map_err(|_nul| program.bad_target("tracepoint"))?;
    let link = bpf::Link::raw_tracepoint(Some(&name), program.fd.as_fd())
        .map_err(|source| program.failed(format!("raw tracepoint `{}`", program.target), source))?;
    Ok(program.link(vec![link], Vec::new()))
}

/// Programs whose hook was fixed when they were loaded.
pub(super) fn traced(program: &Program) -> Result<Link, AttachError> {
    let link = bpf::Link::raw_tracepoint(None, program.fd.as_fd()).map_err(|source| {
        // No trampolines or no ftrace.
        let without_trampolines =
            matches!(source.raw_os_error(), Some(bpf::ENOTSUPP | libc::EPERM | libc::EBUSY))
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

pub(super) fn kprobe(
    program: &Program,
    function: &str,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let hook = format!("kprobe on `{function}`");
    // `function+0x10` probes within the function.
    let (symbol, offset) = match function.split_once('+') {
        Some((symbol, offset)) => (symbol, parse_offset(offset)),
        None => (function, Some(0)),
    };
    let (Some(offset), Ok(name)) = (offset, CString::new(symbol)) else {
        return Err(program.bad_target("function or function+offset"));
    };
    let on_return = matches!(program.kind, ProgramKind::Kretprobe | ProgramKind::Kretsyscall);
    let (pmu, point) = match probe_pmu(program, "kprobe", &hook, on_return) {
        Err(error @ AttachError::UnsupportedKernel { .. }) => {
            return kprobe_by_definition(program, symbol, offset, on_return, options.procfs())
                .unwrap_or(Err(error));
        }
        found => found?,
    };
    let event = perf::open_kprobe(pmu, &name, offset, point);
    // System calls are named after their architecture since Linux 4.17.
    let event = match (event, CString::new(format!("{SYSCALL_PREFIX}{symbol}"))) {
        (Err(error), Ok(name)) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
            perf::open_kprobe(pmu, &name, offset, point).map_err(|_second| error)
        }
        (event, _) => event,
    };
    let event = event.map_err(|source| program.failed(hook.clone(), source))?;
    program.hang_on(event).map_err(|source| program.failed(hook, source))
}

/// The way for kernels without the PMU, and for processes that cannot see it; `None` where there is none either.
fn kprobe_by_definition(
    program: &Program,
    function: &str,
    offset: u64,
    on_return: bool,
    procfs: &Path,
) -> Option<Result<Link, AttachError>> {
    let defined = match KprobeEvent::define(function, offset, on_return, procfs) {
        Err(error @ TracefsError::NoFunction(_)) => {
            KprobeEvent::define(&format!("{SYSCALL_PREFIX}{function}"), offset, on_return, procfs)
                .map_err(|_second| error)
        }
        defined => defined,
    };
    let hook = || format!("kprobe on `{function}`");
    let defined = match defined {
        Ok(defined) => defined,
        Err(TracefsError::NoKprobes | TracefsError::NotMounted(_)) => return None,
        Err(TracefsError::NoFunction(_)) => {
            return Some(Err(AttachError::MissingHook { program: program.name.clone(), hook: hook() }));
        }
        Err(source) => return Some(Err(AttachError::Tracefs { program: program.name.clone(), source })),
    };
    let event = perf::open_tracepoint(defined.id()).and_then(|event| program.hang_on(event));
    Some(match event {
        Ok(mut link) => {
            link.defined.push(defined);
            Ok(link)
        }
        Err(source) => Err(program.failed(hook(), source)),
    })
}

pub(super) fn syscall_kprobe(program: &Program, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    kprobe(program, &format!("sys_{}", program.target), options)
}

fn parse_offset(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Number of a probe PMU, and the way to ask it for entries or returns.
pub(super) fn probe_pmu(
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
