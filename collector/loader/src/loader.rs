//! From an object to descriptors.
//!
//! Why it exists: it is the one place that knows the order of things. Variables first (they decide sizes), then maps
//! (programs refer to them), then BTF, then programs. Either all of it loads or nothing stays: every descriptor is owned
//! by the value under construction.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex};

use ig_kernel::btf::{Btf, vmlinux};
use ig_kernel::map::{Map, MapFlags};
use ig_kernel::sys::bpf::AttachType;
use ig_model::Shortage;

use crate::error::LoadError;
use crate::insn::Insn;
use crate::kernel_btf;
use crate::kernel_types::KernelTypes;
use crate::object::Object;
use crate::section::ProgramKind;

mod filters;
mod hooks;
mod maps;
mod pins;
mod programs;

pub use hooks::{SkipReason, Skipped};
use programs::Outcome;

/// Sets an object up and loads it.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let object = ig_loader::Object::parse("trace_exec", &std::fs::read("program.o")?)?;
/// let mut loader = ig_loader::Loader::new(&object);
/// loader.set_variable("ignore_failed", &[1])?;
/// let loaded = loader.load()?;
/// let link = loaded.attach("ig_execve_e")?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Loader<'o> {
    object: &'o Object,
    /// New contents of data sections, by index; sections nobody touched stay with the object.
    data: BTreeMap<usize, Vec<u8>>,
    max_entries: HashMap<usize, u32>,
    value_sizes: HashMap<usize, u32>,
    map_flags: HashMap<usize, MapFlags>,
    given_maps: HashMap<usize, Map>,
    targets: HashMap<usize, String>,
    disabled: HashSet<usize>,
    wanted: HashSet<usize>,
    unwanted: HashSet<usize>,
    /// Programs and what they stand in for.
    stand_ins: Vec<(usize, usize)>,
    /// Instructions in front of functions that are hooks for them.
    packet_filters: HashMap<usize, Vec<Insn>>,
    extra_btf: Vec<Arc<Btf>>,
    own_types: Vec<String>,
    kernel_btf: Option<Arc<Btf>>,
}

impl<'o> Loader<'o> {
    /// Starts with everything as the object says.
    pub fn new(object: &'o Object) -> Self {
        Self {
            object,
            data: BTreeMap::new(),
            max_entries: HashMap::new(),
            value_sizes: HashMap::new(),
            map_flags: HashMap::new(),
            given_maps: HashMap::new(),
            targets: HashMap::new(),
            disabled: HashSet::new(),
            wanted: HashSet::new(),
            unwanted: HashSet::new(),
            stand_ins: Vec::new(),
            packet_filters: HashMap::new(),
            extra_btf: Vec::new(),
            own_types: Vec::new(),
            kernel_btf: None,
        }
    }

    /// Sets a global variable before programs are loaded, so that the verifier sees its value.
    ///
    /// # Errors
    /// [`LoadError::UnknownVariable`], and [`LoadError::VariableSize`] unless `value` has exactly its size.
    pub fn set_variable(&mut self, name: &str, value: &[u8]) -> Result<&mut Self, LoadError> {
        let variable =
            self.object.variable(name).ok_or_else(|| LoadError::UnknownVariable(name.to_owned()))?;
        if value.len() != variable.size as usize {
            return Err(LoadError::VariableSize {
                variable: name.to_owned(),
                expected: variable.size as usize,
                got: value.len(),
            });
        }
        if let Some(section) = self.object.data.get(variable.data) {
            let content = self.data.entry(variable.data).or_insert_with(|| {
                let mut content = section.content.clone();
                content.resize(section.size as usize, 0);
                content
            });
            let start = variable.offset as usize;
            if let Some(place) = content.get_mut(start..start + value.len()) {
                place.copy_from_slice(value);
            }
        }
        Ok(self)
    }

    /// The bytes a variable has now: as set, else as in the object.
    ///
    /// # Errors
    /// [`LoadError::UnknownVariable`].
    pub fn variable(&self, name: &str) -> Result<Cow<'_, [u8]>, LoadError> {
        let variable =
            self.object.variable(name).ok_or_else(|| LoadError::UnknownVariable(name.to_owned()))?;
        let range = variable.offset as usize..variable.offset as usize + variable.size as usize;
        let set = self.data.get(&variable.data).and_then(|content| content.get(range));
        Ok(set.map_or_else(|| Cow::Owned(self.object.initial_value(variable)), Cow::Borrowed))
    }

    /// Sets the number of entries of a map; goes before a variable `<map>_max_entries`.
    ///
    /// # Errors
    /// [`LoadError::UnknownMap`].
    pub fn set_max_entries(&mut self, map: &str, entries: u32) -> Result<&mut Self, LoadError> {
        self.max_entries.insert(self.map_index(map)?, entries);
        Ok(self)
    }

    /// Sets the size of a map's values, for maps whose values are laid out at run time. What programs read of a value
    /// has to be relocated against types of the same layout ([`Loader::add_btf`]).
    ///
    /// # Errors
    /// [`LoadError::UnknownMap`]; [`LoadError::FixedMap`] for data sections.
    pub fn set_value_size(&mut self, map: &str, size: u32) -> Result<&mut Self, LoadError> {
        self.value_sizes.insert(self.own_map_index(map)?, size);
        Ok(self)
    }

    /// Sets the flags a map is created with (`BPF_F_*` of `BPF_MAP_CREATE`), in place of the object's.
    ///
    /// # Errors
    /// [`LoadError::UnknownMap`]; [`LoadError::FixedMap`] for data sections.
    pub fn set_map_flags(&mut self, map: &str, flags: MapFlags) -> Result<&mut Self, LoadError> {
        self.map_flags.insert(self.own_map_index(map)?, flags);
        Ok(self)
    }

    /// Uses an existing map instead of creating one. It must have the same type, sizes, entries and flags.
    ///
    /// # Errors
    /// [`LoadError::UnknownMap`]; [`Loader::load`] answers [`LoadError::IncompatibleMap`].
    pub fn use_map(&mut self, map: &str, given: Map) -> Result<&mut Self, LoadError> {
        self.given_maps.insert(self.map_index(map)?, given);
        Ok(self)
    }

    /// Attaches a program somewhere else than its section says. Programs whose hook is fixed when they are loaded
    /// (fentry, fexit, LSM, `tp_btf`, iterators) are then loaded for that hook.
    ///
    /// # Errors
    /// [`LoadError::UnknownProgram`].
    pub fn set_attach_target(&mut self, program: &str, target: &str) -> Result<&mut Self, LoadError> {
        self.targets.insert(self.program_index(program)?, target.to_owned());
        Ok(self)
    }

    /// Loads and verifies a program but keeps it from being attached.
    ///
    /// # Errors
    /// [`LoadError::UnknownProgram`].
    pub fn disable(&mut self, program: &str) -> Result<&mut Self, LoadError> {
        self.disabled.insert(self.program_index(program)?);
        Ok(self)
    }

    /// Loads a program although its section begins with `?` and its hook may be missing.
    ///
    /// # Errors
    /// [`LoadError::UnknownProgram`].
    pub fn want(&mut self, program: &str) -> Result<&mut Self, LoadError> {
        self.wanted.insert(self.program_index(program)?);
        Ok(self)
    }

    /// Does not load a program.
    ///
    /// # Errors
    /// [`LoadError::UnknownProgram`].
    pub fn skip(&mut self, program: &str) -> Result<&mut Self, LoadError> {
        self.unwanted.insert(self.program_index(program)?);
        Ok(self)
    }

    /// Loads a program only if this kernel lacks the hook of `other`, whose section then begins with `?`.
    ///
    /// # Errors
    /// [`LoadError::UnknownProgram`] for either.
    pub fn instead_of(&mut self, program: &str, other: &str) -> Result<&mut Self, LoadError> {
        self.stand_ins.push((self.program_index(program)?, self.program_index(other)?));
        Ok(self)
    }

    /// Adds types to relocate against, asked after the kernel's.
    pub fn add_btf(&mut self, btf: Arc<Btf>) -> &mut Self {
        self.extra_btf.push(btf);
        self
    }

    /// Relocates accesses to a type of this name against the object's own, if neither the kernel nor types added have
    /// one: for types that a collector lays out, when nothing has laid them out.
    pub fn use_own_type(&mut self, name: &str) -> &mut Self {
        self.own_types.push(name.to_owned());
        self
    }

    /// Relocates against these types instead of the running kernel's own.
    pub fn set_kernel_btf(&mut self, btf: Arc<Btf>) -> &mut Self {
        self.kernel_btf = Some(btf);
        self
    }

    /// Creates the maps and loads the programs; those whose section begins with `?` only where this kernel has their
    /// hook.
    ///
    /// # Errors
    /// Any [`LoadError`]; nothing stays behind but maps that were pinned because the object says so.
    ///
    /// # Kernel
    /// 5.5 with BTF for most gadgets; `CAP_BPF` and `CAP_PERFMON`, or root.
    pub fn load(self) -> Result<Loaded, LoadError> {
        let (loaded, mut refused) = self.load_until(true)?;
        refused.pop().map_or(Ok(loaded), |refused| Err(refused.error))
    }

    /// [`Loader::load`] that goes on after a program was refused, to hear the verdict on each. Maps filled with programs
    /// lack those that were refused.
    ///
    /// # Errors
    /// A [`LoadError`] about the object as a whole.
    pub fn load_each(self) -> Result<(Loaded, Vec<Refused>), LoadError> {
        self.load_until(false)
    }

    fn load_until(self, first_refusal: bool) -> Result<(Loaded, Vec<Refused>), LoadError> {
        ig_kernel::sys::memory::raise_memlock();
        let btf_fd = match kernel_btf::load(self.object) {
            Ok(fd) => fd,
            Err(error) if Shortage::of(&error).is_some() => return Err(LoadError::ObjectBtf(error)),
            Err(error) => {
                tracing::debug!(name: "object.btf.refused", error = &error as &dyn std::error::Error);
                None
            }
        };
        let btf_fd = btf_fd.as_ref().map(OwnedFd::as_fd);
        let created = self.create_maps(btf_fd)?;
        let kernel = self.kernel_types()?;
        let Outcome { programs, skipped, refused } =
            self.load_programs(&kernel, btf_fd, &created, first_refusal)?;
        // What was left out or refused then may be there after all.
        if let Some(error) = kernel.shortage() {
            return Err(LoadError::KernelBtf(error));
        }
        if !first_refusal || refused.is_empty() {
            self.fill_slots(&created, &programs)?;
        }
        let names = self.object.maps.iter().map(|spec| spec.name.clone());
        let maps = names.zip(created.maps).collect();
        Ok((Loaded { maps, programs, skipped, usdt_specs: Mutex::default() }, refused))
    }

    fn kernel_types(&self) -> Result<KernelTypes, LoadError> {
        if let Some(btf) = &self.kernel_btf {
            return Ok(KernelTypes::given(Arc::clone(btf)));
        }
        let object = self.object;
        let typed = |optional| {
            let mut programs = object.programs.iter().filter(move |program| program.optional == optional);
            programs.any(|program| program.kind.btf_hook("").is_some())
        };
        let needed = object.functions.iter().any(|function| !function.relocations.is_empty())
            || typed(false)
            || !object.externs.is_empty();
        if !needed && !typed(true) {
            return Ok(KernelTypes::default());
        }
        match vmlinux() {
            Ok(btf) => Ok(KernelTypes::running(btf)),
            // Optional programs are left out: a kernel without types has no typed hooks.
            Err(error) if !needed && Shortage::of(&error).is_none() => Ok(KernelTypes::default()),
            Err(error) => Err(LoadError::KernelBtf(error)),
        }
    }

    fn map_index(&self, name: &str) -> Result<usize, LoadError> {
        let index = self.object.maps.iter().position(|map| map.name == name);
        index.ok_or_else(|| LoadError::UnknownMap(name.to_owned()))
    }

    /// The same for maps that are no data sections.
    fn own_map_index(&self, name: &str) -> Result<usize, LoadError> {
        let index = self.map_index(name)?;
        if index < self.object.first_data { Ok(index) } else { Err(LoadError::FixedMap(name.to_owned())) }
    }

    fn program_index(&self, name: &str) -> Result<usize, LoadError> {
        let index = self.object.programs.iter().position(|program| program.name == name);
        index.ok_or_else(|| LoadError::UnknownProgram(name.to_owned()))
    }
}

/// A program that could not be loaded while others could.
#[derive(Debug)]
pub struct Refused {
    /// Name of its function.
    pub program: String,
    /// Why not.
    pub error: LoadError,
}

/// A loaded object: descriptors and what is needed to use them, nothing else.
#[derive(Debug)]
pub struct Loaded {
    /// By name in the object, which the kernel cuts.
    maps: Vec<(String, Map)>,
    programs: Vec<Program>,
    skipped: Vec<Skipped>,
    /// Descriptions of static probes' arguments that are in the map of them; the place is the key.
    pub(crate) usdt_specs: Mutex<Vec<Vec<u8>>>,
}

/// A program in the kernel.
#[derive(Debug)]
pub struct Program {
    /// Name of its function.
    pub name: String,
    /// Its section, as written.
    pub section: String,
    /// What it is.
    pub kind: ProgramKind,
    /// Where it attaches: the section's target, or the one set instead.
    pub target: String,
    /// Whether it must not be attached.
    pub disabled: bool,
    /// Whether its section begins with `?`: the object can do without it where its hook is missing.
    pub optional: bool,
    /// Its descriptor.
    pub fd: OwnedFd,
    pub(crate) attach_type: AttachType,
    pub(crate) function: usize,
}

impl Loaded {
    /// All maps and their names in the object; `.rodata` and the like for data sections. Where the kernel has no ring
    /// buffers, the type of a map is another than the object's.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.maps.iter().map(|(name, map)| (name.as_str(), map))
    }

    /// One map by name.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps().find(|(known, _)| *known == name).map(|(_, map)| map)
    }

    /// All programs that were loaded.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The programs that were left out, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// One program by the name of its function.
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name == name)
    }
}
