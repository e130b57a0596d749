//! When a type of the object and one of the kernel count as the same.
//!
//! Three measures, from loose to strict: [`fields_compatible`] for members on the way to a field, [`compatible`] for
//! existence and size of types, [`matches`] for `bpf_core_type_matches`. All of them walk types that may be hostile, so
//! each walk has a depth limit and a budget of steps.

use std::collections::HashSet;

use ig_kernel::btf::{Btf, Composite, Enum, Type, TypeId, essential_name};

const MAX_DEPTH: u32 = 32;

/// Steps that one comparison may take; deep types of real kernels need a few thousand.
pub(super) struct Fuel(u32);

impl Default for Fuel {
    fn default() -> Self {
        Self(200_000)
    }
}

impl Fuel {
    pub(super) fn burn(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }
}

fn names_match(local: &str, target: &str) -> bool {
    essential_name(local) == essential_name(target)
}

/// Whether a member of the target may stand for a member of the object.
pub(super) fn fields_compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    fuel: &mut Fuel,
) -> bool {
    let (mut local_id, mut target_id) = (local_id, target_id);
    for _ in 0..MAX_DEPTH {
        if fuel.burn().is_none() {
            return false;
        }
        let local_type = local.skip_modifiers_and_typedefs(local_id);
        let target_type = target.skip_modifiers_and_typedefs(target_id);
        let (Some((_, local_type)), Some((_, target_type))) = (local_type, target_type) else { return false };
        return match (local_type, target_type) {
            (Type::Struct(_) | Type::Union(_), Type::Struct(_) | Type::Union(_))
            | (Type::Ptr(_), Type::Ptr(_))
            | (Type::Float(_), Type::Float(_)) => true,
            // Sizes may differ; old bit-fields that hide in the integer may not.
            (Type::Int(local), Type::Int(target)) => local.offset == 0 && target.offset == 0,
            (Type::Enum(Enum { name: local, .. }), Type::Enum(Enum { name: target, .. })) => {
                local.is_empty() || target.is_empty() || names_match(local, target)
            }
            (Type::Fwd(local), Type::Fwd(target)) => {
                local.name.is_empty() || target.name.is_empty() || names_match(local.name, target.name)
            }
            (Type::Array(local), Type::Array(target)) => {
                local_id = local.element;
                target_id = target.element;
                continue;
            }
            _ => false,
        };
    }
    false
}

/// Whether a type of the target is of the object's type's kind, all the way down to names that are not compared.
pub(super) fn compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    fuel: &mut Fuel,
) -> bool {
    Compare { local, target, fuel }.compatible(local_id, target_id, MAX_DEPTH).unwrap_or(false)
}

/// Whether a type of the target has all that the object's type has: names, members, values, sizes and signs.
pub(super) fn matches(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    fuel: &mut Fuel,
) -> bool {
    Compare { local, target, fuel }.matches(local_id, target_id, false, MAX_DEPTH).unwrap_or(false)
}

struct Compare<'a> {
    local: &'a Btf,
    target: &'a Btf,
    fuel: &'a mut Fuel,
}

impl Compare<'_> {
    /// `None` when the walk became too long or too deep.
    fn compatible(&mut self, local_id: TypeId, target_id: TypeId, depth: u32) -> Option<bool> {
        self.fuel.burn()?;
        let depth = depth.checked_sub(1)?;
        let (_, local_type) = self.local.skip_modifiers_and_typedefs(local_id)?;
        let (_, target_type) = self.target.skip_modifiers_and_typedefs(target_id)?;
        match (local_type, target_type) {
            (Type::Void, Type::Void)
            | (Type::Struct(_), Type::Struct(_))
            | (Type::Union(_), Type::Union(_))
            | (Type::Enum(_), Type::Enum(_))
            | (Type::Fwd(_), Type::Fwd(_))
            | (Type::Float(_), Type::Float(_)) => Some(true),
            (Type::Int(local), Type::Int(target)) => Some(local.offset == 0 && target.offset == 0),
            (Type::Ptr(local), Type::Ptr(target)) => self.compatible(local.type_id, target.type_id, depth),
            (Type::Array(local), Type::Array(target)) => {
                self.compatible(local.element, target.element, depth)
            }
            (Type::FuncProto(local), Type::FuncProto(target)) => {
                if local.params().count() != target.params().count() {
                    return Some(false);
                }
                for (local, target) in local.params().zip(target.params()) {
                    if !self.compatible(local.type_id, target.type_id, depth)? {
                        return Some(false);
                    }
                }
                self.compatible(local.returns, target.returns, depth)
            }
            _ => Some(false),
        }
    }

    fn matches(
        &mut self,
        local_id: TypeId,
        target_id: TypeId,
        behind_pointer: bool,
        depth: u32,
    ) -> Option<bool> {
        self.fuel.burn()?;
        let depth = depth.checked_sub(1)?;
        let (_, local_type) = self.local.skip_modifiers_and_typedefs(local_id)?;
        let (_, target_type) = self.target.skip_modifiers_and_typedefs(target_id)?;
        let name = |ty: &Type<'_>| ty.name().unwrap_or_default().to_owned();
        if !names_match(&name(&local_type), &name(&target_type)) {
            return Some(false);
        }
        match (local_type, target_type) {
            (Type::Void, Type::Void) | (Type::Float(_), Type::Float(_)) => Some(true),
            (Type::Fwd(local), Type::Fwd(target)) => Some(local.is_union == target.is_union),
            (Type::Fwd(local), Type::Struct(_)) => Some(behind_pointer && !local.is_union),
            (Type::Fwd(local), Type::Union(_)) => Some(behind_pointer && local.is_union),
            (Type::Struct(_), Type::Fwd(target)) => Some(behind_pointer && !target.is_union),
            (Type::Union(_), Type::Fwd(target)) => Some(behind_pointer && target.is_union),
            (Type::Enum(local), Type::Enum(target)) => Some(enums_match(&local, &target)),
            (Type::Struct(local), Type::Struct(target)) | (Type::Union(local), Type::Union(target)) => {
                // Behind a pointer the name says enough; it also ends cycles.
                if behind_pointer { Some(true) } else { self.members_match(&local, &target, depth) }
            }
            (Type::Int(local), Type::Int(target)) => {
                Some(local.size == target.size && local.signed == target.signed)
            }
            (Type::Ptr(local), Type::Ptr(target)) => self.matches(local.type_id, target.type_id, true, depth),
            (Type::Array(local), Type::Array(target)) => {
                if local.len != target.len {
                    return Some(false);
                }
                self.matches(local.element, target.element, behind_pointer, depth)
            }
            (Type::FuncProto(local), Type::FuncProto(target)) => {
                if local.params().count() != target.params().count() {
                    return Some(false);
                }
                for (local, target) in local.params().zip(target.params()) {
                    if !self.matches(local.type_id, target.type_id, behind_pointer, depth)? {
                        return Some(false);
                    }
                }
                self.matches(local.returns, target.returns, behind_pointer, depth)
            }
            _ => Some(false),
        }
    }

    /// Whether each member of the local struct has its match in the target's, in any order.
    fn members_match(&mut self, local: &Composite<'_>, target: &Composite<'_>, depth: u32) -> Option<bool> {
        if local.member_count() > target.member_count() {
            return Some(false);
        }
        for wanted in local.members() {
            let mut found = false;
            for candidate in target.members() {
                self.fuel.burn()?;
                if names_match(wanted.name, candidate.name)
                    && self.matches(wanted.type_id, candidate.type_id, false, depth)?
                {
                    found = true;
                    break;
                }
            }
            if !found {
                return Some(false);
            }
        }
        Some(true)
    }
}

/// Whether each value's name exists in the target; the numbers may differ.
fn enums_match(local: &Enum<'_>, target: &Enum<'_>) -> bool {
    if local.size != target.size {
        return false;
    }
    let names: HashSet<&str> = target.variants().map(|variant| essential_name(variant.name)).collect();
    local.variants().all(|variant| names.contains(essential_name(variant.name)))
}
