//! Writing kept types as a block of their own: records copied, ids and names renumbered.

use std::collections::{BTreeMap, HashMap};

use ig_kernel::btf::{Btf, Kind, TypeId};

use super::{CutError, Members};

/// Version 1, no flags.
const VERSION_AND_FLAGS: [u8; 2] = [1, 0];
/// Length of the header that is written.
const HEADER: u32 = 24;
/// Words of a record that all kinds have: name, kind and count, size or type.
const COMMON: usize = 3;

pub(super) fn write(kernel: &Btf, types: &BTreeMap<TypeId, Members>) -> Result<Vec<u8>, CutError> {
    let ids = types.keys().copied().zip((1..).map(TypeId)).collect();
    let mut writer =
        Writer { kernel, ids, strings: vec![0], known: HashMap::from([("", 0)]), out: Vec::new() };
    for (id, members) in types {
        writer.record(*id, members).ok_or(CutError::Malformed(*id))?;
    }
    writer.finish().ok_or(CutError::Malformed(TypeId::VOID))
}

struct Writer<'k> {
    kernel: &'k Btf,
    ids: HashMap<TypeId, TypeId>,
    strings: Vec<u8>,
    known: HashMap<&'k str, u32>,
    out: Vec<u8>,
}

impl<'k> Writer<'k> {
    /// Copies a record; `None` if it refers to what is not there or grows beyond the format.
    fn record(&mut self, id: TypeId, members: &Members) -> Option<()> {
        let kind = self.kernel.type_by_id(id)?.kind();
        let at = self.kernel.record_offset(id)?;
        let record = self.kernel.as_bytes().get(at..)?;
        let word = |index: usize| record.get(index * 4..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let (name, info, size_or_type) = (word(0)?, word(1)?, word(2)?);
        let count = (info & 0xffff) as usize;
        let name = self.name(name)?;
        match kind {
            Kind::Struct | Kind::Union => {
                let kept = u32::try_from(members.len()).ok()?;
                self.put(&[name, info & !0xffff | kept, size_or_type]);
                for index in members {
                    let first = COMMON + index * 3;
                    let member = [self.name(word(first)?)?, self.id(word(first + 1)?), word(first + 2)?];
                    self.put(&member);
                }
            }
            Kind::Ptr | Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                let target = self.id(size_or_type);
                self.put(&[name, info, target]);
            }
            Kind::Int => self.put(&[name, info, size_or_type, word(COMMON)?]),
            Kind::Fwd | Kind::Float => self.put(&[name, info, size_or_type]),
            Kind::Array => {
                let (element, index) = (self.id(word(COMMON)?), self.id(word(COMMON + 1)?));
                self.put(&[name, info, size_or_type, element, index, word(COMMON + 2)?]);
            }
            Kind::Enum | Kind::Enum64 => {
                self.put(&[name, info, size_or_type]);
                let words = if kind == Kind::Enum { 2 } else { 3 };
                for first in (0..count).map(|index| COMMON + index * words) {
                    let value = self.name(word(first)?)?;
                    self.put(&[value]);
                    for rest in 1..words {
                        self.put(&[word(first + rest)?]);
                    }
                }
            }
            Kind::FuncProto => {
                let returns = self.id(size_or_type);
                self.put(&[name, info, returns]);
                for first in (0..count).map(|index| COMMON + index * 2) {
                    let param = [self.name(word(first)?)?, self.id(word(first + 1)?)];
                    self.put(&param);
                }
            }
            // No relocation asks for declarations.
            Kind::Void | Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => return None,
        }
        Some(())
    }

    /// The new number of a type; `void` for those that were left behind.
    fn id(&self, id: u32) -> u32 {
        self.ids.get(&TypeId(id)).map_or(0, |id| id.0)
    }

    /// The new place of a name. Unreadable ones, which no reader could see, become empty.
    fn name(&mut self, offset: u32) -> Option<u32> {
        let kernel = self.kernel;
        let text: &'k str = kernel.string(offset).unwrap_or_default();
        if let Some(known) = self.known.get(text) {
            return Some(*known);
        }
        let at = u32::try_from(self.strings.len()).ok()?;
        self.strings.extend(text.bytes().chain([0]));
        self.known.insert(text, at);
        Some(at)
    }

    fn put(&mut self, words: &[u32]) {
        self.out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn finish(self) -> Option<Vec<u8>> {
        let (types, strings) = (u32::try_from(self.out.len()).ok()?, u32::try_from(self.strings.len()).ok()?);
        let mut block = Vec::with_capacity(HEADER as usize + self.out.len() + self.strings.len());
        block.extend(u16::to_ne_bytes(0xeb9f));
        block.extend(VERSION_AND_FLAGS);
        for word in [HEADER, 0, types, types, strings] {
            block.extend(word.to_ne_bytes());
        }
        block.extend(self.out);
        block.extend(self.strings);
        Some(block)
    }
}
