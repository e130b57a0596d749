//! Questions that need more than one type record: sizes, and what lies behind modifiers.

use super::{Btf, Type, TypeId};

/// How many types a walk follows before it gives up; deeper nesting does not occur in real BTF.
pub const MAX_DEPTH: usize = 64;

impl Btf {
    /// The first type behind `const`, `volatile`, `restrict`, type tags and typedefs.
    ///
    /// `None` for stray ids and for chains deeper than [`MAX_DEPTH`].
    pub fn skip_modifiers_and_typedefs(&self, mut id: TypeId) -> Option<(TypeId, Type<'_>)> {
        for _ in 0..MAX_DEPTH {
            let ty = self.type_by_id(id)?;
            match ty {
                Type::Volatile(next) | Type::Const(next) | Type::Restrict(next) => id = next,
                Type::TypeTag(tag) => id = tag.type_id,
                Type::Typedef(typedef) => id = typedef.type_id,
                _ => return Some((id, ty)),
            }
        }
        None
    }

    /// The size of a type in bytes, through modifiers, typedefs, arrays and variables.
    ///
    /// `None` for types without a size (functions, `void`, forward declarations), stray ids, too deep chains and sizes
    /// beyond 32 bits.
    pub fn resolve_size(&self, mut id: TypeId) -> Option<u32> {
        let mut count: u32 = 1;
        for _ in 0..MAX_DEPTH {
            let size = match self.type_by_id(id)? {
                Type::Int(int) => int.size,
                Type::Struct(composite) | Type::Union(composite) => composite.size,
                Type::Enum(enumeration) => enumeration.size,
                Type::Float(float) => float.size,
                Type::Datasec(section) => section.size,
                // Programs are always for a 64-bit machine.
                Type::Ptr(_) => 8,
                Type::Array(array) => {
                    count = count.checked_mul(array.len)?;
                    id = array.element;
                    continue;
                }
                Type::Volatile(next) | Type::Const(next) | Type::Restrict(next) => {
                    id = next;
                    continue;
                }
                Type::Typedef(typedef) => {
                    id = typedef.type_id;
                    continue;
                }
                Type::TypeTag(tag) => {
                    id = tag.type_id;
                    continue;
                }
                Type::Var(var) => {
                    id = var.type_id;
                    continue;
                }
                Type::Void | Type::Fwd(_) | Type::Func(_) | Type::FuncProto(_) | Type::DeclTag(_) => {
                    return None;
                }
            };
            return size.checked_mul(count);
        }
        None
    }
}
