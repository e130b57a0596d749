//! Functions, and what their instructions refer to.

use std::collections::HashMap;

use ig_kernel::btf::{Btf, Kind, Type, TypeId};

use super::DataSection;
use super::externs::Extern;
use crate::btf_ext::{LineInfo, SectionInfo};
use crate::core_relo::CoreRelo;
use crate::elf::{Elf, Relocation, Symbol, SymbolKind};
use crate::error::ParseError;
use crate::insn::{self, CALL, Insn, PSEUDO_FUNC};
use crate::map_spec::{MapSpec, Slot, SlotContent};

/// Most values that definitions of maps name.
const MAX_SLOTS: usize = 65_536;

/// A function: a program, or a sub-program when its section is `.text`.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) insns: Vec<Insn>,
    /// What instructions refer to, in order. Places count from the start of the function here and below.
    pub(crate) references: Vec<Reference>,
    pub(crate) relocations: Vec<CoreRelo>,
    /// Whether it is global to the linker only; to the verifier it is static.
    pub(crate) hidden: bool,
    /// Its `FUNC` in the BTF.
    pub(crate) type_id: Option<TypeId>,
    pub(crate) lines: Vec<LineInfo>,
}

/// An instruction that refers to something outside of its function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub(crate) insn: u32,
    pub(crate) target: Target,
}

/// What a [`Reference`] refers to; numbers are indices into the lists of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A map's descriptor.
    Map(usize),
    /// An address within a data section, given by its map.
    Data { map: usize, offset: u32 },
    /// A call of a function.
    Call(usize),
    /// The address of a function.
    Address(usize),
    /// Something of the kernel's.
    Extern(usize),
}

/// Where references may point to.
pub(super) struct Places<'a> {
    /// Section and offset of each map definition.
    pub(super) maps: &'a [(usize, u64)],
    pub(super) first_data: usize,
    pub(super) data: &'a [DataSection],
    pub(super) externs: &'a [Extern],
}

/// Reads all functions of all executable sections.
pub(super) fn parse(
    elf: &Elf<'_>,
    btf: &Btf,
    mut ext: HashMap<&str, SectionInfo>,
    places: &Places<'_>,
) -> Result<Vec<Function>, ParseError> {
    let mut functions = Vec::new();
    // Section and first place of each function, and back.
    let mut starts: Vec<(usize, u32)> = Vec::new();
    for (index, section) in elf.sections.iter().enumerate().filter(|(_, section)| section.executable) {
        let fault = |problem: &str| ParseError::Section {
            section: section.name.to_owned(),
            problem: problem.to_owned(),
        };
        let insns = insn::decode(section.data).ok_or_else(|| fault("its length is no multiple of 8"))?;
        let mut symbols: Vec<&Symbol<'_>> = elf
            .symbols
            .iter()
            .filter(|symbol| symbol.section == Some(index) && symbol.kind == SymbolKind::Function)
            .collect();
        symbols.sort_by_key(|symbol| symbol.value);
        let info = ext.remove(section.name).unwrap_or_default();
        let mut end = 0;
        for symbol in symbols {
            let fault = |problem: &str| ParseError::Function {
                function: symbol.name.to_owned(),
                problem: problem.to_owned(),
            };
            if !symbol.global && section.name != ".text" {
                return Err(fault("a static function must not have a program's section"));
            }
            // Overlaps would let a small file claim any amount of code.
            if symbol.value < end || symbol.value % 8 != 0 || symbol.size % 8 != 0 || symbol.size == 0 {
                return Err(fault("its symbol overlaps another or is no whole number of instructions"));
            }
            end = symbol
                .value
                .checked_add(symbol.size)
                .ok_or_else(|| fault("it ends outside of its section"))?;
            let (first, last) = (symbol.value / 8, end / 8);
            let range = usize::try_from(first).ok().zip(usize::try_from(last).ok());
            let body = range.and_then(|(first, last)| insns.get(first..last));
            let (Some(body), Ok(first), Ok(last)) = (body, u32::try_from(first), u32::try_from(last)) else {
                return Err(fault("it ends outside of its section"));
            };
            check_body(body).map_err(fault)?;
            starts.push((index, first));
            functions.push(Function {
                name: symbol.name.to_owned(),
                section: section.name.to_owned(),
                insns: body.to_vec(),
                references: Vec::new(),
                relocations: of_range(&info.relocations, first, last),
                hidden: symbol.hidden,
                type_id: info
                    .functions
                    .binary_search_by_key(&first, |(insn, _)| *insn)
                    .ok()
                    .and_then(|found| info.functions.get(found))
                    .map(|(_, type_id)| *type_id)
                    .or_else(|| btf.type_by_name(symbol.name, Kind::Func))
                    .filter(|id| matches!(btf.type_by_id(*id), Some(Type::Func(_)))),
                lines: of_range(&info.lines, first, last),
            });
        }
    }
    let by_start: HashMap<(usize, u32), usize> =
        starts.iter().enumerate().map(|(index, start)| (*start, index)).collect();
    resolve(elf, &mut functions, &starts, &by_start, places)?;
    Ok(functions)
}

/// The second half of a wide load must be there and be nothing of its own.
fn check_body(body: &[Insn]) -> Result<(), &'static str> {
    let mut insns = body.iter();
    while let Some(insn) = insns.next() {
        if insn.is_wide() && insns.next().is_none_or(|second| second.code != 0) {
            return Err("a 64-bit load lacks its second half");
        }
    }
    Ok(())
}

/// A record that belongs to an instruction.
trait Placed: Clone {
    fn insn(&mut self) -> &mut u32;
    fn at(&self) -> u32;
}

impl Placed for LineInfo {
    fn insn(&mut self) -> &mut u32 {
        &mut self.insn
    }

    fn at(&self) -> u32 {
        self.insn
    }
}

impl Placed for CoreRelo {
    fn insn(&mut self) -> &mut u32 {
        &mut self.insn
    }

    fn at(&self) -> u32 {
        self.insn
    }
}

/// The records of one function among its section's, which are in order; places then count from its start.
fn of_range<T: Placed>(records: &[T], first: u32, last: u32) -> Vec<T> {
    let from = records.partition_point(|record| record.at() < first);
    let to = records.partition_point(|record| record.at() < last);
    let mut taken = records.get(from..to).unwrap_or_default().to_vec();
    for record in &mut taken {
        *record.insn() -= first;
    }
    taken
}

fn resolve(
    elf: &Elf<'_>,
    functions: &mut [Function],
    starts: &[(usize, u32)],
    by_start: &HashMap<(usize, u32), usize>,
    places: &Places<'_>,
) -> Result<(), ParseError> {
    let mut by_section: HashMap<usize, HashMap<u32, usize>> = HashMap::new();
    let externs: HashMap<&str, usize> =
        places.externs.iter().enumerate().map(|(index, found)| (found.name.as_str(), index)).collect();
    for (function, (section, first)) in functions.iter_mut().zip(starts) {
        let relocations =
            by_section.entry(*section).or_insert_with(|| symbols_by_place(&elf.relocations(*section)));
        let mut references = Vec::new();
        let mut second_half = false;
        for (insn, place) in function.insns.iter().zip(0u32..) {
            if second_half {
                second_half = false;
                continue;
            }
            second_half = insn.is_wide();
            let at = *first + place;
            let target = match relocations.get(&at) {
                Some(symbol) => elf
                    .symbols
                    .get(*symbol)
                    .and_then(|symbol| target(*insn, symbol, elf, by_start, &externs, places))
                    .map(Some),
                // Calls within a section are not relocated: they count from the instruction behind them.
                None if insn::is_local_call(*insn) => {
                    let callee = i64::from(at) + 1 + i64::from(insn.imm);
                    let callee =
                        u32::try_from(callee).ok().and_then(|callee| by_start.get(&(*section, callee)));
                    callee.map(|callee| Some(Target::Call(*callee)))
                }
                None => Some(None),
            };
            let target = target.ok_or_else(|| ParseError::Function {
                function: function.name.clone(),
                problem: unrelocatable(elf, place, relocations.get(&at), *section),
            })?;
            references.extend(target.map(|target| Reference { insn: place, target }));
        }
        function.references = references;
    }
    Ok(())
}

/// What is wrong with a reference that leads nowhere.
fn unrelocatable(elf: &Elf<'_>, place: u32, symbol: Option<&usize>, section: usize) -> String {
    let name = |section: usize| elf.sections.get(section).map_or("?", |section| section.name);
    let Some(symbol) = symbol.and_then(|symbol| elf.symbols.get(*symbol)) else {
        return format!(
            "instruction {place} refers to nothing that can be relocated (a call into the middle of section `{}`)",
            name(section)
        );
    };
    let called = if symbol.name.is_empty() { String::new() } else { format!(" `{}`", symbol.name) };
    match symbol.section {
        Some(section) => format!(
            "instruction {place} refers to nothing that can be relocated: symbol{called} of section `{}`, \
             which is neither a map, a variable nor the start of a function",
            name(section)
        ),
        None => format!(
            "instruction {place} refers to nothing that can be relocated: symbol{called} is defined nowhere \
             and not declared as `__ksym` or `__kconfig`"
        ),
    }
}

fn symbols_by_place(relocations: &[Relocation]) -> HashMap<u32, usize> {
    let places = relocations.iter().filter(|relocation| relocation.offset % 8 == 0);
    places.filter_map(|found| Some((u32::try_from(found.offset / 8).ok()?, found.symbol))).collect()
}

/// What an instruction with a relocation refers to.
fn target(
    insn: Insn,
    symbol: &Symbol<'_>,
    elf: &Elf<'_>,
    by_start: &HashMap<(usize, u32), usize>,
    externs: &HashMap<&str, usize>,
    places: &Places<'_>,
) -> Option<Target> {
    let Some(section) = symbol.section else {
        return externs.get(symbol.name).map(|index| Target::Extern(*index));
    };
    let addend = i64::from(insn.imm);
    let value = i64::try_from(symbol.value).ok()?;
    if insn.code == CALL {
        // The immediate counts instructions from the one behind, so -1 is the symbol itself.
        let callee = u32::try_from(value / 8 + addend + 1).ok()?;
        return by_start.get(&(section, callee)).map(|callee| Target::Call(*callee));
    }
    if !insn.is_wide() {
        return None;
    }
    let offset = value.checked_add(addend)?;
    if elf.sections.get(section)?.executable || insn.src() == PSEUDO_FUNC {
        let callee = u32::try_from(offset / 8).ok()?;
        return by_start.get(&(section, callee)).map(|callee| Target::Address(*callee));
    }
    let map_offset = u64::try_from(offset).ok()?;
    if let Some(map) = places.maps.iter().position(|place| *place == (section, map_offset)) {
        return Some(Target::Map(map));
    }
    let data = places.data.iter().position(|data| data.elf_index == section)?;
    let offset = u32::try_from(offset).ok()?;
    Some(Target::Data { map: places.first_data + data, offset })
}

/// Reads which maps and programs the definitions of maps name as values.
pub(super) fn fill_slots(
    elf: &Elf<'_>,
    maps: &mut [MapSpec],
    map_offsets: &[(usize, u64)],
    functions: &[Function],
) -> Result<(), ParseError> {
    let Some((section, _)) = elf.section(".maps") else { return Ok(()) };
    let by_name: HashMap<&str, usize> =
        functions.iter().enumerate().map(|(index, function)| (function.name.as_str(), index)).collect();
    for relocation in elf.relocations(section).into_iter().take(MAX_SLOTS) {
        let owner = map_offsets.iter().zip(maps.iter_mut()).find(|((_, start), map)| {
            (*start..start.saturating_add(u64::from(map.definition_len))).contains(&relocation.offset)
                // A flexible array adds nothing to the size of its struct.
                || map.values_offset.is_some_and(|values| {
                    relocation.offset >= start.saturating_add(u64::from(values))
                        && map_offsets.iter().all(|(_, other)| other <= start || *other > relocation.offset)
                })
        });
        let Some(((_, start), map)) = owner else { continue };
        let fault = |problem: &str| ParseError::Map { map: map.name.clone(), problem: problem.to_owned() };
        let values = map.values_offset.ok_or_else(|| fault("a relocation in a map that has no `values`"))?;
        let distance = relocation.offset.checked_sub(start + u64::from(values));
        let index = distance.and_then(|distance| u32::try_from(distance / 8).ok());
        let index = index.ok_or_else(|| fault("a value outside of `values`"))?;
        let symbol = elf.symbols.get(relocation.symbol).ok_or_else(|| fault("a value without a symbol"))?;
        let content = if let Some(inner) =
            map_offsets.iter().position(|place| Some(place.0) == symbol.section && place.1 == symbol.value)
        {
            SlotContent::Map(inner)
        } else if let Some(function) = by_name.get(symbol.name) {
            SlotContent::Function(*function)
        } else {
            return Err(fault(&format!("value {index} is neither a map nor a program")));
        };
        map.slots.push(Slot { index, content });
    }
    Ok(())
}
