use std::sync::Arc;

use ig_kernel::btf::{Btf, Kind, TypeId};

use super::{CoreError, CoreKind, CoreRelo, Fixup, Relocator};
use crate::insn::{Insn, LD_IMM64, POISON_HELPER};

/// Assembles BTF by hand.
struct Maker {
    types: Vec<u32>,
    strings: Vec<u8>,
}

impl Maker {
    /// Starts with `unsigned int` (1) and `unsigned long` (2).
    fn new() -> Self {
        let mut maker = Self { types: Vec::new(), strings: vec![0] };
        maker.record("unsigned int", Kind::Int, 0, 4, &[32]);
        maker.record("unsigned long", Kind::Int, 0, 8, &[64]);
        maker
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn record(&mut self, name: &str, kind: Kind, vlen: u32, size: u32, tail: &[u32]) {
        let name = self.string(name);
        self.types.extend([name, (kind as u32) << 24 | vlen, size]);
        self.types.extend(tail);
    }

    /// Members are name, type and bit offset; a bit-field's size in the highest byte.
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) {
        let tail: Vec<u32> =
            members.iter().flat_map(|(name, ty, at)| [self.string(name), *ty, *at]).collect();
        let kind_flag = 1 << 31;
        self.record(name, Kind::Struct, kind_flag | u32::try_from(members.len()).unwrap(), size, &tail);
    }

    fn btf(&self) -> Btf {
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let types = u32::try_from(self.types.len() * 4).unwrap();
        for word in
            [24, 0, types, types, u32::try_from(self.strings.len()).unwrap()].iter().chain(&self.types)
        {
            out.extend(word.to_le_bytes());
        }
        out.extend(&self.strings);
        Btf::parse(Arc::<[u8]>::from(out), None).unwrap()
    }
}

fn relo(type_id: u32, access: &str, kind: CoreKind) -> CoreRelo {
    CoreRelo { insn: 0, type_id: TypeId(type_id), access: access.into(), kind }
}

/// Type 3 on both sides.
fn pair(local: &[(&str, u32, u32)], target: &[(&str, u32, u32)]) -> (Btf, Btf) {
    let [mut one, mut two] = [Maker::new(), Maker::new()];
    one.structure("thing___mine", 64, local);
    two.structure("thing", 64, target);
    (one.btf(), two.btf())
}

fn resolve(local: &Btf, target: &Btf, relo: &CoreRelo) -> Fixup {
    Relocator::new(local, vec![target]).resolve(relo).unwrap()
}

#[test]
fn offsets_follow_the_name() {
    let (local, target) = pair(&[("a", 1, 0), ("b", 1, 32)], &[("b", 1, 0), ("x", 2, 64), ("a", 1, 128)]);
    let fixup = resolve(&local, &target, &relo(3, "0:0", CoreKind::FieldByteOffset));
    assert_eq!((fixup.original, fixup.value, fixup.poison), (Some(0), 16, false));
    let fixup = resolve(&local, &target, &relo(3, "0:1", CoreKind::FieldByteOffset));
    assert_eq!((fixup.original, fixup.value), (Some(4), 0));
}

/// Guarantees: an access of an unsigned integer that became wider is widened.
#[test]
fn unsigned_integers_change_their_width() {
    let (local, target) = pair(&[("a", 1, 0)], &[("a", 2, 64)]);
    let fixup = resolve(&local, &target, &relo(3, "0:0", CoreKind::FieldByteOffset));
    // r0 = *(u32 *)(r1 + 0)
    let mut insns = [Insn { code: 0x61, regs: 0x10, off: 0, imm: 0 }];
    fixup.apply(&mut insns).unwrap();
    assert_eq!((insns[0].code, insns[0].off), (0x79, 8));
}

#[test]
fn what_is_absent_is_poisoned_or_denied() {
    let (local, target) = pair(&[("gone", 1, 0)], &[("a", 1, 0)]);
    let fixup = resolve(&local, &target, &relo(3, "0:0", CoreKind::FieldByteOffset));
    let mut insns = [Insn { code: LD_IMM64, ..Insn::default() }, Insn::default()];
    fixup.apply(&mut insns).unwrap();
    assert!(insns.iter().all(|insn| insn.imm == POISON_HELPER));
    let fixup = resolve(&local, &target, &relo(3, "0:0", CoreKind::FieldExists));
    assert_eq!((fixup.value, fixup.poison), (0, false));
    let fixup = resolve(&local, &target, &relo(3, "0", CoreKind::TypeExists));
    assert_eq!((fixup.value, fixup.poison), (1, false));
}

/// Scenario: three bits at bit 37, in the object at bit 2.
#[test]
fn bit_fields_give_word_and_shifts() {
    let (local, target) = pair(&[("bits", 1, 0x0300_0002)], &[("a", 1, 0), ("bits", 1, 0x0300_0025)]);
    let ask = |kind| resolve(&local, &target, &relo(3, "0:0", kind)).value;
    assert_eq!(ask(CoreKind::FieldByteOffset), 4);
    assert_eq!(ask(CoreKind::FieldByteSize), 4);
    assert_eq!(ask(CoreKind::FieldLshiftU64), 64 - (37 + 3 - 32));
    assert_eq!(ask(CoreKind::FieldRshiftU64), 61);
    assert_eq!(ask(CoreKind::FieldSigned), 0);
}

#[test]
fn contradicting_targets_are_named() {
    let mut local = Maker::new();
    local.structure("thing", 8, &[("a", 1, 0)]);
    let mut target = Maker::new();
    target.structure("thing", 8, &[("a", 1, 0)]);
    target.structure("thing", 8, &[("b", 1, 0), ("a", 1, 32)]);
    let (local, target) = (local.btf(), target.btf());
    let mut relocator = Relocator::new(&local, vec![&target]);
    let error = relocator.resolve(&relo(3, "0:0", CoreKind::FieldByteOffset)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "relocation of instruction 0: `thing` is ambiguous on this kernel: struct thing [3] and struct thing [4] disagree"
    );
    // Both say yes, so there is nothing to contradict but the place of the field.
    assert_eq!(relocator.resolve(&relo(3, "0", CoreKind::TypeExists)).unwrap().value, 1);
}

/// Guarantees: modules are asked when nothing else has the type; two that disagree are named, two that agree are not.
#[test]
fn modules_are_asked_last_and_at_once() {
    let mut local = Maker::new();
    local.structure("thing", 8, &[("a", 1, 0)]);
    let (mut one, mut two) = (Maker::new(), Maker::new());
    one.structure("thing", 8, &[("a", 1, 32)]);
    two.structure("thing", 8, &[("b", 1, 0), ("a", 1, 0)]);
    let (local, kernel, one, two) = (local.btf(), Maker::new().btf(), one.btf(), two.btf());
    let field = relo(3, "0:0", CoreKind::FieldByteOffset);

    let mut relocator = Relocator::new(&local, vec![&kernel]);
    assert!(!relocator.knows(TypeId(3)));
    assert!(relocator.resolve(&field).unwrap().poison);
    relocator.add_modules([("one", &one)]);
    assert!(relocator.knows(TypeId(3)));
    assert_eq!(relocator.resolve(&field).unwrap().value, 4);
    relocator.add_modules([("other", &two)]);
    assert_eq!(relocator.resolve(&field).unwrap().value, 4, "an earlier group goes first");

    let mut relocator = Relocator::new(&local, vec![&kernel]);
    relocator.add_modules([("one", &one), ("two", &two)]);
    let error = relocator.resolve(&field).unwrap_err().to_string();
    assert!(error.contains("struct thing [3] of module one and struct thing [3] of module two"), "{error}");
}

#[test]
fn ways_that_lead_nowhere_are_refused() {
    let (local, target) = pair(&[("a", 1, 0)], &[("a", 1, 0)]);
    for access in ["", "0:1", "0:0:0", "x", "0:4294967296", "1000000000:0"] {
        let found =
            Relocator::new(&local, vec![&target]).resolve(&relo(3, access, CoreKind::FieldByteOffset));
        assert!(matches!(found, Err(CoreError::Malformed { .. })), "{access}: {found:?}");
    }
}

#[test]
fn instructions_must_hold_what_the_compiler_claims() {
    let fixup = Fixup::value(0, Some(5), 9, false);
    let mut insns = [Insn { code: 0xb7, regs: 0, off: 0, imm: 5 }];
    fixup.apply(&mut insns).unwrap();
    assert_eq!(insns[0].imm, 9);
    assert!(matches!(fixup.apply(&mut insns), Err(CoreError::Instruction { .. })));
    assert!(matches!(fixup.apply(&mut []), Err(CoreError::Instruction { .. })));
    let far = Fixup::value(0, None, 40_000, false);
    assert!(far.apply(&mut [Insn { code: 0x61, ..Insn::default() }]).is_err());
}
