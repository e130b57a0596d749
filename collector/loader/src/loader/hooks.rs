//! Which programs are left out, and why.
//!
//! Why it exists: one image serves many kernels. A program whose section begins with `?` is left out where its hook is
//! missing, and a program may stand in for another. What can be asked before loading is asked here; a hook that only
//! the attempt to attach can tell of (files of uprobes, functions that must not be probed) counts as there.

use std::collections::HashMap;
use std::fmt;

use ig_kernel::btf::Kind;
use ig_kernel::probe::{Feature, Probe, probe};
use ig_kernel::symbols::{self, Symbol};
use ig_kernel::tracefs::{self, TracefsError};

use super::Loader;
use crate::kernel_types::KernelTypes;
use crate::object::ProgramSpec;
use crate::section::ProgramKind;

/// A program that was not loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Name of its function.
    pub program: String,
    /// Its section, as written.
    pub section: String,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why a program was not loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SkipReason {
    /// The caller did not want it.
    Unwanted,
    /// This kernel has no such hook.
    MissingHook {
        /// The hook, in words.
        hook: String,
    },
    /// This kernel has no such kind of hook.
    UnsupportedKernel {
        /// What would have it.
        needs: &'static str,
    },
    /// It stands in for another program, which was not left out.
    NotNeeded {
        /// Name of the other.
        instead: String,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted => f.write_str("it was not asked for"),
            Self::MissingHook { hook } => write!(f, "this kernel has no {hook}"),
            Self::UnsupportedKernel { needs } => write!(f, "this kernel needs {needs}"),
            Self::NotNeeded { instead } => write!(f, "`{instead}` is loaded instead"),
        }
    }
}

impl Loader<'_> {
    /// For each program of the object why it is left out; `None` for those to load.
    pub(super) fn skip_reasons(&self, kernel: &KernelTypes) -> Vec<Option<SkipReason>> {
        let programs = &self.object.programs;
        let probed = |index: usize, program: &ProgramSpec| program.optional && !self.wanted.contains(&index);
        let functions: Vec<String> = programs
            .iter()
            .enumerate()
            .filter(|(index, program)| probed(*index, program))
            .flat_map(|(index, program)| program.kind.kernel_functions(self.target(index, program)))
            .collect();
        // Unreadable symbols are no reason: attaching will tell.
        let symbols = symbols::lookup(functions.iter().map(String::as_str)).ok();
        let own: Vec<Option<SkipReason>> = programs
            .iter()
            .enumerate()
            .map(|(index, program)| {
                if self.unwanted.contains(&index) {
                    Some(SkipReason::Unwanted)
                } else if probed(index, program) {
                    missing(program.kind, self.target(index, program), kernel, symbols.as_ref())
                } else {
                    None
                }
            })
            .collect();
        let mut reasons = own.clone();
        for (program, other) in &self.stand_ins {
            let other_is_loaded = own.get(*other).is_some_and(Option::is_none);
            if let (true, Some(reason), Some(other)) =
                (other_is_loaded, reasons.get_mut(*program), programs.get(*other))
            {
                *reason = Some(SkipReason::NotNeeded { instead: other.name.clone() });
            }
        }
        reasons
    }

    /// Where a program attaches: its section's target, or the one set instead.
    pub(super) fn target<'t>(&'t self, index: usize, program: &'t ProgramSpec) -> &'t str {
        self.targets.get(&index).map_or(program.target.as_str(), String::as_str)
    }
}

/// Why a program cannot be attached to this kernel, as far as that shows before it is loaded.
fn missing(
    kind: ProgramKind,
    target: &str,
    kernel: &KernelTypes,
    symbols: Option<&HashMap<&str, Symbol>>,
) -> Option<SkipReason> {
    let missing = |hook: String| Some(SkipReason::MissingHook { hook });
    match kind {
        ProgramKind::Kprobe | ProgramKind::Kretprobe | ProgramKind::Ksyscall | ProgramKind::Kretsyscall => {
            let known = |name: &String| {
                symbols.is_none_or(|symbols| {
                    symbols.get(name.as_str()).is_some_and(|found| *found != Symbol::Absent)
                })
            };
            if kind.kernel_functions(target).iter().any(known) {
                lacking(Feature::Kprobe)
            } else {
                missing(format!("function `{target}`"))
            }
        }
        ProgramKind::Tracepoint => {
            let mut parts = target.split('/');
            let (group, name) = (parts.next()?, parts.next()?);
            match tracefs::event_id(group, name) {
                Err(TracefsError::NoEvent { .. }) => missing(format!("tracepoint `{group}:{name}`")),
                _ => None,
            }
        }
        ProgramKind::RawTracepoint => {
            // Without types there is nobody to ask.
            kernel.vmlinux()?;
            let found = kernel.hook(&format!("btf_trace_{target}"), Kind::Typedef);
            if found.is_some() { None } else { missing(format!("raw tracepoint `{target}`")) }
        }
        ProgramKind::Uprobe | ProgramKind::Uretprobe | ProgramKind::Usdt => lacking(Feature::Uprobe),
        kind => {
            let (name, btf_kind) = kind.btf_hook(target)?;
            if kernel.hook(&name, btf_kind).is_none() {
                return missing(format!("{} `{target}`", noun(kind)));
            }
            match kind {
                ProgramKind::Fentry | ProgramKind::Fexit | ProgramKind::FmodRet => lacking(Feature::Fentry),
                ProgramKind::Lsm => lacking(Feature::Lsm),
                _ => None,
            }
        }
    }
}

fn noun(kind: ProgramKind) -> &'static str {
    match kind {
        ProgramKind::TracepointBtf => "tracepoint",
        ProgramKind::Iter => "iterator",
        ProgramKind::Lsm | ProgramKind::LsmCgroup => "LSM hook",
        _ => "function",
    }
}

fn lacking(feature: Feature) -> Option<SkipReason> {
    match probe(feature) {
        Probe::Unsupported { needs } => Some(SkipReason::UnsupportedKernel { needs }),
        _ => None,
    }
}
