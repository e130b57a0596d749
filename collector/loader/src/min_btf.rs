//! A kernel's types cut down to what one object asks of them.
//!
//! Why it exists: kernels without BTF of their own need it brought along, and whole ones have megabytes for each kernel.
//! An object's relocations look at a few dozen types; those make a few kilobytes. The cut is exact: each relocation has
//! the same answer against it as against the whole, ids of types excepted ([`CoreKind::TypeIdTarget`]), which mean
//! nothing to a kernel without BTF anyway.
//!
//! Structs keep the members that relocations go through, enumerations all their values, pointers lose what they point
//! to unless a relocation compares it.
//!
//! [`CoreKind::TypeIdTarget`]: crate::core_relo::CoreKind::TypeIdTarget

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ig_kernel::btf::{Btf, Composite, Kind, MAX_DEPTH, Type, TypeId};

use crate::core_relo::{CoreError, Relocator, Touched};
use crate::object::Object;

mod write;

/// Why types cannot be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// A relocation of the object leads nowhere in its own types.
    #[error("function `{function}` of the object has a broken relocation")]
    Relocation {
        /// The function.
        function: String,
        /// What is wrong with it.
        #[source]
        source: CoreError,
    },
    /// The types rest on others, as those of a kernel module do.
    #[error("the types are those of a kernel module, not of a whole kernel")]
    NotAKernel,
    /// A type has no place in the result.
    #[error("type {0} of the kernel is malformed")]
    Malformed(TypeId),
}

/// Cuts from `kernel` the types that relocating `object` needs, as a BTF block of its own.
///
/// The same input gives the same bytes. An object that asks nothing gives a block without types.
///
/// # Errors
/// [`CutError`]; types that the kernel does not have are no error, relocation answers them alike without.
pub fn cut(object: &Object, kernel: &Btf) -> Result<Vec<u8>, CutError> {
    if kernel.base().is_some() {
        return Err(CutError::NotAKernel);
    }
    let mut keep = Keep { kernel, types: BTreeMap::new(), followed: HashSet::new() };
    let mut relocator = Relocator::new(object.btf(), vec![kernel]);
    for function in &object.functions {
        for relocation in &function.relocations {
            relocator
                .trace(relocation, &mut |touched| keep.take(touched))
                .map_err(|source| CutError::Relocation { function: function.name.clone(), source })?;
        }
    }
    write::write(kernel, &keep.types)
}

/// Members to keep by their place.
type Members = BTreeSet<usize>;

/// The types to keep, each with the members to keep of it.
struct Keep<'k> {
    kernel: &'k Btf,
    types: BTreeMap<TypeId, Members>,
    /// What was followed already; each type at most once for each way, so that cycles end.
    followed: HashSet<(TypeId, Follow)>,
}

/// How far to follow a type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Follow {
    /// As `TypeExists` does: pointers and prototypes, not members.
    Compared,
    /// As `TypeMatches` does: members, too.
    Matched,
    /// The same behind a pointer, where of structs only the name counts.
    MatchedBehindPointer,
}

impl Keep<'_> {
    fn take(&mut self, touched: Touched) {
        match touched {
            Touched::Type(id) => self.plain(id),
            Touched::Member(id, index) => self.member(id, index),
            Touched::Compared(id) => self.follow(id, Follow::Compared),
            Touched::Matched(id) => self.follow(id, Follow::Matched),
        }
    }

    /// A type with all that its size and kind depend on.
    fn plain(&mut self, id: TypeId) {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let Some(next) = self.step(id) else { return };
            id = next;
        }
    }

    /// Keeps one type and says which one it stands for or consists of.
    fn step(&mut self, id: TypeId) -> Option<TypeId> {
        let ty = self.kernel.type_by_id(id).filter(|ty| ty.kind() != Kind::Void)?;
        self.types.entry(id).or_default();
        match ty {
            Type::Typedef(typedef) => Some(typedef.type_id),
            Type::Const(next) | Type::Volatile(next) | Type::Restrict(next) => Some(next),
            Type::TypeTag(tag) => Some(tag.type_id),
            Type::Array(array) => {
                // Indexes are integers; of anything else there is no need.
                if matches!(self.kernel.type_by_id(array.index), Some(Type::Int(_))) {
                    self.types.entry(array.index).or_default();
                }
                Some(array.element)
            }
            _ => None,
        }
    }

    fn member(&mut self, id: TypeId, index: usize) {
        let Some(composite) = self.kernel.type_by_id(id).and_then(|ty| ty.as_composite()) else { return };
        self.keep_member(id, composite, index);
        // An array of no or one element is without end if it comes last; it must not come last because others went.
        let last = composite.member_count().saturating_sub(1);
        let member = composite.member(index);
        let behind = member.and_then(|member| self.kernel.skip_modifiers_and_typedefs(member.type_id));
        if index < last && matches!(behind, Some((_, Type::Array(array))) if array.len <= 1) {
            self.keep_member(id, composite, last);
        }
    }

    fn keep_member(&mut self, id: TypeId, composite: Composite<'_>, index: usize) {
        if let Some(member) = composite.member(index)
            && self.types.entry(id).or_default().insert(index)
        {
            self.plain(member.type_id);
        }
    }

    fn follow(&mut self, id: TypeId, how: Follow) {
        let mut pending = vec![(id, how)];
        while let Some((id, how)) = pending.pop() {
            if !self.followed.insert((id, how)) {
                continue;
            }
            pending.extend(self.step(id).map(|next| (next, how)));
            match self.kernel.type_by_id(id) {
                Some(Type::Ptr(pointer)) if how == Follow::Compared => pending.push((pointer.type_id, how)),
                Some(Type::Ptr(pointer)) => pending.push((pointer.type_id, Follow::MatchedBehindPointer)),
                Some(Type::FuncProto(proto)) => {
                    pending.push((proto.returns, how));
                    pending.extend(proto.params().map(|param| (param.type_id, how)));
                }
                Some(Type::Struct(composite) | Type::Union(composite)) if how == Follow::Matched => {
                    self.types.entry(id).or_default().extend(0..composite.member_count());
                    pending.extend(composite.members().map(|member| (member.type_id, how)));
                }
                _ => {}
            }
        }
    }
}
