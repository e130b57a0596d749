//! Ways through types: `0:1:2` on the local side, and the same way by names on the target's.

use ig_kernel::btf::{Btf, Composite, MAX_DEPTH, Type, TypeId, essential_name};

use super::compat::{Fuel, fields_compatible};
use super::{CoreKind, CoreRelo};

/// One step that the target has to repeat.
#[derive(Clone, Copy, Debug)]
enum Hop<'b> {
    /// Into a member of this name.
    Member { name: &'b str, type_id: TypeId },
    /// To an element of an array (or of what the root pointer points to).
    Element { index: u32 },
}

/// Where a way ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'b> {
    /// At the type itself.
    Type,
    /// At a value of an enumeration.
    EnumValue { name: &'b str, value: i128 },
    /// At a member.
    Member { type_id: TypeId, bitfield_size: u32 },
    /// At an element.
    Element { type_id: TypeId },
}

/// A way through a type.
#[derive(Clone, Debug)]
pub(super) struct Access<'b> {
    pub(super) root: TypeId,
    pub(super) bit_offset: u32,
    pub(super) last: Step<'b>,
    hops: Vec<Hop<'b>>,
}

impl<'b> Access<'b> {
    pub(super) fn of_type(root: TypeId) -> Self {
        Self { root, bit_offset: 0, last: Step::Type, hops: Vec::new() }
    }

    pub(super) fn enum_value(root: TypeId, name: &'b str, value: i128) -> Self {
        Self { root, bit_offset: 0, last: Step::EnumValue { name, value }, hops: Vec::new() }
    }

    /// Follows the numbers of a relocation through the local types.
    pub(super) fn parse(btf: &'b Btf, relo: &CoreRelo) -> Option<Self> {
        let mut numbers = relo.access.split(':').map(str::parse::<u32>);
        let first = numbers.next()?.ok()?;
        if relo.kind.is_enum() {
            let (_, Type::Enum(enumeration)) = btf.skip_modifiers_and_typedefs(relo.type_id)? else {
                return None;
            };
            let variant = enumeration.variants().nth(first as usize)?;
            return Some(Self::enum_value(relo.type_id, variant.name, variant.value));
        }
        if !relo.kind.is_field() {
            let plain = first == 0 && numbers.next().is_none();
            let known = relo.kind == CoreKind::TypeIdLocal || btf.type_by_id(relo.type_id).is_some();
            return (plain && known).then(|| Self::of_type(relo.type_id));
        }

        let (mut id, _) = btf.skip_modifiers_and_typedefs(relo.type_id)?;
        let mut way = Walk::new(btf, relo.type_id, id, first)?;
        for number in numbers {
            let number = number.ok()?;
            if way.hops.len() >= MAX_DEPTH {
                return None;
            }
            let (_, ty) = btf.skip_modifiers_and_typedefs(id)?;
            id = match ty {
                Type::Struct(composite) | Type::Union(composite) => {
                    let member = composite.member(number as usize)?;
                    way.enter(member.bit_offset)?;
                    way.last = Step::Member { type_id: member.type_id, bitfield_size: member.bitfield_size };
                    // Anonymous members are no step of their own: the target may nest differently.
                    if !member.name.is_empty() {
                        way.hops.push(Hop::Member { name: member.name, type_id: member.type_id });
                    }
                    way.container = Some((composite, number as usize));
                    member.type_id
                }
                Type::Array(array) => {
                    way.index(btf, array.element, array.len, number)?;
                    array.element
                }
                _ => return None,
            };
        }
        Some(way.finish(relo.type_id))
    }

    /// Repeats the way in a target type: members by name, elements by number. `entered` gets each struct or union of
    /// the target that the way leads through, with the place of the member that it takes.
    pub(super) fn follow<'t>(
        &self,
        local: &Btf,
        target: &'t Btf,
        root: TypeId,
        fuel: &mut Fuel,
        entered: &mut impl FnMut(TypeId, usize),
    ) -> Option<Access<'t>> {
        let (mut id, _) = target.skip_modifiers_and_typedefs(root)?;
        let mut hops = self.hops.iter();
        let Some(Hop::Element { index }) = hops.next() else { return None };
        let mut way = Walk::new(target, root, id, *index)?;
        for hop in hops {
            let (inner, ty) = target.skip_modifiers_and_typedefs(id)?;
            match (hop, ty) {
                (Hop::Member { name, type_id }, Type::Struct(composite) | Type::Union(composite)) => {
                    let mut search = Search { btf: target, name: essential_name(name), fuel, entered };
                    let found = search.member(inner, composite, 0, MAX_NESTING)?;
                    if !fields_compatible(local, *type_id, target, found.type_id, fuel) {
                        return None;
                    }
                    way.enter(found.bit_offset)?;
                    way.last = Step::Member { type_id: found.type_id, bitfield_size: found.bitfield_size };
                    way.container = Some((found.container, found.index));
                    id = found.type_id;
                }
                (Hop::Element { index }, Type::Array(array)) => {
                    way.index(target, array.element, array.len, *index)?;
                    id = array.element;
                }
                _ => return None,
            }
        }
        Some(way.finish(root))
    }
}

/// Anonymous structs within structs that are looked into.
const MAX_NESTING: usize = 16;

/// State while a way is followed.
struct Walk<'b> {
    bit_offset: u32,
    last: Step<'b>,
    hops: Vec<Hop<'b>>,
    /// The struct and place of the member entered last: only the very last may be a flexible array.
    container: Option<(Composite<'b>, usize)>,
}

impl<'b> Walk<'b> {
    /// Starts at an element of what the root pointer points to.
    fn new(btf: &'b Btf, root: TypeId, id: TypeId, index: u32) -> Option<Self> {
        let bit_offset = match index {
            0 => 0,
            index => btf.resolve_size(id)?.checked_mul(8)?.checked_mul(index)?,
        };
        let hops = vec![Hop::Element { index }];
        Some(Self { bit_offset, last: Step::Element { type_id: root }, hops, container: None })
    }

    fn enter(&mut self, bits: u32) -> Option<()> {
        self.bit_offset = self.bit_offset.checked_add(bits)?;
        Some(())
    }

    fn index(&mut self, btf: &Btf, element: TypeId, len: u32, index: u32) -> Option<()> {
        let flexible = self.container.take().is_some_and(|(container, place)| {
            // An array at the end of a struct that is declared with no or one element has as many as were allocated.
            len <= 1 && place + 1 == container.member_count()
        });
        if index >= len && !flexible {
            return None;
        }
        let bits = btf.resolve_size(element)?.checked_mul(8)?.checked_mul(index)?;
        self.enter(bits)?;
        self.hops.push(Hop::Element { index });
        self.last = Step::Element { type_id: element };
        Some(())
    }

    fn finish(self, root: TypeId) -> Access<'b> {
        Access { root, bit_offset: self.bit_offset, last: self.last, hops: self.hops }
    }
}

struct FoundMember<'t> {
    type_id: TypeId,
    bit_offset: u32,
    bitfield_size: u32,
    container: Composite<'t>,
    index: usize,
}

/// Finds a member by name, through anonymous structs and unions.
struct Search<'s, 't, F> {
    btf: &'t Btf,
    name: &'s str,
    fuel: &'s mut Fuel,
    entered: &'s mut F,
}

impl<'t, F: FnMut(TypeId, usize)> Search<'_, 't, F> {
    fn member(
        &mut self,
        id: TypeId,
        composite: Composite<'t>,
        base: u32,
        depth: usize,
    ) -> Option<FoundMember<'t>> {
        for (index, member) in composite.members().enumerate() {
            self.fuel.burn()?;
            let bit_offset = base.checked_add(member.bit_offset)?;
            if member.name.is_empty() {
                let inner = self.btf.skip_modifiers_and_typedefs(member.type_id);
                let inner = inner.and_then(|(id, ty)| Some((id, ty.as_composite()?)));
                let found = inner
                    .filter(|_| depth > 0)
                    .and_then(|(id, inner)| self.member(id, inner, bit_offset, depth - 1));
                if found.is_some() {
                    (self.entered)(id, index);
                    return found;
                }
            } else if essential_name(member.name) == self.name {
                (self.entered)(id, index);
                return Some(FoundMember {
                    type_id: member.type_id,
                    bit_offset,
                    bitfield_size: member.bitfield_size,
                    container: composite,
                    index,
                });
            }
        }
        None
    }
}
