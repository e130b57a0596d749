//! Filters in front of the hooks that gadgets declare for them.

use ig_kernel::sys::bpf::ProgramType;

use super::Loader;
use crate::error::LoadError;
use crate::insn::Insn;
use crate::object::{Function, Object, ProgramSpec};

/// Beginning of the names of functions that take a filter.
const HOOK_PREFIX: &str = "gadget_pf_";

/// Their context is a packet.
const PACKET_PROGRAMS: [ProgramType; 2] = [ProgramType::SOCKET_FILTER, ProgramType::SCHED_CLS];

impl Object {
    /// Names of the hooks that take a packet filter, in the order of the file; one may be empty.
    pub fn packet_filters(&self) -> impl Iterator<Item = &str> {
        let hooks = self.functions.iter().filter(|function| function.section == ".text");
        hooks.filter_map(|function| function.name.strip_prefix(HOOK_PREFIX))
    }
}

impl Loader<'_> {
    /// Puts a filter in front of a hook, for programs that see packets: they then go on only with those that match.
    /// `hook` is the name given to `GADGET_PF`, often none at all. An empty expression leaves the hook as it is.
    ///
    /// # Errors
    /// [`LoadError::UnknownPacketFilter`], and [`LoadError::PacketFilter`] for an expression that is none.
    pub fn set_packet_filter(&mut self, hook: &str, expression: &str) -> Result<&mut Self, LoadError> {
        let is_hook = |function: &Function| {
            function.section == ".text" && function.name.strip_prefix(HOOK_PREFIX) == Some(hook)
        };
        let index = self.object.functions.iter().position(is_hook);
        let index = index.ok_or_else(|| LoadError::UnknownPacketFilter {
            hook: hook.to_owned(),
            known: self.object.packet_filters().map(str::to_owned).collect(),
        })?;
        let insns = ig_packet_filter::compile(expression)
            .map_err(|source| LoadError::PacketFilter { hook: hook.to_owned(), source })?;
        self.packet_filters.insert(index, insns);
        Ok(self)
    }

    /// The functions with filters in place; `None` where there are none.
    pub(super) fn filtered(&self, functions: &[Function]) -> Option<Vec<Function>> {
        if self.packet_filters.values().all(Vec::is_empty) {
            return None;
        }
        let mut functions = functions.to_vec();
        for (index, insns) in &self.packet_filters {
            if let Some(function) = functions.get_mut(*index) {
                inject(function, insns);
            }
        }
        Some(functions)
    }

    /// Whether filters belong into a program.
    pub(super) fn takes_filters(spec: &ProgramSpec) -> bool {
        PACKET_PROGRAMS.contains(&spec.program_type)
    }
}

/// Puts instructions in front of a function's body. The function's type and first line move to the first of them.
fn inject(function: &mut Function, filter: &[Insn]) {
    let Ok(shift) = u32::try_from(filter.len()) else { return };
    if shift == 0 {
        return;
    }
    for reference in &mut function.references {
        reference.insn += shift;
    }
    for relocation in &mut function.relocations {
        relocation.insn += shift;
    }
    let first = function.lines.first().filter(|line| line.insn == 0).copied();
    for line in &mut function.lines {
        line.insn += shift;
    }
    function.lines.splice(0..0, first);
    function.insns.splice(0..0, filter.iter().copied());
}
