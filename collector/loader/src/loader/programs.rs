//! Loading programs: relocation, linking, and the verifier.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use ig_kernel::btf::{Kind, TypeId};
use ig_kernel::map::Map;
use ig_kernel::probe::{Feature, Probe, probe};
use ig_kernel::release::KernelRelease;
use ig_kernel::symbols::{self, Symbol};
use ig_kernel::sys::bpf::{self, ProgLoad, ProgramFlags, ProgramType};
use ig_model::Shortage;

use super::maps::CreatedMaps;
use super::{Loader, Program, Refused, Skipped};
use crate::core_relo::{CoreError, Relocator};
use crate::error::LoadError;
use crate::helpers;
use crate::insn::{self, Insn, PSEUDO_BTF_ID, PSEUDO_KFUNC_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use crate::kernel_types::{Found, KernelTypes, Miss, Module};
use crate::linker::{self, Linked};
use crate::object::{Extern, ExternKind, Function, ProgramSpec, Target};
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

/// What became of an object's programs.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) programs: Vec<Program>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) refused: Vec<Refused>,
}

/// What an object takes from the kernel by name and the kernel does not have.
#[derive(Clone, Debug)]
struct Unsupplied {
    what: &'static str,
    name: String,
    problem: &'static str,
}

impl From<&Unsupplied> for LoadError {
    fn from(Unsupplied { what, name, problem }: &Unsupplied) -> Self {
        Self::Unresolved { what, name: name.clone(), problem: (*problem).to_owned() }
    }
}

/// An object's functions and all that their instructions wait for.
struct Prepared<'k> {
    kernel: &'k KernelTypes,
    /// With all CO-RE relocations carried out but those that failed.
    functions: Vec<Function>,
    failures: HashMap<usize, CoreError>,
    /// The same functions with packet filters, for programs that take them.
    filtered: Option<Vec<Function>>,
    /// By place of the extern.
    supplies: Vec<Result<Supply<'k>, Unsupplied>>,
    maps: &'k CreatedMaps,
    btf_fd: Option<BorrowedFd<'k>>,
    modules: ModuleFds,
}

impl Loader<'_> {
    /// Loads the programs that are not to be left out; ends at the first refusal if asked to.
    pub(super) fn load_programs(
        &self,
        kernel: &KernelTypes,
        btf_fd: Option<BorrowedFd<'_>>,
        maps: &CreatedMaps,
        first_refusal: bool,
    ) -> Result<Outcome, LoadError> {
        let reasons = self.skip_reasons(kernel);
        let (functions, failures) = self.relocated(kernel);
        let supplies = self.supplies(kernel)?;
        let filtered = self.filtered(&functions);
        let modules = ModuleFds::default();
        let mut prepared =
            Prepared { kernel, functions, failures, filtered, supplies, maps, btf_fd, modules };
        let mut outcome = Outcome::default();
        for ((index, spec), reason) in self.object.programs.iter().enumerate().zip(reasons) {
            if let Some(reason) = reason {
                let (program, section) = (spec.name.clone(), spec.section.clone());
                outcome.skipped.push(Skipped { program, section, reason });
                continue;
            }
            match self.load_one(index, spec, &mut prepared) {
                Ok(program) => outcome.programs.push(program),
                Err(error) => outcome.refused.push(Refused { program: spec.name.clone(), error }),
            }
            if first_refusal && !outcome.refused.is_empty() {
                break;
            }
        }
        Ok(outcome)
    }

    fn load_one(
        &self,
        index: usize,
        spec: &ProgramSpec,
        prepared: &mut Prepared<'_>,
    ) -> Result<Program, LoadError> {
        let filtered = prepared.filtered.as_deref().filter(|_| Self::takes_filters(spec));
        let mut linked =
            linker::link(filtered.unwrap_or(&prepared.functions), spec.function).map_err(|_too_long| {
                LoadError::Unresolved {
                    what: "program",
                    name: spec.name.clone(),
                    problem: "it has more than a million instructions".to_owned(),
                }
            })?;
        let failed = linked.functions.iter().find_map(|index| {
            let source = prepared.failures.get(index)?.clone();
            Some((prepared.functions.get(*index)?.name.clone(), source))
        });
        if let Some((function, source)) = failed {
            return Err(LoadError::Relocation { function, source });
        }
        prepared.bind(&mut linked, &spec.name)?;
        let target = self.target(index, spec);
        let fd = self.load_program(spec, target, &linked, prepared)?;
        Ok(Program {
            name: spec.name.clone(),
            section: spec.section.clone(),
            kind: spec.kind,
            target: target.to_owned(),
            disabled: self.disabled.contains(&index),
            optional: spec.optional,
            fd,
            attach_type: spec.attach_type,
            function: spec.function,
        })
    }

    /// Copies of the functions with all CO-RE relocations carried out, and those in which one could not be.
    fn relocated(&self, kernel: &KernelTypes) -> (Vec<Function>, HashMap<usize, CoreError>) {
        let mut functions = self.object.functions.clone();
        let mut failures = HashMap::new();
        let targets = kernel.vmlinux().into_iter().chain(self.extra_btf.iter().map(AsRef::as_ref)).collect();
        let mut relocator = Relocator::new(&self.object.btf, targets);
        let mut relocations = functions.iter().flat_map(|function| &function.relocations);
        if relocations.any(|relocation| !relocator.knows(relocation.type_id)) {
            relocator.add_modules(kernel.modules().iter().map(|module| (module.name.as_str(), &module.btf)));
        }
        if !self.own_types.is_empty() {
            relocator.answer_from_own(&self.own_types);
        }
        for (index, function) in functions.iter_mut().enumerate() {
            for relocation in std::mem::take(&mut function.relocations) {
                let applied =
                    relocator.resolve(&relocation).and_then(|fixup| fixup.apply(&mut function.insns));
                if let Err(error) = applied {
                    failures.entry(index).or_insert(error);
                }
            }
        }
        (functions, failures)
    }

    /// Asks the kernel for everything the object takes from it by name.
    fn supplies<'k>(
        &self,
        kernel: &'k KernelTypes,
    ) -> Result<Vec<Result<Supply<'k>, Unsupplied>>, LoadError> {
        let externs = &self.object.externs;
        let by_address = externs.iter().filter(|found| found.kind == ExternKind::Address);
        let addresses =
            symbols::lookup(by_address.map(|found| found.name.as_str())).map_err(LoadError::KernelSymbols)?;
        Ok(externs.iter().map(|found| self.supply(found, kernel, &addresses)).collect())
    }

    fn supply<'k>(
        &self,
        wanted: &Extern,
        kernel: &'k KernelTypes,
        addresses: &HashMap<&str, Symbol>,
    ) -> Result<Supply<'k>, Unsupplied> {
        let fault = |problem| Unsupplied { what: "kernel symbol", name: wanted.name.clone(), problem };
        let of_kernel = |kind, local: Option<TypeId>| {
            kernel.symbol(&wanted.name, kind, local.map(|id| (&*self.object.btf, id)))
        };
        let found = match wanted.kind {
            ExternKind::Kconfig { offset, .. } => return Ok(Supply::Config(offset)),
            ExternKind::TypedVariable { type_id } => {
                of_kernel(Kind::Var, Some(type_id)).map(Supply::Variable)
            }
            ExternKind::Function { type_id } => of_kernel(Kind::Func, Some(type_id)).map(Supply::Function),
            ExternKind::Untyped => of_kernel(Kind::Func, None).map(Supply::Function),
            ExternKind::Address => match addresses.get(wanted.name.as_str()) {
                Some(Symbol::At(address)) => Ok(Supply::Address(*address)),
                Some(Symbol::Ambiguous) => return Err(fault("this kernel has several of that name")),
                _ => Err(Miss::Absent),
            },
        };
        // A variable of another make is no absent one: the object would read nonsense either way.
        let is_variable = matches!(wanted.kind, ExternKind::TypedVariable { .. });
        match found {
            Ok(supply) => Ok(supply),
            Err(miss) if wanted.weak && !(miss == Miss::Incompatible && is_variable) => Ok(Supply::Nothing),
            Err(Miss::Incompatible) => Err(fault("this kernel's is of another type than the object's")),
            Err(Miss::Absent) => Err(fault("this kernel does not have it")),
        }
    }

    fn load_program(
        &self,
        spec: &ProgramSpec,
        target: &str,
        linked: &Linked,
        prepared: &Prepared<'_>,
    ) -> Result<OwnedFd, LoadError> {
        if spec.program_type == ProgramType::UNSPEC {
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
                Some(prepared.kernel.hook(&name, kind).ok_or_else(missing)?)
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
            prog_type: spec.program_type,
            expected_attach_type: spec.attach_type,
            insns: &insns,
            license: &self.object.license,
            kern_version: KernelRelease::running().code(),
            prog_flags: prog_flags(spec),
            attach_btf_id: hook.map_or(0, |hook| hook.id.0),
            attach_btf_obj: module.as_ref().map(OwnedFd::as_fd),
            fd_array: &prepared.modules.array,
            ..ProgLoad::default()
        };
        if prepared.btf_fd.is_some() && !linked.func_info.is_empty() {
            request.btf = prepared.btf_fd;
            request.func_info = &linked.func_info;
            request.func_info_rec_size = 8;
            if !linked.line_info.is_empty() {
                request.line_info = &linked.line_info;
                request.line_info_rec_size = 16;
            }
        }
        bpf::prog_load(&request, None)
            .or_else(|source| explain(&spec.name, &request, source, &self.object.externs))
            .map_err(|error| lacking(spec, error))
    }
}

impl Prepared<'_> {
    /// Writes descriptors and ids into instructions.
    fn bind(&mut self, linked: &mut Linked, program: &str) -> Result<(), LoadError> {
        let failed = |source| LoadError::LoadProgram { program: program.to_owned(), source };
        for (at, target) in std::mem::take(&mut linked.references) {
            let fd = |map: usize| self.maps.maps.get(map).map_or(-1, raw_fd);
            let Some(insn) = linked.insns.get_mut(at) else { continue };
            let (register, low, high) = match target {
                Target::Map(map) => (PSEUDO_MAP_FD, fd(map), 0),
                Target::Data { map, offset } => (PSEUDO_MAP_VALUE, fd(map), offset as i32),
                Target::Extern(index) => {
                    let supply = self.supplies.get(index).map_or(Ok(&Supply::Nothing), Result::as_ref)?;
                    let Some(value) =
                        bind_extern(insn, *supply, self.maps, &mut self.modules).map_err(failed)?
                    else {
                        // A call of nothing: refused unless the verifier can tell that it is never made.
                        *insn = insn::missing_function(index);
                        continue;
                    };
                    value
                }
                Target::Call(_) | Target::Address(_) => continue,
            };
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
}

/// Source register and both immediate values of an instruction that refers to the kernel; `None` for a call of nothing.
fn bind_extern(
    insn: &mut Insn,
    supply: Supply<'_>,
    maps: &CreatedMaps,
    modules: &mut ModuleFds,
) -> io::Result<Option<(u8, i32, i32)>> {
    Ok(Some(match supply {
        Supply::Config(offset) => {
            let fd = maps.kconfig.as_ref().map_or(-1, raw_fd);
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
        Supply::Nothing => return Ok(None),
    }))
}

fn prog_flags(spec: &ProgramSpec) -> ProgramFlags {
    let frags = spec.section.trim_start_matches('?').starts_with("xdp.frags");
    let flag = |wanted: bool, flag: ProgramFlags| if wanted { flag } else { ProgramFlags::default() };
    flag(spec.sleepable, ProgramFlags::SLEEPABLE) | flag(frags, ProgramFlags::XDP_HAS_FRAGS)
}

fn raw_fd(map: &Map) -> RawFd {
    map.as_fd().as_raw_fd()
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
fn explain(
    program: &str,
    request: &ProgLoad<'_>,
    source: io::Error,
    externs: &[Extern],
) -> Result<OwnedFd, LoadError> {
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
    // A log there is also when the kernel had no descriptor left for what it had verified.
    if text.trim().is_empty() || Shortage::of(&source).is_some() {
        return Err(LoadError::LoadProgram { program: program.to_owned(), source });
    }
    let summary = verifier::summarise(&text, externs);
    Err(LoadError::Verifier { program: program.to_owned(), summary, log: text, source })
}
