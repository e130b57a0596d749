//! Loading programs: relocation, linking, and the verifier.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use ig_kernel::btf::{Btf, Kind};
use ig_kernel::probe::{Feature, Probe, probe};
use ig_kernel::release::KernelRelease;
use ig_kernel::symbols::{self, Symbol};
use ig_kernel::sys::bpf::{self, F_SLEEPABLE, ProgLoad};

use super::maps::MapFds;
use super::{Loader, Program};
use crate::core_relo::Relocator;
use crate::error::LoadError;
use crate::insn::{self, Insn, PSEUDO_BTF_ID, PSEUDO_KFUNC_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use crate::linker::{self, Linked};
use crate::object::{ExternKind, Function, ProgramSpec, Target};
use crate::section::ProgramKind;
use crate::verifier;

/// First and last size of the buffer for the verifier's log.
const LOG_SIZES: [usize; 3] = [256 << 10, 4 << 20, 64 << 20];

/// What the kernel supplied for an extern.
#[derive(Clone, Copy, Debug)]
enum Supply {
    /// A place in the map of configuration values.
    Config(u32),
    /// The id of a kernel variable.
    Variable(u32),
    /// The id of a kernel function.
    Function(u32),
    /// An address.
    Address(u64),
    /// Nothing, and the object can live with it.
    Nothing,
}

impl Loader<'_> {
    /// Loads all programs; `None` for those that nobody asked for.
    pub(super) fn load_programs(
        &self,
        kernel: Option<&Btf>,
        btf_fd: Option<BorrowedFd<'_>>,
        maps: &MapFds,
    ) -> Result<Vec<Option<Program>>, LoadError> {
        let relocated = self.relocated(kernel)?;
        let supplies = self.supplies(kernel)?;
        let mut programs = Vec::new();
        for (index, spec) in self.object.programs.iter().enumerate() {
            if spec.optional && !self.wanted.contains(&index) {
                programs.push(None);
                continue;
            }
            let mut linked =
                linker::link(&relocated, spec.function).map_err(|_too_long| LoadError::Unresolved {
                    what: "program",
                    name: spec.name.clone(),
                    problem: "it has more than a million instructions".to_owned(),
                })?;
            Self::bind(&mut linked, maps, &supplies);
            let target = self.targets.get(&index).map_or(spec.target.as_str(), String::as_str);
            let fd = self.load_program(spec, target, &linked, kernel, btf_fd)?;
            programs.push(Some(Program {
                name: spec.name.clone(),
                section: spec.section.clone(),
                kind: spec.kind,
                target: target.to_owned(),
                disabled: self.disabled.contains(&index),
                fd,
                attach_type: spec.attach_type,
                function: spec.function,
            }));
        }
        Ok(programs)
    }

    /// Copies of the functions with all CO-RE relocations carried out.
    fn relocated(&self, kernel: Option<&Btf>) -> Result<Vec<Function>, LoadError> {
        let mut functions = self.object.functions.clone();
        let targets = kernel.into_iter().chain(self.extra_btf.iter().map(AsRef::as_ref)).collect();
        let mut relocator = Relocator::new(&self.object.btf, targets);
        for function in &mut functions {
            for relocation in std::mem::take(&mut function.relocations) {
                relocator
                    .resolve(&relocation)
                    .and_then(|fixup| fixup.apply(&mut function.insns))
                    .map_err(|source| LoadError::Relocation { function: function.name.clone(), source })?;
            }
        }
        Ok(functions)
    }

    /// Asks the kernel for everything the object takes from it by name.
    fn supplies(&self, kernel: Option<&Btf>) -> Result<Vec<Supply>, LoadError> {
        let externs = &self.object.externs;
        let by_address = externs.iter().filter(|found| found.kind == ExternKind::Address);
        let addresses = symbols::lookup(by_address.map(|found| found.name.as_str())).unwrap_or_default();
        let mut supplies = Vec::with_capacity(externs.len());
        for found in externs {
            let fault = |what, problem: &str| LoadError::Unresolved {
                what,
                name: found.name.clone(),
                problem: problem.to_owned(),
            };
            let of_kernel = |kind| kernel.and_then(|btf| btf.type_by_name(&found.name, kind)).map(|id| id.0);
            let supply = match found.kind {
                ExternKind::Kconfig { offset, .. } => Some(Supply::Config(offset)),
                ExternKind::TypedVariable { .. } => of_kernel(Kind::Var).map(Supply::Variable),
                ExternKind::Function { .. } | ExternKind::Untyped => {
                    of_kernel(Kind::Func).map(Supply::Function)
                }
                ExternKind::Address => match addresses.get(found.name.as_str()) {
                    Some(Symbol::At(address)) => Some(Supply::Address(*address)),
                    Some(Symbol::Ambiguous) => {
                        return Err(fault("kernel symbol", "this kernel has several of that name"));
                    }
                    _ => None,
                },
            };
            supplies.push(match supply {
                Some(supply) => supply,
                None if found.weak => Supply::Nothing,
                None => return Err(fault("kernel symbol", "this kernel does not have it")),
            });
        }
        Ok(supplies)
    }

    /// Writes descriptors and ids into instructions.
    fn bind(linked: &mut Linked, maps: &MapFds, supplies: &[Supply]) {
        for (at, target) in std::mem::take(&mut linked.references) {
            let fd = |map: usize| maps.maps.get(map).map_or(-1, OwnedFd::as_raw_fd);
            let value = match target {
                Target::Map(map) => (PSEUDO_MAP_FD, fd(map), 0),
                Target::Data { map, offset } => (PSEUDO_MAP_VALUE, fd(map), offset as i32),
                Target::Extern(index) => match supplies.get(index).copied().unwrap_or(Supply::Nothing) {
                    Supply::Config(offset) => {
                        let fd = maps.kconfig.as_ref().map_or(-1, OwnedFd::as_raw_fd);
                        (PSEUDO_MAP_VALUE, fd, offset as i32)
                    }
                    Supply::Variable(id) => (PSEUDO_BTF_ID, id as i32, 0),
                    // A load of the function's address asks whether there is one.
                    Supply::Function(id) if linked.insns.get(at).is_some_and(|insn| insn.is_wide()) => {
                        (PSEUDO_BTF_ID, id as i32, 0)
                    }
                    Supply::Function(id) => (PSEUDO_KFUNC_CALL, id as i32, 0),
                    Supply::Address(address) => {
                        #[expect(clippy::cast_possible_truncation, reason = "both halves are written")]
                        let halves = (address as u32 as i32, (address >> 32) as u32 as i32);
                        (0, halves.0, halves.1)
                    }
                    Supply::Nothing => {
                        if linked.insns.get(at).is_some_and(|insn| !insn.is_wide()) {
                            // A call of nothing: refused unless the verifier can tell that it is never made.
                            if let Some(insn) = linked.insns.get_mut(at) {
                                *insn = Insn::missing_function(index);
                            }
                            continue;
                        }
                        (0, 0, 0)
                    }
                },
                Target::Call(_) | Target::Address(_) => continue,
            };
            let (register, low, high) = value;
            let Some(insn) = linked.insns.get_mut(at) else { continue };
            insn.set_src(register);
            insn.imm = low;
            if insn.is_wide()
                && let Some(second) = linked.insns.get_mut(at + 1)
            {
                second.imm = high;
            }
        }
    }

    fn load_program(
        &self,
        spec: &ProgramSpec,
        target: &str,
        linked: &Linked,
        kernel: Option<&Btf>,
        btf_fd: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd, LoadError> {
        if spec.program_type.0 == 0 {
            return Err(LoadError::UnknownSection {
                program: spec.name.clone(),
                section: spec.section.clone(),
            });
        }
        let attach_btf_id = match spec.kind.btf_hook(target) {
            None => 0,
            Some((name, kind)) => {
                let id = kernel.and_then(|btf| btf.type_by_name(&name, kind));
                let missing = || LoadError::MissingHook {
                    program: spec.name.clone(),
                    hook: format!("{}/{target}", spec.section.split('/').next().unwrap_or_default()),
                };
                id.ok_or_else(missing)?.0
            }
        };
        let insns = insn::encode(&linked.insns);
        let mut request = ProgLoad {
            name: &spec.name,
            prog_type: spec.program_type.0,
            expected_attach_type: spec.attach_type,
            insns: &insns,
            license: &self.object.license,
            kern_version: KernelRelease::running().code(),
            prog_flags: if spec.sleepable { F_SLEEPABLE } else { 0 },
            attach_btf_id,
            ..ProgLoad::default()
        };
        if btf_fd.is_some() && !linked.func_info.is_empty() {
            request.btf = btf_fd;
            request.func_info = &linked.func_info;
            request.func_info_rec_size = 8;
            if !linked.line_info.is_empty() {
                request.line_info = &linked.line_info;
                request.line_info_rec_size = 16;
            }
        }
        bpf::prog_load(&request, None)
            .or_else(|source| explain(&spec.name, &request, source))
            .map_err(|error| lacking(spec, error))
    }
}

/// Tells a kernel that cannot trace functions from a process that may not: both answer the same to a load.
fn lacking(spec: &ProgramSpec, error: LoadError) -> LoadError {
    let feature = match spec.kind {
        ProgramKind::Fentry | ProgramKind::Fexit | ProgramKind::FmodRet => Feature::Fentry,
        ProgramKind::Lsm => Feature::Lsm,
        _ => return error,
    };
    match (error, probe(feature)) {
        (LoadError::LoadProgram { program, source }, Probe::Unsupported { needs }) => {
            LoadError::UnsupportedKernel { program, section: spec.section.clone(), needs, source }
        }
        (error, _) => error,
    }
}

/// Loads once more with a log, to say why it fails.
fn explain(program: &str, request: &ProgLoad<'_>, source: io::Error) -> Result<OwnedFd, LoadError> {
    let mut source = source;
    let mut text = String::new();
    for size in LOG_SIZES {
        let mut log = vec![0; size];
        let result = bpf::prog_load(request, Some((&mut log, 1)));
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        text = String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned();
        match result {
            // Whatever was short before is there now.
            Ok(fd) => return Ok(fd),
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
            Err(error) => {
                source = error;
                break;
            }
        }
    }
    if text.trim().is_empty() {
        return Err(LoadError::LoadProgram { program: program.to_owned(), source });
    }
    let summary = verifier::summarise(&text);
    Err(LoadError::Verifier { program: program.to_owned(), summary, log: text, source })
}
