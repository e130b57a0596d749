//! What a load may refer to in the kernel: the types of vmlinux and, where those do not do, of its modules.
//!
//! Modules are read only when something is not found without them: there may be hundreds, and most gadgets need none.

use std::cell::{OnceCell, RefCell};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ig_kernel::btf::{self, Btf, BtfError, Kind, TypeId, essential_name};
use ig_kernel::sys::bpf;
use ig_model::Shortage;

use crate::core_relo::types_compatible;

/// The types of one module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) btf: Btf,
}

/// Something found by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'k> {
    pub(crate) id: TypeId,
    /// Where, unless in vmlinux.
    pub(crate) module: Option<&'k Module>,
}

/// Why a name of the kernel cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    Absent,
    /// It is there, but made otherwise than the object declares.
    Incompatible,
}

#[derive(Debug, Default)]
pub(crate) struct KernelTypes {
    vmlinux: Option<Arc<Btf>>,
    modules: OnceCell<Vec<Module>>,
    /// Why modules could not be read that may be readable later.
    shortage: RefCell<Option<BtfError>>,
}

impl KernelTypes {
    /// The running kernel's.
    pub(crate) fn running(vmlinux: Arc<Btf>) -> Self {
        Self { vmlinux: Some(vmlinux), ..Self::default() }
    }

    /// Types from elsewhere; the running kernel's modules do not belong to them.
    pub(crate) fn given(vmlinux: Arc<Btf>) -> Self {
        Self { vmlinux: Some(vmlinux), modules: OnceCell::from(Vec::new()), ..Self::default() }
    }

    pub(crate) fn vmlinux(&self) -> Option<&Btf> {
        self.vmlinux.as_deref()
    }

    /// All modules with types; those that cannot be read are left out, as if they were not loaded.
    pub(crate) fn modules(&self) -> &[Module] {
        self.modules.get_or_init(|| {
            let Some(base) = &self.vmlinux else { return Vec::new() };
            let names = btf::module_names().unwrap_or_else(|source| {
                self.unreadable(BtfError::Read { path: btf::FOLDER.to_owned(), source });
                Vec::new()
            });
            let read = names.into_iter().filter_map(|name| match btf::module(&name, Arc::clone(base)) {
                Ok(btf) => Some(Module { name, btf }),
                Err(error) => {
                    tracing::debug!(
                        name: "module.btf.unreadable", module = name, error = &error as &dyn std::error::Error
                    );
                    self.unreadable(error);
                    None
                }
            });
            read.collect()
        })
    }

    /// What kept modules from being read for now: what was not found may well be there.
    pub(crate) fn shortage(&self) -> Option<BtfError> {
        self.shortage.take()
    }

    fn unreadable(&self, error: BtfError) {
        if Shortage::of(&error).is_some() {
            self.shortage.replace(Some(error));
        }
    }

    /// Finds what a program attaches to; `module:function` looks in one module only.
    pub(crate) fn hook(&self, target: &str, kind: Kind) -> Option<Found<'_>> {
        match target.split_once(':') {
            Some((module, name)) => {
                let module = self.modules().iter().find(|found| found.name == module)?;
                own(&module.btf, name, kind).next().map(|id| Found { id, module: Some(module) })
            }
            None => self.all(target, kind, |_, _| true).ok(),
        }
    }

    /// Finds a variable or function as the object declares it, whatever the flavour of its name.
    pub(crate) fn symbol(
        &self,
        name: &str,
        kind: Kind,
        local: Option<(&Btf, TypeId)>,
    ) -> Result<Found<'_>, Miss> {
        self.all(essential_name(name), kind, |btf, id| {
            let declared = match btf.type_by_id(id) {
                Some(btf::Type::Func(function)) => function.type_id,
                Some(btf::Type::Var(variable)) => variable.type_id,
                _ => return false,
            };
            local.is_none_or(|(local, local_id)| types_compatible(local, local_id, btf, declared))
        })
    }

    fn all(&self, name: &str, kind: Kind, fits: impl Fn(&Btf, TypeId) -> bool) -> Result<Found<'_>, Miss> {
        let mut miss = Miss::Absent;
        if let Some(vmlinux) = self.vmlinux() {
            for id in own(vmlinux, name, kind) {
                if fits(vmlinux, id) {
                    return Ok(Found { id, module: None });
                }
                miss = Miss::Incompatible;
            }
        }
        if miss == Miss::Incompatible {
            return Err(miss);
        }
        for module in self.modules() {
            for id in own(&module.btf, name, kind) {
                if fits(&module.btf, id) {
                    return Ok(Found { id, module: Some(module) });
                }
                miss = Miss::Incompatible;
            }
        }
        Err(miss)
    }
}

impl Module {
    /// The kernel's own copy of the types, which loads refer to.
    pub(crate) fn open(&self) -> std::io::Result<OwnedFd> {
        bpf::btf::of_module(&self.name)
    }
}

/// Types of this name and kind, those of a base left out.
fn own<'b>(btf: &'b Btf, name: &'b str, kind: Kind) -> impl Iterator<Item = TypeId> {
    let named = btf.types_by_name(name);
    named.filter(move |(id, ty)| ty.kind() == kind && btf.owns(*id)).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;
    use std::sync::Arc;

    use ig_kernel::btf::{Btf, Kind};

    use super::{KernelTypes, Miss, Module};

    /// BTF from type records of words, with names by offset into `strings`.
    fn btf(records: &[&[u32]], strings: &[u8], base: Option<Arc<Btf>>) -> Btf {
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let types = u32::try_from(records.iter().map(|record| record.len() * 4).sum::<usize>()).unwrap();
        let len = u32::try_from(strings.len()).unwrap();
        for word in [24, 0, types, types, len].iter().chain(records.iter().copied().flatten()) {
            out.extend(word.to_le_bytes());
        }
        out.extend(strings);
        Btf::parse(Arc::<[u8]>::from(out), base).unwrap()
    }

    fn kind(kind: Kind, vlen: u32) -> u32 {
        (kind as u32) << 24 | vlen
    }

    /// vmlinux: int [1], `int here(int)` [2, 3]; two modules: `int there(int)` and `int there(int, int)`.
    fn types() -> KernelTypes {
        let proto = kind(Kind::FuncProto, 1);
        let int: &[u32] = &[1, kind(Kind::Int, 0), 4, 1 << 24 | 32];
        let vmlinux =
            btf(&[int, &[0, proto, 1, 5, 1], &[7, kind(Kind::Func, 1), 2]], b"\0int\0x\0here\0", None);
        let vmlinux = Arc::new(vmlinux);
        // Strings of a module count on from its base's twelve bytes, types from its three.
        let first = btf(&[&[13, kind(Kind::Func, 1), 2]], b"\0there\0", Some(Arc::clone(&vmlinux)));
        let wide: &[u32] = &[0, kind(Kind::FuncProto, 2), 1, 5, 1, 5, 1];
        let second = btf(&[wide, &[13, kind(Kind::Func, 1), 4]], b"\0there\0", Some(Arc::clone(&vmlinux)));
        let modules = [("first", first), ("second", second)];
        let modules: Vec<Module> = modules.map(|(name, btf)| Module { name: name.to_owned(), btf }).into();
        KernelTypes { vmlinux: Some(vmlinux), modules: OnceCell::from(modules), ..KernelTypes::default() }
    }

    /// Guarantees: vmlinux goes first, modules follow, a module can be named, and declarations are compared.
    #[test]
    fn modules_are_asked_after_the_kernel() {
        let types = types();
        let here = types.hook("here", Kind::Func).unwrap();
        assert_eq!((here.id.0, here.module.is_none()), (3, true));
        let there = types.hook("there", Kind::Func).unwrap();
        assert_eq!((there.id.0, there.module.unwrap().name.as_str()), (4, "first"));
        let there = types.hook("second:there", Kind::Func).unwrap();
        assert_eq!((there.id.0, there.module.unwrap().name.as_str()), (5, "second"));
        assert!(types.hook("second:here", Kind::Func).is_none());
        assert!(types.hook("third:there", Kind::Func).is_none());

        let local = &types.modules()[1].btf;
        let wide = Some((local, ig_kernel::btf::TypeId(4)));
        let found = types.symbol("there___flavour", Kind::Func, wide).unwrap();
        assert_eq!(found.module.unwrap().name, "second");
        assert_eq!(types.symbol("here", Kind::Func, wide).unwrap_err(), Miss::Incompatible);
        assert_eq!(types.symbol("nowhere", Kind::Func, wide).unwrap_err(), Miss::Absent);
    }
}
