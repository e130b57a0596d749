//! What of the target a relocation looks at, for those who want to keep that and drop the rest.

use ig_kernel::btf::TypeId;

use super::compat::Fuel;
use super::spec::Access;
use super::{CoreError, CoreKind, CoreRelo, Relocator};

/// Something of the target that an answer depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touched {
    /// A type: its name, kind, size and values.
    Type(TypeId),
    /// A member of a struct or union, with the type of the member.
    Member(TypeId, usize),
    /// A type and all that [`CoreKind::TypeExists`] compares.
    Compared(TypeId),
    /// A type and all that [`CoreKind::TypeMatches`] compares.
    Matched(TypeId),
}

impl Relocator<'_> {
    /// Tells `each` what [`Relocator::resolve`] of `relo` depends on. Types of the target that the relocation does not
    /// fit are left out where their absence gives the same answer.
    ///
    /// # Errors
    /// [`CoreError::Malformed`].
    pub(crate) fn trace(&mut self, relo: &CoreRelo, each: &mut impl FnMut(Touched)) -> Result<(), CoreError> {
        let access = Access::parse(self.local, relo).ok_or_else(|| self.malformed(relo))?;
        if relo.kind == CoreKind::TypeIdLocal {
            return Ok(());
        }
        for (target, id) in self.candidates(relo.type_id).iter().copied() {
            let Some((_, _, target)) = self.targets.get(target).copied() else { continue };
            if relo.kind == CoreKind::TypeMatches {
                each(Touched::Matched(id));
            } else if relo.kind.is_enum() {
                each(Touched::Type(id));
            } else if relo.kind.is_field() {
                let mut members = Vec::new();
                let found = access.follow(self.local, target, id, &mut Fuel::default(), &mut |id, index| {
                    members.push(Touched::Member(id, index));
                });
                if found.is_some() {
                    each(Touched::Type(id));
                    members.into_iter().for_each(&mut *each);
                }
            } else {
                each(Touched::Compared(id));
            }
        }
        Ok(())
    }
}
