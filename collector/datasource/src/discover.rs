//! Markers: global variables whose names say what the gadget emits.
//!
//! # Source
//! Inspektor Gadget's marker contract: a marker is a global `const void *` whose name starts with a known prefix;
//! the parts after it are separated by exactly three underscores.

use std::collections::HashSet;

use ig_config::metadata::Metadata;
use ig_kernel::btf::{Btf, Composite, Kind, Type, TypeId, VarLinkage};
use ig_loader::{MapSpec, MapType, Object, ProgramKind};
use thiserror::Error;

use crate::{
    annotate::annotate,
    field::Field,
    layout,
    param::{self, Param},
    source::{DataSource, Origin, Rest, SourceKind},
    words::FieldWords,
};

/// Separates the parts of a marker.
const SEPARATOR: &str = "___";
/// Longest record; ring buffers and map values of this size exist in no gadget.
const MAX_RECORD: usize = 4 << 20;
/// Data sources of one gadget.
const MAX_SOURCES: usize = 256;

/// What the markers of an object say.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// Data sources in order of their markers.
    pub sources: Vec<DataSource>,
    /// Parameters in order of their markers.
    pub params: Vec<Param>,
    /// Parameters of programs at network interfaces: packet filters, the interface. No variables stand behind them.
    pub network: Vec<Param>,
    /// Oddities that do not stop the gadget.
    pub warnings: Vec<String>,
}

/// A marker that names something the object does not have, or has in the wrong shape.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("marker `{marker}`: {problem}")]
pub struct DiscoverError {
    /// Name of the marker variable.
    pub marker: String,
    /// What is wrong.
    pub problem: String,
}

/// Reads every marker of `object`; `metadata` gives parameters their keys and defaults.
///
/// # Errors
/// The first marker that is wrong.
pub fn discover(object: &Object, metadata: &Metadata) -> Result<Discovered, DiscoverError> {
    let mut found = Discovered { network: param::of_network(object), ..Discovered::default() };
    let btf = object.btf();
    for (_, ty) in btf.types() {
        let Type::Var(variable) = ty else { continue };
        if variable.linkage != VarLinkage::GlobalAllocated || !is_marker_type(btf, variable.type_id) {
            continue;
        }
        let context = Context { object, metadata, btf };
        context
            .marker(variable.name, &mut found)
            .map_err(|problem| DiscoverError { marker: variable.name.to_owned(), problem })?;
    }
    Ok(found)
}

struct Context<'a> {
    object: &'a Object,
    metadata: &'a Metadata,
    btf: &'a Btf,
}

/// `const void *`
fn is_marker_type(btf: &Btf, id: TypeId) -> bool {
    let Some(Type::Ptr(pointer)) = btf.type_by_id(id) else { return false };
    let Some(Type::Const(inner)) = btf.type_by_id(pointer.type_id) else { return false };
    inner == TypeId::VOID
}

impl Context<'_> {
    fn marker(&self, name: &str, found: &mut Discovered) -> Result<(), String> {
        if let Some(rest) = name.strip_prefix("gadget_tracer_") {
            self.tracer(rest, found)
        } else if let Some(rest) = name.strip_prefix("gadget_snapshotter_") {
            found
                .warnings
                .push(format!("marker `{name}` has a deprecated form; GADGET_ITER makes the new one"));
            self.iterator(rest, found)
        } else if let Some(rest) = name.strip_prefix("gadget_iter_") {
            self.iterator(rest, found)
        } else if let Some(rest) = name.strip_prefix("gadget_mapiter_") {
            self.map_iterator(rest, found)
        } else if let Some(variable) = name.strip_prefix("gadget_param_") {
            self.param(variable, found)
        } else {
            Ok(())
        }
    }

    fn tracer(&self, rest: &str, found: &mut Discovered) -> Result<(), String> {
        let [name, map, record] = parts(rest)?;
        let spec = self.map(map)?;
        if spec.kind != MapType::RINGBUF && spec.kind != MapType::PERF_EVENT_ARRAY {
            return Err(format!("map `{map}` is neither a ring buffer nor a perf event array"));
        }
        let (fields, size) = self.record(record, found)?;
        // The last marker of a name wins, as in the reference.
        found.sources.retain(|source| source.name != name);
        let origin = Origin::Tracer { map: map.to_owned() };
        let source = DataSource { fields, ..DataSource::new(name, SourceKind::Single, origin, size) };
        self.register(source, found)
    }

    fn iterator(&self, rest: &str, found: &mut Discovered) -> Result<(), String> {
        let mut names = rest.split(SEPARATOR);
        let (Some(name), Some(record)) = (names.next(), names.next()) else {
            return Err("expected name, struct and at least one program".to_owned());
        };
        let programs: Vec<String> = names.map(str::to_owned).collect();
        if programs.is_empty() {
            return Err("it names no program".to_owned());
        }
        for program in &programs {
            let spec =
                self.object.program(program).ok_or_else(|| format!("there is no program `{program}`"))?;
            if spec.kind != ProgramKind::Iter {
                return Err(format!(
                    "program `{program}`: expected an iterator, got section `{}`",
                    spec.section
                ));
            }
        }
        if found.sources.iter().any(|source| source.name == name) {
            found.warnings.push(format!("data source `{name}` is declared twice; the first one counts"));
            return Ok(());
        }
        let (fields, size) = self.record(record, found)?;
        let source = DataSource {
            fields,
            ..DataSource::new(name, SourceKind::Array, Origin::Iterator { programs }, size)
        };
        self.register(source, found)
    }

    fn map_iterator(&self, rest: &str, found: &mut Discovered) -> Result<(), String> {
        let [name, map] = parts(rest)?;
        let spec = self.map(map)?;
        if spec.kind != MapType::HASH {
            return Err(format!(
                "map `{map}` is {}; only a plain hash map can be iterated",
                map_kind(spec.kind)
            ));
        }
        if found.sources.iter().any(|source| source.name == name) {
            return Err(format!("data source `{name}` is declared twice"));
        }
        let key = self.element(spec, spec.key_type, spec.key_size, "key")?;
        let value = self.element(spec, spec.value_type, spec.value_size, "value")?;
        let (key_size, value_size) = (spec.key_size as usize, spec.value_size as usize);
        let size = record_size(key_size.saturating_add(value_size), name)?;
        let mut fields = self.fields(key, 0, found)?;
        for field in &mut fields {
            field.role_key = true;
        }
        let keys = fields.len();
        let values = self.fields(value, key_size, found)?;
        let names: HashSet<String> = fields.iter().map(|field| field.full_name.clone()).collect();
        if let Some(clash) = values.iter().find(|value| names.contains(&value.name)) {
            return Err(format!(
                "field `{}` already exists: key and value of map `{map}` both have it",
                clash.name
            ));
        }
        fields.extend(
            values
                .into_iter()
                .map(|field| Field { parent: field.parent.map(|parent| parent + keys), ..field }),
        );
        let origin = Origin::MapIterator { map: map.to_owned(), key_size, value_size };
        let source = DataSource { fields, ..DataSource::new(name, SourceKind::Array, origin, size) };
        self.register(source, found)
    }

    /// The fields and the size of the records that are the struct `name`.
    fn record(&self, name: &str, found: &mut Discovered) -> Result<(Vec<Field>, usize), String> {
        let composite = self.composite(name)?;
        let size = record_size(composite.size as usize, name)?;
        Ok((self.fields(composite, 0, found)?, size))
    }

    fn fields(
        &self,
        composite: Composite<'_>,
        base: usize,
        found: &mut Discovered,
    ) -> Result<Vec<Field>, String> {
        let layout = layout::fields(self.btf, composite, base);
        if layout.cut {
            found.warnings.push(format!(
                "struct `{}` has more members than a record can show; the last ones are left out",
                composite.name
            ));
        }
        let mut names = HashSet::new();
        match layout.fields.iter().find(|field| !names.insert(field.full_name.as_str())) {
            Some(twice) => Err(format!("struct `{}` has two fields `{}`", composite.name, twice.full_name)),
            None => Ok(layout.fields),
        }
    }

    /// Adds what gadget.yaml says, and the source to those found.
    fn register(&self, mut source: DataSource, found: &mut Discovered) -> Result<(), String> {
        if found.sources.len() >= MAX_SOURCES {
            return Err(format!("the gadget has more than {MAX_SOURCES} data sources"));
        }
        source.words = FieldWords::of(self.metadata, &source.name);
        source.annotations = self.metadata.datasource_annotations(&source.name);
        source.tags = self.metadata.datasource_tags(&source.name);
        let warnings = annotate(&mut source.fields, &source.words);
        found
            .warnings
            .extend(warnings.into_iter().map(|text| format!("data source `{}`: {text}", source.name)));
        source.rest = rest(&source)?;
        found.sources.push(source);
        Ok(())
    }

    fn param(&self, name: &str, found: &mut Discovered) -> Result<(), String> {
        let variable = self
            .object
            .variable(name)
            .filter(|variable| variable.global)
            .ok_or_else(|| format!("there is no global variable `{name}`"))?;
        if found.params.iter().all(|param| param.variable != name) {
            let initial = self.object.initial_value(variable);
            let described = self.metadata.ebpf_param(name);
            found.params.push(param::describe(self.btf, variable, &initial, described.as_ref()));
        }
        Ok(())
    }

    fn map(&self, name: &str) -> Result<&MapSpec, String> {
        self.object.map(name).ok_or_else(|| format!("there is no map `{name}`"))
    }

    fn composite(&self, name: &str) -> Result<Composite<'_>, String> {
        let id = self
            .btf
            .type_by_name(name, Kind::Struct)
            .ok_or_else(|| format!("there is no struct `{name}`"))?;
        self.btf
            .type_by_id(id)
            .and_then(|ty| ty.as_composite())
            .ok_or_else(|| format!("there is no struct `{name}`"))
    }

    fn element(
        &self,
        spec: &MapSpec,
        id: Option<TypeId>,
        size: u32,
        what: &str,
    ) -> Result<Composite<'_>, String> {
        let described = match id.and_then(|id| self.btf.type_by_id(id)) {
            Some(Type::Struct(composite)) if composite.size == size => return Ok(composite),
            Some(Type::Struct(composite)) => {
                format!("struct `{}` of {} bytes, not of {size}", composite.name, composite.size)
            }
            Some(Type::Typedef(typedef)) => format!("the typedef `{}`", typedef.name),
            Some(ty) => match ty.name() {
                Some(name) if !name.is_empty() => format!("`{name}`"),
                _ => "without a name".to_owned(),
            },
            None => format!("{size} bytes without a type"),
        };
        Err(format!(
            "the {what} of map `{}` is {described}; it must be a struct that is named directly",
            spec.name
        ))
    }
}

/// What the annotations of a tracer say of the bytes behind its layout.
fn rest(source: &DataSource) -> Result<Option<Rest>, String> {
    let Some(name) = source.annotations.get("ebpf.rest.name").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if !matches!(source.origin, Origin::Tracer { .. }) {
        return Ok(None);
    }
    if source.field(name).is_some() {
        return Err(format!(
            "annotation ebpf.rest.name of data source `{}`: field `{name}` already exists",
            source.name
        ));
    }
    let len = match source.annotations.get("ebpf.rest.len").filter(|name| !name.is_empty()) {
        None => None,
        Some(len) => {
            let problem = |problem: String| {
                format!("annotation ebpf.rest.len of data source `{}`: {problem}", source.name)
            };
            let field = source.field(len).ok_or_else(|| {
                let hint = source.nearest_field(len).map(|near| format!("; did you mean `{near}`?"));
                problem(format!("there is no field `{len}`{}", hint.unwrap_or_default()))
            })?;
            if !field.kind.is_integer() || field.kind.is_signed() || field.bits.is_some() {
                return Err(problem(format!("field `{len}`: expected an unsigned integer")));
            }
            Some(field.offset..field.offset + field.size)
        }
    };
    Ok(Some(Rest { name: name.clone(), start: source.record_size, len }))
}

fn record_size(size: usize, name: &str) -> Result<usize, String> {
    if size > MAX_RECORD {
        return Err(format!("records of `{name}` would have {size} bytes; {MAX_RECORD} are the most"));
    }
    Ok(size)
}

/// How people call a type of map.
fn map_kind(kind: MapType) -> String {
    match kind {
        MapType::ARRAY => "an array".to_owned(),
        MapType::PERCPU_HASH => "a per-CPU hash map".to_owned(),
        MapType::PERCPU_ARRAY => "a per-CPU array".to_owned(),
        MapType::LRU_HASH => "an LRU hash map".to_owned(),
        MapType::LRU_PERCPU_HASH => "a per-CPU LRU hash map".to_owned(),
        MapType::RINGBUF => "a ring buffer".to_owned(),
        MapType::PERF_EVENT_ARRAY => "a perf event array".to_owned(),
        MapType::HASH_OF_MAPS | MapType::ARRAY_OF_MAPS => "a map of maps".to_owned(),
        other => format!("of type {}", other.0),
    }
}

/// Splits into exactly `N` parts.
fn parts<const N: usize>(rest: &str) -> Result<[&str; N], String> {
    let parts: Vec<&str> = rest.split(SEPARATOR).collect();
    let count = parts.len();
    parts.try_into().map_err(|_parts| format!("expected {N} parts joined by `___`, got {count}"))
}
