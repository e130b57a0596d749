//! CO-RE: relocations against the types of the kernel at hand.
//!
//! Why it exists: a gadget is compiled against one kernel's types and runs on another's. Clang records each access, size,
//! existence and enumeration value as a relocation; here each is answered from target BTF. It is a pure function:
//! relocations + local types + target types → [`Fixup`]s, which [`apply`](Fixup::apply) writes into instructions.
//!
//! What has no answer is poisoned, not refused: programs guard such accesses with existence checks, and the verifier
//! decides whether the poison can be reached. Refused is only what would be guesswork: targets that contradict each
//! other, and instructions that do not hold what the compiler says they hold.

use std::collections::HashMap;
use std::rc::Rc;

use ig_kernel::btf::{Btf, Enum, Type, TypeId, essential_name};

mod apply;
mod compat;
mod spec;
mod trace;

use compat::Fuel;
use spec::{Access, Step};

pub use apply::Fixup;
pub(crate) use trace::Touched;

/// What a relocation asks; numbered as in `.BTF.ext`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "the field's words")]
pub enum CoreKind {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLshiftU64,
    FieldRshiftU64,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumValueExists,
    EnumValue,
    TypeMatches,
}

impl CoreKind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::FieldByteOffset,
            1 => Self::FieldByteSize,
            2 => Self::FieldExists,
            3 => Self::FieldSigned,
            4 => Self::FieldLshiftU64,
            5 => Self::FieldRshiftU64,
            6 => Self::TypeIdLocal,
            7 => Self::TypeIdTarget,
            8 => Self::TypeExists,
            9 => Self::TypeSize,
            10 => Self::EnumValueExists,
            11 => Self::EnumValue,
            12 => Self::TypeMatches,
            _ => return None,
        })
    }

    fn is_field(self) -> bool {
        matches!(
            self,
            Self::FieldByteOffset
                | Self::FieldByteSize
                | Self::FieldExists
                | Self::FieldSigned
                | Self::FieldLshiftU64
                | Self::FieldRshiftU64
        )
    }

    fn is_enum(self) -> bool {
        matches!(self, Self::EnumValueExists | Self::EnumValue)
    }
}

/// A relocation as the object records it.
#[derive(Clone, Debug)]
pub struct CoreRelo {
    /// Place of the instruction, counted from the start of its function.
    pub insn: u32,
    /// The type it starts from, in the object's BTF.
    pub type_id: TypeId,
    /// The way through the type, such as `0:1:2`.
    pub access: Box<str>,
    /// What it asks.
    pub kind: CoreKind,
}

/// Why a relocation cannot be carried out.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoreError {
    /// The way through the local type leads nowhere.
    #[error("relocation of instruction {insn}: `{access}` is no way through the object's type `{type_name}`")]
    Malformed {
        /// Place of the instruction.
        insn: u32,
        /// Local type.
        type_name: String,
        /// The way.
        access: String,
    },
    /// Several target types fit and disagree.
    #[error(
        "relocation of instruction {insn}: `{type_name}` is ambiguous on this kernel: {first} and {second} disagree"
    )]
    Ambiguous {
        /// Place of the instruction.
        insn: u32,
        /// Local type.
        type_name: String,
        /// One target.
        first: String,
        /// Another.
        second: String,
    },
    /// The instruction is none that can be relocated, or does not hold the value the compiler claims.
    #[error("instruction {insn} does not hold what its relocation says ({problem})")]
    Instruction {
        /// Place of the instruction.
        insn: u32,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a relocation's value is on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Value {
    number: u64,
    /// Size and type of the field, when the instruction may have to access another width.
    field: Option<(u32, TypeId)>,
    /// Whether the instruction must hold the local value before it is changed.
    validate: bool,
}

/// Rank of the object's own types, which stand in for those that nobody else has.
const OWN: usize = usize::MAX;

/// Answers relocations of one object against target types.
pub struct Relocator<'a> {
    local: &'a Btf,
    /// Each with its place in the order of asking and its name, if it is a module's.
    targets: Vec<(usize, &'a str, &'a Btf)>,
    /// Target types (and which target they are of) for each local type asked so far.
    candidates: HashMap<TypeId, Rc<[(usize, TypeId)]>>,
    /// Names of types that the object may answer itself.
    own: &'a [String],
}

impl<'a> Relocator<'a> {
    /// Targets are asked in order; later ones only for types that earlier ones do not have.
    pub fn new(local: &'a Btf, targets: Vec<&'a Btf>) -> Self {
        let targets = targets.into_iter().enumerate().map(|(rank, target)| (rank, "", target)).collect();
        Self { local, targets, candidates: HashMap::new(), own: &[] }
    }

    /// Adds the types of kernel modules: asked after all others, and all of them at once, because no module goes before
    /// another.
    pub fn add_modules(&mut self, modules: impl IntoIterator<Item = (&'a str, &'a Btf)>) {
        let rank = self.targets.len();
        self.targets.extend(modules.into_iter().map(|(name, btf)| (rank, name, btf)));
        self.candidates.clear();
    }

    /// Lets the object's own types answer for those of these names that no target has.
    pub(crate) fn answer_from_own(&mut self, names: &'a [String]) {
        self.own = names;
        self.targets.push((OWN, "", self.local));
        self.candidates.clear();
    }

    /// Whether any target has a type of this local one's name and kind; true for types without a name.
    pub fn knows(&mut self, local: TypeId) -> bool {
        let name = self.local.type_by_id(local).and_then(|ty| ty.name());
        name.is_none_or(str::is_empty) || !self.candidates(local).is_empty()
    }

    /// Answers one relocation.
    ///
    /// # Errors
    /// [`CoreError::Malformed`] and [`CoreError::Ambiguous`].
    pub fn resolve(&mut self, relo: &CoreRelo) -> Result<Fixup, CoreError> {
        let access = Access::parse(self.local, relo).ok_or_else(|| self.malformed(relo))?;
        if relo.kind == CoreKind::TypeIdLocal {
            let number = u64::from(relo.type_id.0);
            return Ok(Fixup::value(relo.insn, None, number, false));
        }
        let local_value = value(self.local, &access, relo.kind).ok_or_else(|| self.malformed(relo))?;

        let mut found: Option<(usize, TypeId, Access<'_>, Value)> = None;
        for (target_index, id) in self.candidates(relo.type_id).iter().copied() {
            let Some((_, module, target)) = self.targets.get(target_index).copied() else { continue };
            let Some(matched) = match_target(self.local, &access, target, id, relo) else { continue };
            let Some(target_value) = value(target, &matched, relo.kind) else { continue };
            match &found {
                None => found = Some((target_index, id, matched, target_value)),
                Some((first_index, first, earlier, value)) => {
                    // Equal answers of several types are no contradiction. Ids always differ.
                    let same =
                        value.number == target_value.number && earlier.bit_offset == matched.bit_offset;
                    if !same && relo.kind != CoreKind::TypeIdTarget {
                        return Err(CoreError::Ambiguous {
                            insn: relo.insn,
                            type_name: self.local_name(relo.type_id),
                            first: self.describe(*first_index, *first),
                            second: describe(target, module, id),
                        });
                    }
                }
            }
        }
        let Some((target_index, _, _, target_value)) = found else {
            return Ok(Self::unanswered(relo, local_value));
        };
        let Some((_, _, target)) = self.targets.get(target_index).copied() else {
            return Ok(Self::unanswered(relo, local_value));
        };
        let original = local_value.validate.then_some(local_value.number);
        let mut fixup = Fixup::value(relo.insn, original, target_value.number, false);
        if let (Some((old, old_type)), Some((new, new_type))) = (local_value.field, target_value.field)
            && old != new
        {
            fixup.width =
                Some(if can_widen(self.local, old_type, target, new_type) { Ok(new) } else { Err(()) });
        }
        Ok(fixup)
    }

    /// Existence is answered with no, sizes and ids of types with zero as libbpf does, all else is poisoned.
    fn unanswered(relo: &CoreRelo, local: Value) -> Fixup {
        let poison = match relo.kind {
            CoreKind::FieldExists
            | CoreKind::TypeExists
            | CoreKind::TypeMatches
            | CoreKind::TypeSize
            | CoreKind::TypeIdTarget
            | CoreKind::EnumValueExists => false,
            CoreKind::FieldByteOffset
            | CoreKind::FieldByteSize
            | CoreKind::FieldSigned
            | CoreKind::FieldLshiftU64
            | CoreKind::FieldRshiftU64
            | CoreKind::EnumValue
            | CoreKind::TypeIdLocal => true,
        };
        Fixup::value(relo.insn, local.validate.then_some(local.number), 0, poison)
    }

    fn local_name(&self, id: TypeId) -> String {
        let name = self.local.type_by_id(id).and_then(|ty| ty.name());
        name.filter(|name| !name.is_empty()).unwrap_or("(anonymous)").to_owned()
    }

    fn malformed(&self, relo: &CoreRelo) -> CoreError {
        CoreError::Malformed {
            insn: relo.insn,
            type_name: self.local_name(relo.type_id),
            access: relo.access.to_string(),
        }
    }

    fn describe(&self, target: usize, id: TypeId) -> String {
        self.targets.get(target).map_or_else(String::new, |(_, module, btf)| describe(btf, module, id))
    }

    /// Target types of the same name and kind, from the first target that has any.
    fn candidates(&mut self, local_id: TypeId) -> Rc<[(usize, TypeId)]> {
        if let Some(candidates) = self.candidates.get(&local_id) {
            return Rc::clone(candidates);
        }
        let mut candidates = Vec::new();
        let local = self.local.type_by_id(local_id);
        if let Some((local, name)) =
            local.and_then(|ty| Some((ty, ty.name().filter(|name| !name.is_empty())?)))
        {
            let mut found_at = None;
            for (index, (rank, module, target)) in self.targets.iter().enumerate() {
                if found_at.is_some_and(|found| found != *rank) {
                    break;
                }
                if *rank == OWN && !self.own.iter().any(|own| own == name) {
                    continue;
                }
                let named = target.types_by_essential_name(essential_name(name));
                let fitting = named.filter(|(id, ty)| {
                    let same_kind =
                        ty.kind() == local.kind() || matches!((ty, local), (Type::Enum(_), Type::Enum(_)));
                    // A module's base is a target of its own.
                    same_kind && (module.is_empty() || target.owns(*id))
                });
                let room = MAX_CANDIDATES.saturating_sub(candidates.len());
                candidates.extend(fitting.map(|(id, _)| (index, id)).take(room));
                if !candidates.is_empty() {
                    found_at = Some(*rank);
                }
            }
        }
        let candidates: Rc<[_]> = candidates.into();
        self.candidates.insert(local_id, Rc::clone(&candidates));
        candidates
    }
}

/// A candidate as messages call it.
fn describe(btf: &Btf, module: &str, id: TypeId) -> String {
    let ty = btf.type_by_id(id);
    let name = ty.and_then(|ty| ty.name()).unwrap_or_default();
    let kind = ty.map(|ty| format!("{:?}", ty.kind()).to_lowercase()).unwrap_or_default();
    if module.is_empty() {
        format!("{kind} {name} {id}")
    } else {
        format!("{kind} {name} {id} of module {module}")
    }
}

/// Whether a type of the object and one of the kernel are of the same make, names of members aside.
pub(crate) fn types_compatible(local: &Btf, local_id: TypeId, target: &Btf, target_id: TypeId) -> bool {
    compat::compatible(local, local_id, target, target_id, &mut Fuel::default())
}

/// Types of one name that are looked at; kernels have a handful, only hostile types have more.
const MAX_CANDIDATES: usize = 256;

/// The way through a target type that corresponds to the local one.
fn match_target<'t>(
    local: &Btf,
    access: &Access<'_>,
    target: &'t Btf,
    id: TypeId,
    relo: &CoreRelo,
) -> Option<Access<'t>> {
    let mut fuel = Fuel::default();
    if relo.kind.is_enum() {
        let Step::EnumValue { name, .. } = access.last else { return None };
        let (_, Type::Enum(enumeration)) = target.skip_modifiers_and_typedefs(id)? else { return None };
        let (name, value) = find_enum_value(&enumeration, essential_name(name))?;
        return Some(Access::enum_value(id, name, value));
    }
    if !relo.kind.is_field() {
        let fits = if relo.kind == CoreKind::TypeMatches {
            compat::matches(local, access.root, target, id, &mut fuel)
        } else {
            compat::compatible(local, access.root, target, id, &mut fuel)
        };
        return fits.then(|| Access::of_type(id));
    }
    access.follow(local, target, id, &mut fuel, &mut |_, _| {})
}

fn find_enum_value<'t>(enumeration: &Enum<'t>, name: &str) -> Option<(&'t str, i128)> {
    let mut variants = enumeration.variants();
    variants.find(|variant| essential_name(variant.name) == name).map(|variant| (variant.name, variant.value))
}

/// The number that a relocation asks for, on one side.
fn value(btf: &Btf, access: &Access<'_>, kind: CoreKind) -> Option<Value> {
    let plain = |number| Some(Value { number, field: None, validate: true });
    match kind {
        CoreKind::FieldExists | CoreKind::TypeExists | CoreKind::TypeMatches | CoreKind::EnumValueExists => {
            plain(1)
        }
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => {
            Some(Value { number: u64::from(access.root.0), field: None, validate: false })
        }
        CoreKind::TypeSize => plain(u64::from(btf.resolve_size(access.root)?)),
        CoreKind::EnumValue => match access.last {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the 64 bits of the value, whatever its sign"
            )]
            Step::EnumValue { value, .. } => plain(value as u64),
            _ => None,
        },
        _ => field_value(btf, access, kind),
    }
}

fn field_value(btf: &Btf, access: &Access<'_>, kind: CoreKind) -> Option<Value> {
    let Step::Member { type_id, bitfield_size } = access.last else {
        let Step::Element { type_id } = access.last else { return None };
        let size = btf.resolve_size(type_id)?;
        return match kind {
            CoreKind::FieldByteOffset => Some(Value {
                number: u64::from(access.bit_offset / 8),
                field: Some((size, type_id)),
                validate: true,
            }),
            CoreKind::FieldByteSize => Some(Value { number: u64::from(size), field: None, validate: true }),
            _ => None,
        };
    };
    let (_, member) = btf.skip_modifiers_and_typedefs(type_id)?;
    let is_bitfield = bitfield_size > 0;
    let bit_offset = u64::from(access.bit_offset);
    let mut size = u64::from(btf.resolve_size(type_id)?);
    let mut byte_offset = bit_offset / 8;
    let mut bits = size * 8;
    if is_bitfield {
        bits = u64::from(bitfield_size);
        if size == 0 {
            return None;
        }
        byte_offset = bit_offset / 8 / size * size;
        // The smallest aligned word that holds all of it.
        while bit_offset + bits - byte_offset * 8 > size * 8 {
            if size >= 8 {
                return None;
            }
            size *= 2;
            byte_offset = bit_offset / 8 / size * size;
        }
    }
    let number = match kind {
        CoreKind::FieldByteOffset => byte_offset,
        CoreKind::FieldByteSize => size,
        CoreKind::FieldSigned => u64::from(match member {
            Type::Int(int) => int.signed,
            Type::Enum(enumeration) => enumeration.signed,
            _ => false,
        }),
        CoreKind::FieldLshiftU64 if cfg!(target_endian = "little") => {
            64u64.checked_sub(bit_offset + bits - byte_offset * 8)?
        }
        CoreKind::FieldLshiftU64 => 8u64.checked_sub(size)? * 8 + (bit_offset - byte_offset * 8),
        CoreKind::FieldRshiftU64 => 64u64.checked_sub(bits)?,
        _ => return None,
    };
    let always = matches!(kind, CoreKind::FieldSigned | CoreKind::FieldRshiftU64);
    let field = (kind == CoreKind::FieldByteOffset && !is_bitfield)
        .then(|| u32::try_from(size).ok().map(|size| (size, type_id)))
        .flatten();
    Some(Value { number, field, validate: always || !is_bitfield })
}

/// Whether an access of one width may become one of another: zero-extension must keep the value.
fn can_widen(local: &Btf, local_id: TypeId, target: &Btf, target_id: TypeId) -> bool {
    let local = local.skip_modifiers_and_typedefs(local_id).map(|(_, ty)| ty);
    let target = target.skip_modifiers_and_typedefs(target_id).map(|(_, ty)| ty);
    match (local, target) {
        (Some(Type::Ptr(_)), Some(Type::Ptr(_))) => true,
        (Some(Type::Int(local)), Some(Type::Int(target))) => !local.signed && !target.signed,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
