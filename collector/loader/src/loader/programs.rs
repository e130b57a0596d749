//! Loading programs: relocation, linking, and the verifier.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use ig_kernel::btf::{Kind, TypeId};
use ig_kernel::probe::{Feature, Probe, probe};
use ig_kernel::release::KernelRelease;
use ig_kernel::symbols::{self, Symbol};
use ig_kernel::sys::bpf::{self, F_SLEEPABLE, F_XDP_HAS_FRAGS, ProgLoad};

use super::maps::MapFds;
use super::{Loader, Program};
use crate::core_relo::Relocator;
use crate::error::LoadError;
use crate::helpers;
use crate::insn::{self, Insn, PSEUDO_BTF_ID, PSEUDO_KFUNC_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use crate::kernel_types::{Found, KernelTypes, Miss, Module};
use crate::linker::{self, Linked};
use crate::object::{ExternKind, Function, ProgramSpec, Target};
use crate::section::ProgramKind;
use crate::verifier;

/// First and last size of the buffer for the verifier's log.
const LOG_SIZES: [usize; 3] = [256 << 10, 4 << 20, 64 << 20];

/// What the kernel supplied for an extern.
#[derive(Clone, Copy, Debug)]
enum Supply<'k> {
    /// A place in the map of configuration values.
    Config(u32),
    /// A kernel variable.
    Variable(Found<'k>),
    /// A kernel function.
    Function(Found<'k>),
    /// An address.
    Address(u64),
    /// Nothing, and the object can live with it.
    Nothing,
}

impl Loader<'_> {
    /// Loads all programs; `None` for those that nobody asked for.
    pub(super) fn load_programs(
        &self,
        kernel: &KernelTypes,
        btf_fd: Option<BorrowedFd<'_>>,
        maps: &MapFds,
    ) -> Result<Vec<Option<Program>>, LoadError> {
        let relocated = self.relocated(kernel)?;
        let supplies = self.supplies(kernel)?;
        let mut modules = ModuleFds::default();
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
            Self::bind(&mut linked, maps, &supplies, &mut modules)
                .map_err(|source| LoadError::LoadProgram { program: spec.name.clone(), source })?;
            let target = self.targets.get(&index).map_or(spec.target.as_str(), String::as_str);
            let fd = self.load_program(spec, target, &linked, kernel, btf_fd, &modules)?;
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
    fn relocated(&self, kernel: &KernelTypes) -> Result<Vec<Function>, LoadError> {
        let mut functions = self.object.functions.clone();
        let targets = kernel.vmlinux().into_iter().chain(self.extra_btf.iter().map(AsRef::as_ref)).collect();
        let mut relocator = Relocator::new(&self.object.btf, targets);
        let mut relocations = functions.iter().flat_map(|function| &function.relocations);
        if relocations.any(|relocation| !relocator.knows(relocation.type_id)) {
            relocator.add_modules(kernel.modules().iter().map(|module| (module.name.as_str(), &module.btf)));
        }
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
    fn supplies<'k>(&self, kernel: &'k KernelTypes) -> Result<Vec<Supply<'k>>, LoadError> {
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
            let of_kernel = |kind, local: Option<TypeId>| {
                kernel.symbol(&found.name, kind, local.map(|id| (&*self.object.btf, id)))
            };
            let mut incompatible = false;
            let mut note = |found: Result<Found<'k>, Miss>| {
                incompatible = found.as_ref().err() == Some(&Miss::Incompatible);
                found.ok()
            };
            let supply = match found.kind {
                ExternKind::Kconfig { offset, .. } => Some(Supply::Config(offset)),
                ExternKind::TypedVariable { type_id } => {
                    note(of_kernel(Kind::Var, Some(type_id))).map(Supply::Variable)
                }
                ExternKind::Function { type_id } => {
                    note(of_kernel(Kind::Func, Some(type_id))).map(Supply::Function)
                }
                ExternKind::Untyped => note(of_kernel(Kind::Func, None)).map(Supply::Function),
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
                // A variable of another make is no absent one: the object would read nonsense either way.
                None if found.weak
                    && !(incompatible && matches!(found.kind, ExternKind::TypedVariable { .. })) =>
                {
                    Supply::Nothing
                }
                None if incompatible => {
                    return Err(fault("kernel symbol", "this kernel's is of another type than the object's"));
                }
                None => return Err(fault("kernel symbol", "this kernel does not have it")),
            });
        }
        Ok(supplies)
    }

    /// Writes descriptors and ids into instructions.
    fn bind(
        linked: &mut Linked,
        maps: &MapFds,
        supplies: &[Supply<'_>],
        modules: &mut ModuleFds,
    ) -> io::Result<()> {
        for (at, target) in std::mem::take(&mut linked.references) {
            let fd = |map: usize| maps.maps.get(map).map_or(-1, OwnedFd::as_raw_fd);
            let Some(insn) = linked.insns.get_mut(at) else { continue };
            let value = match target {
                Target::Map(map) => (PSEUDO_MAP_FD, fd(map), 0),
                Target::Data { map, offset } => (PSEUDO_MAP_VALUE, fd(map), offset as i32),
                Target::Extern(index) => match supplies.get(index).copied().unwrap_or(Supply::Nothing) {
                    Supply::Config(offset) => {
                        let fd = maps.kconfig.as_ref().map_or(-1, OwnedFd::as_raw_fd);
                        (PSEUDO_MAP_VALUE, fd, offset as i32)
                    }
                    // A load of a function's address asks whether there is one.
                    Supply::Function(found) if !insn.is_wide() => {
                        insn.off = modules.place(found.module)?;
                        (PSEUDO_KFUNC_CALL, found.id.0 as i32, 0)
                    }
                    Supply::Variable(found) | Supply::Function(found) => {
                        (PSEUDO_BTF_ID, found.id.0 as i32, modules.descriptor(found.module)?)
                    }
                    Supply::Address(address) => {
                        #[expect(clippy::cast_possible_truncation, reason = "both halves are written")]
                        let halves = (address as u32 as i32, (address >> 32) as u32 as i32);
                        (0, halves.0, halves.1)
                    }
                    Supply::Nothing if insn.is_wide() => (0, 0, 0),
                    Supply::Nothing => {
                        // A call of nothing: refused unless the verifier can tell that it is never made.
                        *insn = Insn::missing_function(index);
                        continue;
                    }
                },
                Target::Call(_) | Target::Address(_) => continue,
            };
            let (register, low, high) = value;
            insn.set_src(register);
            insn.imm = low;
            if insn.is_wide()
                && let Some(second) = linked.insns.get_mut(at + 1)
            {
                second.imm = high;
            }
        }
        Ok(())
    }

    fn load_program(
        &self,
        spec: &ProgramSpec,
        target: &str,
        linked: &Linked,
        kernel: &KernelTypes,
        btf_fd: Option<BorrowedFd<'_>>,
        modules: &ModuleFds,
    ) -> Result<OwnedFd, LoadError> {
        if spec.program_type.0 == 0 {
            return Err(LoadError::UnknownSection {
                program: spec.name.clone(),
                section: spec.section.clone(),
            });
        }
        let hook = match spec.kind.btf_hook(target) {
            None => None,
            Some((name, kind)) => {
                let missing = || LoadError::MissingHook {
                    program: spec.name.clone(),
                    hook: format!("{}/{target}", spec.section.split('/').next().unwrap_or_default()),
                };
                Some(kernel.hook(&name, kind).ok_or_else(missing)?)
            }
        };
        let module = hook.and_then(|hook| hook.module).map(Module::open).transpose();
        let module =
            module.map_err(|source| LoadError::LoadProgram { program: spec.name.clone(), source })?;
        let mut insns = linked.insns.clone();
        helpers::replace(&mut insns, KernelRelease::running());
        let insns = insn::encode(&insns);
        let mut request = ProgLoad {
            name: &spec.name,
            prog_type: spec.program_type.0,
            expected_attach_type: spec.attach_type,
            insns: &insns,
            license: &self.object.license,
            kern_version: KernelRelease::running().code(),
            prog_flags: prog_flags(spec),
            attach_btf_id: hook.map_or(0, |hook| hook.id.0),
            attach_btf_obj: module.as_ref().map(OwnedFd::as_fd),
            fd_array: &modules.array,
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

fn prog_flags(spec: &ProgramSpec) -> u32 {
    let frags = spec.section.trim_start_matches('?').starts_with("xdp.frags");
    (if spec.sleepable { F_SLEEPABLE } else { 0 }) | if frags { F_XDP_HAS_FRAGS } else { 0 }
}

/// Descriptors of the modules that programs refer to.
#[derive(Default)]
struct ModuleFds {
    open: Vec<(String, OwnedFd)>,
    /// As calls refer to them; the first place is not used, because zero means vmlinux.
    array: Vec<RawFd>,
}

impl ModuleFds {
    /// The descriptor of a module; zero for vmlinux.
    fn descriptor(&mut self, module: Option<&Module>) -> io::Result<RawFd> {
        let place = usize::from(self.place(module)?.unsigned_abs());
        Ok(self.array.get(place).copied().filter(|_| place > 0).unwrap_or(0))
    }

    /// The place of a module in the array; zero for vmlinux.
    fn place(&mut self, module: Option<&Module>) -> io::Result<i16> {
        let Some(module) = module else { return Ok(0) };
        let known = self.open.iter().position(|(name, _)| *name == module.name);
        let index = if let Some(index) = known {
            index
        } else {
            let fd = module.open()?;
            if self.array.is_empty() {
                self.array.push(0);
            }
            self.array.push(fd.as_raw_fd());
            self.open.push((module.name.clone(), fd));
            self.open.len() - 1
        };
        i16::try_from(index + 1).map_err(io::Error::other)
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
