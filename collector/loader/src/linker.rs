//! One program from its function and all it calls.
//!
//! The kernel wants a program as one list of instructions, its own function first, with calls that count from the call.
//! Type and line information moves along.

use std::collections::HashMap;

use crate::insn::{Insn, PSEUDO_CALL, PSEUDO_FUNC};
use crate::object::{Function, Reference, Target};

/// Most instructions of a program, as in the kernel.
const MAX_INSNS: usize = 1_000_000;

/// A program, ready but for what only the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Linked {
    pub(crate) insns: Vec<Insn>,
    /// The functions it consists of, its own first.
    pub(crate) functions: Vec<usize>,
    /// Instructions that refer to maps, data or the kernel.
    pub(crate) references: Vec<(usize, Target)>,
    /// `struct bpf_func_info`, eight bytes a record; empty when a function lacks its record.
    pub(crate) func_info: Vec<u8>,
    /// `struct bpf_line_info`, sixteen bytes a record; empty when a function lacks its first line.
    pub(crate) line_info: Vec<u8>,
}

/// Why functions cannot be joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Joins a function with all it calls, each once: a callee follows when it is first called, then what it calls. That is
/// libbpf's order too, so that equal objects give equal programs.
pub(crate) fn link(functions: &[Function], main: usize) -> Result<Linked, TooLong> {
    let mut linked = Linked::default();
    let mut starts: HashMap<usize, usize> = HashMap::new();
    let mut order = Vec::new();
    // Calls are patched when all places are known.
    let mut calls: Vec<(usize, Target)> = Vec::new();
    // Functions under way, each with the references it has yet to look at.
    let mut under_way: Vec<(usize, std::slice::Iter<'_, Reference>)> = Vec::new();
    let mut next = Some(main);
    loop {
        if let Some(index) = next.take()
            && !starts.contains_key(&index)
            && let Some(function) = functions.get(index)
        {
            let start = linked.insns.len();
            if start + function.insns.len() > MAX_INSNS {
                return Err(TooLong);
            }
            starts.insert(index, start);
            order.push((index, start));
            linked.insns.extend(&function.insns);
            under_way.push((start, function.references.iter()));
        }
        let Some((start, references)) = under_way.last_mut() else { break };
        match references.next() {
            Some(Reference { insn, target }) => {
                let at = *start + *insn as usize;
                match target {
                    Target::Call(callee) | Target::Address(callee) => {
                        calls.push((at, *target));
                        next = Some(*callee);
                    }
                    target => linked.references.push((at, *target)),
                }
            }
            None => {
                under_way.pop();
            }
        }
    }
    for (at, target) in calls {
        let (Target::Call(callee) | Target::Address(callee)) = target else { continue };
        let distance = starts.get(&callee).and_then(|start| {
            let distance = i64::try_from(*start).ok()? - i64::try_from(at).ok()? - 1;
            i32::try_from(distance).ok()
        });
        let Some(insn) = linked.insns.get_mut(at) else { continue };
        insn.imm = distance.ok_or(TooLong)?;
        insn.set_src(if matches!(target, Target::Call(_)) { PSEUDO_CALL } else { PSEUDO_FUNC });
        if insn.is_wide()
            && let Some(second) = linked.insns.get_mut(at + 1)
        {
            second.imm = 0;
        }
    }
    linked.functions = order.iter().map(|(index, _)| *index).collect();
    linked.func_info = func_info(functions, &order).unwrap_or_default();
    linked.line_info = line_info(functions, &order).unwrap_or_default();
    Ok(linked)
}

fn func_info(functions: &[Function], order: &[(usize, usize)]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(order.len() * 8);
    for (index, start) in order {
        let type_id = functions.get(*index)?.type_id?;
        out.extend(u32::try_from(*start).ok()?.to_ne_bytes());
        out.extend(type_id.0.to_ne_bytes());
    }
    Some(out)
}

fn line_info(functions: &[Function], order: &[(usize, usize)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, start) in order {
        let function = functions.get(*index)?;
        // The kernel insists that a function's first instruction has a line.
        function.lines.first().filter(|line| line.insn == 0)?;
        let mut last = None;
        for line in &function.lines {
            // Two lines of one instruction are refused; the last is the innermost.
            if last == Some(line.insn) {
                out.truncate(out.len() - 16);
            }
            last = Some(line.insn);
            let at = u32::try_from(*start).ok()?.checked_add(line.insn)?;
            for word in [at, line.file, line.line, line.position] {
                out.extend(word.to_ne_bytes());
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::link;
    use crate::insn::{CALL, Insn};
    use crate::object::{Function, Reference, Target};

    fn function(name: &str, len: usize, calls: &[(u32, usize)]) -> Function {
        let mut insns = vec![Insn { code: 0x95, ..Insn::default() }; len];
        for (at, _) in calls {
            insns[*at as usize] = Insn { code: CALL, regs: 0x10, off: 0, imm: -1 };
        }
        Function {
            name: name.to_owned(),
            section: ".text".to_owned(),
            insns,
            references: calls
                .iter()
                .map(|(insn, callee)| Reference { insn: *insn, target: Target::Call(*callee) })
                .collect(),
            relocations: Vec::new(),
            hidden: false,
            type_id: None,
            lines: Vec::new(),
        }
    }

    /// Scenario: main calls two functions, one of which calls the other and itself.
    /// Guarantees: each is there once and every call lands on the first instruction of its callee.
    #[test]
    fn each_callee_is_placed_once() {
        let functions = [
            function("main", 4, &[(0, 1), (1, 2), (2, 1)]),
            function("a", 3, &[(0, 2), (1, 1)]),
            function("b", 2, &[]),
        ];
        let linked = link(&functions, 0).unwrap();
        assert_eq!(linked.insns.len(), 9);
        let callee = |at: usize| at.strict_add_signed(1 + linked.insns[at].imm as isize);
        let (a, b) = (callee(0), callee(1));
        assert_eq!(callee(2), a);
        assert_eq!(callee(a), b);
        assert_eq!(callee(a + 1), a);
        assert!(a != b && a >= 4 && b >= 4);
    }
}
