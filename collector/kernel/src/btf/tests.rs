use std::sync::Arc;

use proptest::prelude::{any, prop_assert, proptest};

use super::{Btf, BtfError, Kind, Type, TypeId, essential_name, vmlinux};

/// Assembles BTF by hand: records are given as words after the name.
#[derive(Default)]
struct Maker {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Maker {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn record(&mut self, name: &str, kind: Kind, vlen: u32, size_or_type: u32, tail: &[u32]) -> &mut Self {
        let name = self.string(name);
        for word in [name, (kind as u32) << 24 | vlen, size_or_type].iter().chain(tail) {
            self.types.extend(word.to_ne_bytes());
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(0xeb9f_u16.to_ne_bytes());
        out.extend([1, 0]);
        let (types, strings) =
            [&self.types, &self.strings].map(|part| u32::try_from(part.len()).unwrap()).into();
        for word in [24, 0, types, types, strings] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }
}

fn sample() -> Maker {
    let mut maker = Maker::new();
    maker.record("int", Kind::Int, 0, 4, &[1 << 24 | 32]); // 1
    maker.record("my_int", Kind::Typedef, 0, 1, &[]); // 2
    maker.record("", Kind::Const, 0, 2, &[]); // 3
    maker.record("", Kind::Array, 0, 0, &[3, 1, 10]); // 4
    let (a, b) = (maker.string("a"), maker.string("b"));
    maker.record("pair", Kind::Struct, 2, 48, &[a, 1, 0, b, 4, 32]); // 5
    maker.record("pair___old", Kind::Struct, 0, 0, &[]); // 6
    maker.record("", Kind::Typedef, 0, 7, &[]); // 7: refers to itself
    maker
}

#[test]
fn types_members_and_sizes_are_read() {
    let btf = Btf::parse(sample().bytes(), None).unwrap();
    let pair = btf.type_by_name("pair", Kind::Struct).unwrap();
    let Some(Type::Struct(composite)) = btf.type_by_id(pair) else { panic!("not a struct") };
    let members: Vec<_> = composite.members().map(|member| (member.name, member.bit_offset)).collect();
    assert_eq!(members, [("a", 0), ("b", 32)]);
    assert_eq!(btf.resolve_size(TypeId(4)), Some(40));
    assert_eq!(btf.skip_modifiers_and_typedefs(TypeId(3)).unwrap().0, TypeId(1));
    assert_eq!(btf.types_by_essential_name("pair").count(), 2);
    assert_eq!(btf.types_by_name("pair").count(), 1);
    assert_eq!(btf.next_id(), 8);
}

#[test]
fn cycles_and_stray_ids_end() {
    let btf = Btf::parse(sample().bytes(), None).unwrap();
    assert_eq!(btf.resolve_size(TypeId(7)), None);
    assert!(btf.skip_modifiers_and_typedefs(TypeId(7)).is_none());
    assert!(btf.type_by_id(TypeId(99)).is_none());
}

#[test]
fn split_btf_rests_on_its_base() {
    let base = Arc::new(Btf::parse(sample().bytes(), None).unwrap());
    let mut maker = Maker { types: Vec::new(), strings: Vec::new() };
    // Own strings count on from the base's.
    let name = base.next_string();
    maker.strings.extend(b"module_pair\0");
    for word in [name, (Kind::Typedef as u32) << 24, 5] {
        maker.types.extend(word.to_ne_bytes());
    }
    let split = Btf::parse(maker.bytes(), Some(base)).unwrap();
    let id = split.type_by_name("module_pair", Kind::Typedef).unwrap();
    assert_eq!(id, TypeId(8));
    assert_eq!(split.resolve_size(id), Some(48));
    assert_eq!(split.type_by_name("pair", Kind::Struct), Some(TypeId(5)));
}

#[test]
fn faults_are_named() {
    let good = sample().bytes();
    assert!(matches!(Btf::parse(&good[..10], None), Err(BtfError::Truncated("the header", 10))));
    let mut other = good.clone();
    other.swap(0, 1);
    assert!(matches!(Btf::parse(other, None), Err(BtfError::ByteOrder)));
    let mut other = good.clone();
    other[2] = 2;
    assert!(matches!(Btf::parse(other, None), Err(BtfError::Version(2))));
    let mut maker = sample();
    maker.types.extend([0, 0, 0, 0, 0, 0, 0, 31, 0, 0, 0, 0]);
    let error = Btf::parse(maker.bytes(), None).unwrap_err();
    assert_eq!(error.to_string(), "BTF type [8] has the unknown kind 31");
}

#[test]
fn flavours_are_cut_at_the_last_separator() {
    for (name, essential) in [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("___x", "___x"),
        ("a____b", "a____b"),
        ("a___", "a___"),
        ("a_long_name_with_ordinary_parts", "a_long_name_with_ordinary_parts"),
        ("a_long_name_with_a_flavour___behind", "a_long_name_with_a_flavour"),
        ("sevenxx___b", "sevenxx"),
    ] {
        assert_eq!(essential_name(name), essential);
    }
}

/// Guarantees: the kernel's BTF parses whole, is shared while in use, and its index finds what a scan finds.
#[test]
fn the_kernels_types_are_read() {
    let btf = vmlinux().unwrap();
    assert!(Arc::ptr_eq(&btf, &vmlinux().unwrap()));
    let task = btf.type_by_name("task_struct", Kind::Struct).unwrap();
    assert!(btf.resolve_size(task).unwrap() > 1000);
    for (id, ty) in btf.types().step_by(997) {
        let Some(name) = ty.name().filter(|name| !name.is_empty()) else { continue };
        assert!(btf.types_by_name(name).any(|(found, _)| found == id), "{name} {id}");
    }
}

proptest! {
    /// Guarantees: no mutation of BTF makes the reader panic, recurse without end or read out of bounds.
    #[test]
    fn hostile_bytes_never_panic(edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..20)) {
        let mut bytes = sample().bytes();
        for (at, value) in edits {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        if let Ok(btf) = Btf::parse(bytes, None) {
            for (id, ty) in btf.types() {
                let _: Option<u32> = btf.resolve_size(id);
                prop_assert!(btf.skip_modifiers_and_typedefs(id).is_none_or(|(id, _)| id.0 < btf.next_id()));
                match ty {
                    Type::Struct(composite) | Type::Union(composite) => {
                        prop_assert!(composite.members().count() == composite.member_count());
                    }
                    Type::Enum(enumeration) => drop(enumeration.variants().count()),
                    _ => {}
                }
                if let Some(name) = ty.name() {
                    let _: usize = btf.types_by_name(name).count();
                }
            }
        }
    }
}
