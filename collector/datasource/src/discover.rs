//! Markers: global variables whose names say what the gadget emits.
//!
//! # Source
//! Inspektor Gadget's marker contract: a marker is a global `const void *` whose name starts with a known prefix;
//! the parts after it are separated by exactly three underscores.

use std::collections::BTreeMap;

use ig_config::metadata::Metadata;
use ig_kernel::btf::{Btf, Composite, Kind, Type, TypeId, VarLinkage};
use ig_loader::{MapKind, MapSpec, Object, ProgramKind};
use thiserror::Error;

use crate::{
    layout::append_fields,
    param::{self, Param},
    source::{DataSource, Origin, SourceKind},
};

/// Separates the parts of a marker.
const SEPARATOR: &str = "___";

/// What the markers of an object say.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// Data sources in order of their markers.
    pub sources: Vec<DataSource>,
    /// Parameters in order of their markers.
    pub params: Vec<Param>,
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
    let mut found = Discovered::default();
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
        } else if let Some(rest) =
            name.strip_prefix("gadget_iter_").or_else(|| name.strip_prefix("gadget_snapshotter_"))
        {
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
        if spec.kind != MapKind::RINGBUF && spec.kind != MapKind::PERF_EVENT_ARRAY {
            return Err(format!("map `{map}` is neither a ring buffer nor a perf event array"));
        }
        let composite = self.composite(record)?;
        let mut fields = Vec::new();
        append_fields(self.btf, composite, 0, &mut fields);
        // The last marker of a name wins, as in the reference.
        found.sources.retain(|source| source.name != name);
        found.sources.push(DataSource {
            name: name.to_owned(),
            kind: SourceKind::Single,
            origin: Origin::Tracer { map: map.to_owned() },
            record_size: composite.size as usize,
            fields,
            annotations: BTreeMap::new(),
        });
        Ok(())
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
                return Err(format!("program `{program}` in section `{}` is no iterator", spec.section));
            }
        }
        if found.sources.iter().any(|source| source.name == name) {
            found.warnings.push(format!("data source `{name}` is declared twice; the first one counts"));
            return Ok(());
        }
        let composite = self.composite(record)?;
        let mut fields = Vec::new();
        append_fields(self.btf, composite, 0, &mut fields);
        found.sources.push(DataSource {
            name: name.to_owned(),
            kind: SourceKind::Array,
            origin: Origin::Iterator { programs },
            record_size: composite.size as usize,
            fields,
            annotations: BTreeMap::new(),
        });
        Ok(())
    }

    fn map_iterator(&self, rest: &str, found: &mut Discovered) -> Result<(), String> {
        let [name, map] = parts(rest)?;
        let spec = self.map(map)?;
        if spec.kind != MapKind::HASH {
            return Err(format!("map `{map}` is no plain hash map"));
        }
        if found.sources.iter().any(|source| source.name == name) {
            return Err(format!("data source `{name}` is declared twice"));
        }
        let mut fields = Vec::new();
        append_fields(self.btf, self.element(spec, spec.key_type, spec.key_size, "key")?, 0, &mut fields);
        for field in &mut fields {
            field.role_key = true;
        }
        let value = self.element(spec, spec.value_type, spec.value_size, "value")?;
        let keys = fields.len();
        let mut values = Vec::new();
        append_fields(self.btf, value, spec.key_size as usize, &mut values);
        for field in &mut values {
            field.parent = field.parent.map(|parent| parent + keys);
        }
        if let Some(clash) =
            values.iter().find(|value| fields.iter().any(|key| key.full_name == value.full_name))
        {
            return Err(format!("field `{}` stands in the key and in the value", clash.full_name));
        }
        fields.append(&mut values);
        found.sources.push(DataSource {
            name: name.to_owned(),
            kind: SourceKind::Array,
            origin: Origin::MapIterator {
                map: map.to_owned(),
                key_size: spec.key_size as usize,
                value_size: spec.value_size as usize,
            },
            record_size: (spec.key_size + spec.value_size) as usize,
            fields,
            annotations: BTreeMap::new(),
        });
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
        match id.and_then(|id| self.btf.type_by_id(id)) {
            Some(Type::Struct(composite)) if composite.size == size => Ok(composite),
            _ => Err(format!("the {what} of map `{}` is not a bare struct of {size} bytes", spec.name)),
        }
    }
}

/// Splits into exactly `N` parts.
fn parts<const N: usize>(rest: &str) -> Result<[&str; N], String> {
    let parts: Vec<&str> = rest.split(SEPARATOR).collect();
    let count = parts.len();
    parts.try_into().map_err(|_parts| format!("expected {N} parts joined by `___`, got {count}"))
}
