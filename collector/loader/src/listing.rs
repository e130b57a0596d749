//! The code of an object, for those who show or compare it.

use crate::core_relo::CoreRelo;
use crate::elf::Elf;
use crate::error::ParseError;
use crate::insn::Insn;
use crate::object::{Object, Target};

/// One function of an object as the compiler left it: references and relocations are not carried out.
#[derive(Clone, Debug)]
pub struct FunctionCode<'o> {
    /// Its name.
    pub name: &'o str,
    /// Its section; `.text` holds the functions that programs call.
    pub section: &'o str,
    /// Its instructions.
    pub insns: &'o [Insn],
    /// Its CO-RE relocations, by place.
    pub relocations: &'o [CoreRelo],
    /// Names of the maps that its instructions refer to, those of data sections included; each as often as it is
    /// referred to.
    pub maps: Vec<&'o str>,
}

/// The names of an object's sections in the order of the file; those without a name are left out.
///
/// # Errors
/// [`ParseError`]: the bytes are no eBPF object.
pub fn section_names(bytes: &[u8]) -> Result<Vec<String>, ParseError> {
    let elf = Elf::parse(bytes)?;
    let names = elf.sections.iter().map(|section| section.name).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

impl Object {
    /// Every function, programs and sub-programs, in the order of the file.
    pub fn functions(&self) -> impl Iterator<Item = FunctionCode<'_>> {
        self.functions.iter().map(|function| FunctionCode {
            name: &function.name,
            section: &function.section,
            insns: &function.insns,
            relocations: &function.relocations,
            maps: function
                .references
                .iter()
                .filter_map(|reference| match reference.target {
                    Target::Map(map) | Target::Data { map, .. } => self.maps.get(map),
                    _ => None,
                })
                .map(|map| map.name.as_str())
                .collect(),
        })
    }
}
