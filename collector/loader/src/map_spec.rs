//! What an object says about its maps.
//!
//! A definition is a variable in `.maps` whose *type* carries everything: numbers are lengths of arrays behind pointers,
//! key and value are what pointers point to. Nothing is read from the section's bytes.

use ig_kernel::btf::{Btf, Composite, Kind, Type, TypeId};
use ig_kernel::map::{MapFlags, MapType};

use crate::error::ParseError;

/// A map as its object defines it, or as a data section implies it.
#[derive(Clone, Debug, Default)]
pub struct MapSpec {
    /// Name of the variable, or of the section for data maps (`.rodata`).
    pub name: String,
    /// Type of the map.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries; 0 when the object leaves it open.
    pub max_entries: u32,
    /// Flags of `BPF_MAP_CREATE`.
    pub flags: MapFlags,
    /// Extra of `BPF_MAP_CREATE`.
    pub extra: u64,
    /// NUMA node, meaningful with the flag that says so.
    pub numa_node: u32,
    /// Whether the map is shared under its name in the BPF file system.
    pub pinned_by_name: bool,
    /// Type of the key in the object's BTF.
    pub key_type: Option<TypeId>,
    /// Type of the value in the object's BTF.
    pub value_type: Option<TypeId>,
    /// What the maps look like that this map holds.
    pub inner: Option<Box<MapSpec>>,
    /// Offset of the member `values` in the definition.
    pub(crate) values_offset: Option<u32>,
    /// Bytes of the definition, which relocations point into.
    pub(crate) definition_len: u32,
    /// Statically given values.
    pub(crate) slots: Vec<Slot>,
}

/// A value that the definition of a map gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) content: SlotContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotContent {
    /// Index into the object's maps.
    Map(usize),
    /// Index into the object's functions.
    Function(usize),
}

/// Reads the definition of one map from its struct type.
pub(crate) fn parse(btf: &Btf, name: &str, definition: &Composite<'_>) -> Result<MapSpec, ParseError> {
    parse_nested(btf, name, definition, true)
}

fn parse_nested(
    btf: &Btf,
    name: &str,
    definition: &Composite<'_>,
    outer: bool,
) -> Result<MapSpec, ParseError> {
    let fault = |problem: &str| ParseError::Map { map: name.to_owned(), problem: problem.to_owned() };
    let mut spec = MapSpec { name: name.to_owned(), definition_len: definition.size, ..MapSpec::default() };
    for member in definition.members() {
        let number = || {
            number(btf, member.type_id).ok_or_else(|| fault(&format!("`{}` is not a number", member.name)))
        };
        let small = || {
            let value = number()?;
            u32::try_from(value)
                .ok()
                .ok_or_else(|| fault(&format!("`{}` = {value} is too large", member.name)))
        };
        let pointee = || {
            let Some((_, Type::Ptr(ptr))) = btf.skip_modifiers_and_typedefs(member.type_id) else {
                return None;
            };
            Some((ptr.type_id, btf.resolve_size(ptr.type_id)?))
        };
        match member.name {
            "type" => spec.kind = MapType(small()?),
            "max_entries" => spec.max_entries = small()?,
            "map_flags" => spec.flags = MapFlags(small()?),
            "numa_node" => {
                spec.numa_node = small()?;
                spec.flags = spec.flags | MapFlags::NUMA_NODE;
            }
            "map_extra" => spec.extra = number()?,
            "key_size" => {
                spec.key_size = agreed(spec.key_size, small()?).ok_or_else(|| fault("two key sizes"))?;
            }
            "value_size" => {
                spec.value_size =
                    agreed(spec.value_size, small()?).ok_or_else(|| fault("two value sizes"))?;
            }
            "key" => {
                let (id, size) =
                    pointee().ok_or_else(|| fault("`key` does not point to a type with a size"))?;
                spec.key_size = agreed(spec.key_size, size).ok_or_else(|| fault("two key sizes"))?;
                spec.key_type = Some(id);
            }
            "value" => {
                let (id, size) =
                    pointee().ok_or_else(|| fault("`value` does not point to a type with a size"))?;
                spec.value_size = agreed(spec.value_size, size).ok_or_else(|| fault("two value sizes"))?;
                spec.value_type = Some(id);
            }
            "values" if outer => {
                spec.values_offset = Some(member.bit_offset / 8);
                spec.inner = values(btf, name, member.type_id)?.map(Box::new);
            }
            "values" => return Err(fault("maps within maps within maps are not known to the kernel")),
            "pinning" => match small()? {
                0 => {}
                1 => spec.pinned_by_name = true,
                other => return Err(fault(&format!("pinning {other} is neither 0 nor LIBBPF_PIN_BY_NAME"))),
            },
            other => return Err(fault(&format!("unknown attribute `{other}`"))),
        }
    }
    if spec.kind == MapType::default() {
        return Err(fault("no type is given"));
    }
    if spec.values_offset.is_some() || spec.kind.holds_maps() {
        // Values are descriptors of 32 bits, whatever the definition omits.
        spec.key_size = if spec.key_size == 0 { 4 } else { spec.key_size };
        spec.value_size = 4;
    }
    if matches!(spec.kind, MapType::PERF_EVENT_ARRAY | MapType::PROG_ARRAY | MapType::CGROUP_ARRAY) {
        spec.key_size = if spec.key_size == 0 { 4 } else { spec.key_size };
        spec.value_size = if spec.value_size == 0 { 4 } else { spec.value_size };
    }
    Ok(spec)
}

/// `values`: an array of pointers to definitions of inner maps or to functions.
fn values(btf: &Btf, name: &str, id: TypeId) -> Result<Option<MapSpec>, ParseError> {
    let element = || {
        let (_, Type::Array(array)) = btf.skip_modifiers_and_typedefs(id)? else { return None };
        let (_, Type::Ptr(ptr)) = btf.skip_modifiers_and_typedefs(array.element)? else { return None };
        Some(btf.skip_modifiers_and_typedefs(ptr.type_id)?.1)
    };
    match element() {
        Some(Type::Struct(inner)) => parse_nested(btf, &format!("{name}.inner"), &inner, false).map(Some),
        Some(Type::FuncProto(_)) => Ok(None),
        _ => Err(ParseError::Map {
            map: name.to_owned(),
            problem: "`values` is no array of pointers to map definitions or functions".to_owned(),
        }),
    }
}

/// A number is the length of the array behind a pointer, or the value of an enumeration of one.
fn number(btf: &Btf, id: TypeId) -> Option<u64> {
    match btf.skip_modifiers_and_typedefs(id)?.1 {
        Type::Ptr(ptr) => match btf.type_by_id(ptr.type_id)? {
            Type::Array(array) => Some(u64::from(array.len)),
            _ => None,
        },
        Type::Enum(enumeration) => u64::try_from(enumeration.variants().next()?.value).ok(),
        _ => None,
    }
}

fn agreed(before: u32, now: u32) -> Option<u32> {
    (before == 0 || before == now).then_some(now)
}

/// The definitions in `.maps`, by name.
pub(crate) fn definitions(btf: &Btf) -> impl Iterator<Item = (&str, Option<Composite<'_>>)> {
    let section = btf.type_by_name(".maps", Kind::Datasec).and_then(|id| btf.type_by_id(id));
    let variables = match section {
        Some(Type::Datasec(section)) => Some(section.variables()),
        _ => None,
    };
    variables.into_iter().flatten().filter_map(|info| {
        let Type::Var(var) = btf.type_by_id(info.type_id)? else { return None };
        let definition = match btf.skip_modifiers_and_typedefs(var.type_id) {
            Some((_, Type::Struct(definition))) => Some(definition),
            _ => None,
        };
        Some((var.name, definition))
    })
}
