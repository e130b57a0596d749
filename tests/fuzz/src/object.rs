//! eBPF objects and their types.

use std::hint::black_box;
use std::sync::LazyLock;

use ig_config::metadata::Metadata;
use ig_datasource::discover;
use ig_kernel::btf::{Btf, Kind, Type, TypeId};
use ig_loader::core_relo::{CoreKind, Relocator};
use ig_loader::{Loader, Object};

/// A small object that is fine but for the section put into it.
const HOST: &[u8] = include_bytes!("../corpus/object/events.o");
/// An object with relocations of every kind.
const CORE: &[u8] = include_bytes!("../corpus/object/core.o");
/// A gadget.
const GADGET: &[u8] = include_bytes!("../corpus/object/gadget.o");

/// A whole object: opened, all of it looked at, relocated against its own types, which are hostile on both sides.
pub(crate) fn object(bytes: &[u8]) {
    let Ok(object) = Object::parse("fuzz", bytes) else { return };
    for variable in object.variables() {
        // A section may be 64 MiB of zeros that take nothing in the file; copies of it prove nothing.
        if variable.size <= 1 << 16 {
            assert_eq!(
                object.initial_value(variable).len(),
                variable.size as usize,
                "size of {}",
                variable.name
            );
            let set = Loader::new(&object).set_variable(&variable.name, &[]).map(drop);
            assert_eq!(set.is_ok(), object.variable(&variable.name).is_some_and(|named| named.size == 0));
        }
    }
    for map in object.maps() {
        assert!(object.map(&map.name).is_some());
    }
    for program in object.programs() {
        assert!(object.program(&program.name).is_some());
    }
    black_box(object.check_relocations(&mut Relocator::new(object.btf(), vec![object.btf()])));
    assert!(object.subprograms_with_prefix("gadget").count() <= bytes.len());
}

/// Types alone: all of them, all their parts, sizes, names.
pub(crate) fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes, None) else { return };
    for (id, ty) in btf.types().take(4096) {
        black_box((btf.resolve_size(id), btf.skip_modifiers_and_typedefs(id)));
        parts(&btf, &ty);
        if let Some(name) = ty.name().filter(|name| !name.is_empty()) {
            assert!(btf.types_by_name(name).any(|(found, _)| found == id), "`{name}` {id} is found by name");
        }
    }
    black_box(btf.type_by_name("task_struct", Kind::Struct));
    assert!(btf.type_by_id(TypeId(btf.next_id())).is_none());
}

/// Target types, as btfgen and BTF archives bring them along, for an object that is fine.
pub(crate) fn relocation(bytes: &[u8]) {
    static OBJECT: LazyLock<Option<Object>> = LazyLock::new(|| Object::parse("core", CORE).ok());
    let (Some(object), Ok(target)) = (OBJECT.as_ref(), Btf::parse(bytes, None)) else { return };
    black_box(object.check_relocations(&mut Relocator::new(object.btf(), vec![&target])));
}

/// A kernel's types, hostile or not, cut down to what an object that is fine asks of them: the cut is BTF, and can be
/// relocated against. That relocation gives the same is held by the loader's tests on real kernels: where types contradict
/// themselves (a member of a type that does not exist) the cut leaves the contradiction out, and may match where the whole
/// does not.
pub(crate) fn min_btf(bytes: &[u8]) {
    static OBJECT: LazyLock<Option<Object>> = LazyLock::new(|| Object::parse("core", CORE).ok());
    let (Some(object), Ok(kernel)) = (OBJECT.as_ref(), Btf::parse(bytes, None)) else { return };
    let Ok(cut) = ig_loader::min_btf::cut(object, &kernel) else { return };
    let Ok(cut) = Btf::parse(cut, None) else { unreachable!("a cut is BTF") };
    let relocated = |target: &Btf| {
        let mut relocator = Relocator::new(object.btf(), vec![target]);
        let all = object.functions().flat_map(|function| function.relocations.iter());
        // Numbers of types are those of the block, in answers and in messages.
        let known = all.filter(|relocation| relocation.kind != CoreKind::TypeIdTarget);
        known.map(|relocation| relocator.resolve(relocation).map_err(drop)).collect::<Vec<_>>()
    };
    assert_eq!(relocated(&cut).len(), relocated(&kernel).len(), "every relocation has an answer");
}

/// The data sources and parameters of a gadget whose types are odd, and records of every length read by them.
pub(crate) fn sources(bytes: &[u8]) {
    let Some(bytes) = with_section(GADGET, ".BTF", bytes) else { return };
    let Ok(object) = Object::parse("fuzz", &bytes) else { return };
    let Ok(found) = discover(&object, &Metadata::default()) else { return };
    for source in &found.sources {
        let record = vec![0xff; source.record_size.min(1 << 16)];
        for field in &source.fields {
            assert!(
                field.bytes(&[]).is_none_or(<[u8]>::is_empty),
                "an empty record has no {}",
                field.full_name
            );
            black_box((field.number(&record), field.c_string(&record)));
        }
    }
}

fn parts(btf: &Btf, ty: &Type<'_>) {
    let mut ids = Vec::new();
    match ty {
        Type::Struct(composite) | Type::Union(composite) => {
            ids.extend(composite.members().map(|member| member.type_id));
        }
        Type::FuncProto(proto) => ids.extend(proto.params().map(|param| param.type_id)),
        Type::Datasec(section) => ids.extend(section.variables().map(|variable| variable.type_id)),
        Type::Enum(values) => {
            black_box(values.variants().count());
        }
        Type::Ptr(ptr) => ids.push(ptr.type_id),
        _ => {}
    }
    for id in ids {
        black_box((btf.type_by_id(id), btf.resolve_size(id)));
    }
}

/// `.BTF.ext` in an object that is fine otherwise.
pub(crate) fn btf_ext(bytes: &[u8]) {
    if let Some(bytes) = with_section(HOST, ".BTF.ext", bytes) {
        object(&bytes);
    }
}

/// `.BTF` in an object that is fine otherwise, so that map definitions, variables and relocations meet odd types.
pub(crate) fn types_of_object(bytes: &[u8]) {
    if let Some(bytes) = with_section(HOST, ".BTF", bytes) {
        object(&bytes);
    }
}

/// An object with another content of one section, put behind the rest.
fn with_section(host: &[u8], name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| host.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let short = |at: usize| host.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let int = |at: usize| host.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    // Of the ELF header: e_shoff, e_shnum, e_shstrndx; a section header takes 64 bytes.
    let headers = usize::try_from(word(0x28)?).ok()?;
    let header = |index: u16| headers + usize::from(index) * 64;
    let names = usize::try_from(word(header(short(0x3e)?) + 0x18)?).ok()?;
    let wanted = (0..short(0x3c)?).map(header).find(|header| {
        let start = int(*header).map(|offset| names + offset as usize);
        let text = start.and_then(|start| host.get(start..start + name.len() + 1));
        text.is_some_and(|text| text.strip_suffix(&[0]) == Some(name.as_bytes()))
    })?;
    let mut bytes = host.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let place = (bytes.len() as u64).to_le_bytes();
    bytes.get_mut(wanted + 0x18..wanted + 0x20)?.copy_from_slice(&place);
    bytes.get_mut(wanted + 0x20..wanted + 0x28)?.copy_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(content);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use ig_config::metadata::Metadata;
    use ig_datasource::discover;
    use ig_loader::Object;

    use super::{CORE, GADGET, HOST, with_section};

    /// Guarantees: the section is really replaced: the host stays readable with its own content, and not with noise.
    #[test]
    fn sections_are_replaced() {
        assert!(Object::parse("host", HOST).is_ok());
        let noise = with_section(HOST, ".BTF", b"noise").unwrap();
        assert!(Object::parse("noise", &noise).unwrap_err().to_string().contains("types"));
        assert!(with_section(HOST, ".no-such-section", b"").is_none());
    }

    /// Guarantees: the objects that targets begin with lead into the code that they are meant for.
    #[test]
    fn seeds_are_whole() {
        assert!(Object::parse("core", CORE).is_ok());
        let gadget = Object::parse("gadget", GADGET).unwrap();
        let found = discover(&gadget, &Metadata::default()).unwrap();
        assert_eq!((found.sources.len(), found.params.len()), (3, 3), "{found:?}");
    }
}
