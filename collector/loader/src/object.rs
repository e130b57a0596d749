//! A gadget's object, read but not yet tied to any kernel.
//!
//! Invariants after [`Object::parse`]: every reference between functions, maps, data and externs is an index that is in
//! range; every instruction list ends on a whole instruction; sizes that come from headers are within [`MAX_DATA`].

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

use ig_kernel::btf::{Btf, Kind, Type, TypeId, VarLinkage};
use ig_kernel::map::{MapFlags, MapType};
use ig_kernel::sys::bpf::{AttachType, ProgramType};

use crate::btf_ext;
use crate::core_relo::{CoreError, Relocator};
use crate::elf::{Elf, Section};
use crate::error::ParseError;
use crate::map_spec::{self, MapSpec};
use crate::section::{self, ProgramKind};

mod externs;
mod functions;

pub(crate) use externs::{Extern, ExternKind};
pub(crate) use functions::{Function, Reference, Target};

/// Most bytes of one data section; it becomes the value of a map.
const MAX_DATA: u64 = 64 << 20;
/// Most bytes of an object file.
const MAX_FILE: usize = 64 << 20;
/// Most maps of an object.
const MAX_MAPS: usize = 4096;

/// An object, parsed.
#[derive(Debug)]
pub struct Object {
    pub(crate) name: String,
    pub(crate) license: CString,
    pub(crate) btf: Arc<Btf>,
    pub(crate) functions: Vec<Function>,
    pub(crate) programs: Vec<ProgramSpec>,
    pub(crate) maps: Vec<MapSpec>,
    /// Where the data maps begin in `maps`; `data[i]` belongs to `maps[first_data + i]`.
    pub(crate) first_data: usize,
    pub(crate) data: Vec<DataSection>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) externs: Vec<Extern>,
    /// Bytes that the externs of `.kconfig` take together.
    pub(crate) kconfig_size: u32,
    /// Sizes of sections and offsets of symbols, which the kernel wants in the BTF that clang leaves zero.
    pub(crate) layout: Vec<SectionLayout>,
}

/// A program as its object declares it.
#[derive(Clone, Debug)]
pub struct ProgramSpec {
    /// Name of its function.
    pub name: String,
    /// Its section, as written.
    pub section: String,
    /// What it is.
    pub kind: ProgramKind,
    /// Its type in bpf(2).
    pub program_type: ProgramType,
    /// What the section says it attaches to; may be empty.
    pub target: String,
    /// Whether the section begins with `?`: not loaded where its hook is missing.
    pub optional: bool,
    pub(crate) attach_type: AttachType,
    pub(crate) sleepable: bool,
    pub(crate) function: usize,
}

/// A global variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its section, such as `.rodata`.
    pub section: String,
    /// First byte within the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// The `VAR` in the object's BTF.
    pub var_id: TypeId,
    /// Its type in the object's BTF.
    pub type_id: TypeId,
    /// Whether it lies in a `.rodata` section, which is frozen before programs run.
    pub read_only: bool,
    /// Whether other files could refer to it; `static` ones are not meant to be set from outside.
    pub global: bool,
    pub(crate) data: usize,
}

/// A data section.
#[derive(Debug)]
pub(crate) struct DataSection {
    pub(crate) elf_index: usize,
    pub(crate) size: u32,
    /// Empty for sections that start as zeros.
    pub(crate) content: Vec<u8>,
    pub(crate) read_only: bool,
}

/// What the BTF of a section lacks.
#[derive(Debug)]
pub(crate) struct SectionLayout {
    pub(crate) name: String,
    pub(crate) size: u32,
    pub(crate) symbols: HashMap<String, u32>,
}

impl Object {
    /// Parses an object; `name` is for messages and the kernel's names of data maps.
    ///
    /// # Errors
    /// [`ParseError`]: the bytes are no eBPF object, or one that contradicts itself. Time and memory are linear in the
    /// size of the file, but for data sections up to 64 MiB that take none of it.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_FILE {
            return Err(ParseError::Section {
                section: "ELF".to_owned(),
                problem: "larger than 64 MiB".to_owned(),
            });
        }
        let elf = Elf::parse(bytes)?;
        let (_, btf) = elf.section(".BTF").ok_or(ParseError::Missing(".BTF"))?;
        let btf = Arc::new(Btf::parse(btf.data, None).map_err(ParseError::Btf)?);
        let ext =
            elf.section(".BTF.ext").map(|(_, section)| btf_ext::parse(section.data, &btf)).transpose()?;

        let mut maps = Vec::new();
        let mut map_offsets = Vec::new();
        if let Some((maps_section, _)) = elf.section(".maps") {
            for (name, definition) in map_spec::definitions(&btf) {
                let fault =
                    |problem: &str| ParseError::Map { map: name.to_owned(), problem: problem.to_owned() };
                let definition = definition.ok_or_else(|| fault("the definition is no struct"))?;
                let symbol = elf.variable(maps_section, name).ok_or_else(|| fault("it has no symbol"))?;
                maps.push(map_spec::parse(&btf, name, &definition)?);
                map_offsets.push((maps_section, symbol.value));
                if maps.len() > MAX_MAPS {
                    return Err(fault("one map too many"));
                }
            }
        }
        let first_data = maps.len();
        let (data, data_maps) = data_sections(&elf, &btf)?;
        maps.extend(data_maps);
        let variables = variables(&elf, &btf, &data);
        let (externs, kconfig_size) = externs::parse(&elf, &btf)?;

        let functions = functions::parse(
            &elf,
            &btf,
            ext.unwrap_or_default(),
            &functions::Places { maps: &map_offsets, first_data, data: &data, externs: &externs },
        )?;
        functions::fill_slots(&elf, &mut maps, &map_offsets, &functions)?;
        let programs = functions
            .iter()
            .enumerate()
            .filter(|(_, function)| function.section != ".text")
            .map(|(index, function)| program(index, function))
            .collect();

        Ok(Self {
            name: name.to_owned(),
            license: license(&elf)?,
            functions,
            programs,
            maps,
            first_data,
            variables,
            externs,
            kconfig_size,
            layout: layout(&elf, &data),
            data,
            btf,
        })
    }

    /// The name given to [`Object::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its types.
    pub fn btf(&self) -> &Arc<Btf> {
        &self.btf
    }

    /// Its maps, those of data sections included.
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// Its programs.
    pub fn programs(&self) -> &[ProgramSpec] {
        &self.programs
    }

    /// Its global variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// One map by name.
    pub fn map(&self, name: &str) -> Option<&MapSpec> {
        self.maps.iter().find(|map| map.name == name)
    }

    /// One program by the name of its function.
    pub fn program(&self, name: &str) -> Option<&ProgramSpec> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// One variable by name; global ones before static ones of the same name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let mut named = self.variables.iter().filter(|variable| variable.name == name);
        let first = named.next()?;
        Some(if first.global { first } else { named.find(|variable| variable.global).unwrap_or(first) })
    }

    /// The bytes that a variable starts with.
    pub fn initial_value(&self, variable: &Variable) -> Vec<u8> {
        let range = variable.offset as usize..variable.offset as usize + variable.size as usize;
        let content = self.data.get(variable.data).and_then(|data| data.content.get(range));
        content.map_or_else(|| vec![0; variable.size as usize], <[u8]>::to_vec)
    }

    /// Carries out the CO-RE relocations of all functions on copies, and says which fail. Needs no kernel.
    pub fn check_relocations(&self, relocator: &mut Relocator<'_>) -> Vec<(String, CoreError)> {
        let mut failures = Vec::new();
        for function in &self.functions {
            let mut insns = function.insns.clone();
            for relocation in &function.relocations {
                if let Err(error) = relocator.resolve(relocation).and_then(|fixup| fixup.apply(&mut insns)) {
                    failures.push((function.name.clone(), error));
                }
            }
        }
        failures
    }

    /// The sub-programs in `.text` whose name begins with `prefix`, such as hooks that a runtime may prepend code to.
    pub fn subprograms_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.functions
            .iter()
            .map(|function| function.name.as_str())
            .filter(move |name| name.starts_with(prefix))
    }
}

fn program(index: usize, function: &Function) -> ProgramSpec {
    let found = section::classify(&function.section);
    ProgramSpec {
        name: function.name.clone(),
        section: function.section.clone(),
        kind: found.kind,
        program_type: found.program_type,
        target: found.target.to_owned(),
        optional: found.optional,
        attach_type: found.attach_type,
        sleepable: found.sleepable,
        function: index,
    }
}

fn license(elf: &Elf<'_>) -> Result<CString, ParseError> {
    let text =
        elf.sections.iter().find(|section| section.name.starts_with("license")).map_or(&[][..], |s| s.data);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(text)
        .map_err(|error| ParseError::Section { section: "license".to_owned(), problem: error.to_string() })
}

fn is_data(section: &Section<'_>) -> bool {
    let plain = |name: &str| {
        section.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    !section.executable && section.size > 0 && (plain(".data") || plain(".rodata") || plain(".bss"))
}

fn data_sections(elf: &Elf<'_>, btf: &Btf) -> Result<(Vec<DataSection>, Vec<MapSpec>), ParseError> {
    let mut data = Vec::new();
    let mut maps = Vec::new();
    for (elf_index, section) in elf.sections.iter().enumerate().filter(|(_, section)| is_data(section)) {
        let size = u32::try_from(section.size).ok().filter(|size| u64::from(*size) <= MAX_DATA);
        let size = size.ok_or_else(|| ParseError::Section {
            section: section.name.to_owned(),
            problem: format!("{} bytes are more than the 64 MiB of a map's value", section.size),
        })?;
        let read_only = section.name.starts_with(".rodata");
        if data.iter().any(|other: &DataSection| {
            elf.sections.get(other.elf_index).is_some_and(|other| other.name == section.name)
        }) {
            return Err(ParseError::Section {
                section: section.name.to_owned(),
                problem: "appears twice".to_owned(),
            });
        }
        data.push(DataSection {
            elf_index,
            size,
            content: if section.zeroed { Vec::new() } else { section.data.to_vec() },
            read_only,
        });
        maps.push(MapSpec {
            name: section.name.to_owned(),
            kind: MapType::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            flags: if read_only { MapFlags::RDONLY_PROG } else { MapFlags::default() },
            value_type: btf.type_by_name(section.name, Kind::Datasec),
            ..MapSpec::default()
        });
    }
    Ok((data, maps))
}

/// Variables that have both a type and a place. Anything else in a data section is content without a name.
fn variables(elf: &Elf<'_>, btf: &Btf, data: &[DataSection]) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (index, section) in data.iter().enumerate() {
        let Some(elf_section) = elf.sections.get(section.elf_index) else { continue };
        let datasec = btf.type_by_name(elf_section.name, Kind::Datasec).and_then(|id| btf.type_by_id(id));
        let Some(Type::Datasec(datasec)) = datasec else { continue };
        for info in datasec.variables() {
            let Some(Type::Var(var)) = btf.type_by_id(info.type_id) else { continue };
            let Some(symbol) = elf.variable(section.elf_index, var.name) else { continue };
            let Some(size) = btf.resolve_size(var.type_id) else { continue };
            let fits =
                symbol.value.checked_add(u64::from(size)).is_some_and(|end| end <= u64::from(section.size));
            let (true, Ok(offset)) = (fits, u32::try_from(symbol.value)) else { continue };
            variables.push(Variable {
                name: var.name.to_owned(),
                section: elf_section.name.to_owned(),
                offset,
                size,
                var_id: info.type_id,
                type_id: var.type_id,
                read_only: section.read_only,
                global: symbol.global && var.linkage != VarLinkage::Static,
                data: index,
            });
        }
    }
    variables
}

fn layout(elf: &Elf<'_>, data: &[DataSection]) -> Vec<SectionLayout> {
    let mut places = HashMap::new();
    let mut layouts = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        if matches!(section.name, ".maps" | "license" | "version")
            || data.iter().any(|data| data.elf_index == index)
        {
            places.insert(index, layouts.len());
            layouts.push(SectionLayout {
                name: section.name.to_owned(),
                size: u32::try_from(section.size).unwrap_or(u32::MAX),
                symbols: HashMap::new(),
            });
        }
    }
    for symbol in elf.symbols.iter().filter(|symbol| !symbol.name.is_empty()) {
        let layout =
            symbol.section.and_then(|section| places.get(&section)).and_then(|at| layouts.get_mut(*at));
        if let (Some(layout), Ok(offset)) = (layout, u32::try_from(symbol.value)) {
            layout.symbols.insert(symbol.name.to_owned(), offset);
        }
    }
    layouts
}
