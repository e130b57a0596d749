//! Helpers that an old kernel lacks, replaced by older ones that do nearly the same.
//!
//! A pure function of instructions and release. Names of newer helpers are common in gadgets that would run on old
//! kernels otherwise; what differs is told beside each pair.

use ig_kernel::release::KernelRelease;

use crate::insn::{CALL, Insn};

/// Helper, first release that has it, and what is called before.
const REPLACEMENTS: [(i32, KernelRelease, i32); 5] = [
    // `probe_read_user` and `probe_read_kernel`: `probe_read` reads either, where addresses do not overlap.
    (112, KernelRelease::new(5, 5, 0), 4),
    (113, KernelRelease::new(5, 5, 0), 4),
    // The same for strings.
    (114, KernelRelease::new(5, 5, 0), 45),
    (115, KernelRelease::new(5, 5, 0), 45),
    // `ktime_get_boot_ns`: `ktime_get_ns` stands still while the machine sleeps.
    (125, KernelRelease::new(5, 8, 0), 5),
];

/// Replaces calls of helpers that this release does not have.
pub(crate) fn replace(insns: &mut [Insn], release: KernelRelease) {
    let mut second_half = false;
    for insn in insns {
        if std::mem::take(&mut second_half) {
            continue;
        }
        second_half = insn.is_wide();
        if insn.code != CALL || insn.src() != 0 {
            continue;
        }
        let known = REPLACEMENTS.iter().find(|(helper, since, _)| *helper == insn.imm && release < *since);
        if let Some((.., older)) = known {
            insn.imm = *older;
        }
    }
}

#[cfg(test)]
mod tests {
    use ig_kernel::release::KernelRelease;

    use super::replace;
    use crate::insn::{CALL, Insn, LD_IMM64};

    #[test]
    fn only_calls_of_missing_helpers_change() {
        let call = |regs, imm| Insn { code: CALL, regs, off: 0, imm };
        let original = [
            call(0, 125),
            call(0, 115),
            call(0, 1),
            // A call of a function of the program, and a constant that looks like a call.
            call(0x10, 125),
            Insn { code: LD_IMM64, regs: 0, off: 0, imm: 125 },
            Insn { code: 0, regs: 0, off: 0, imm: 125 },
        ];
        let numbers = |release| {
            let mut insns = original;
            replace(&mut insns, release);
            insns.map(|insn| insn.imm)
        };
        assert_eq!(numbers(KernelRelease::new(5, 8, 0)), [125, 115, 1, 125, 125, 125]);
        assert_eq!(numbers(KernelRelease::new(5, 7, 9)), [5, 115, 1, 125, 125, 125]);
        assert_eq!(numbers(KernelRelease::new(5, 4, 0)), [5, 45, 1, 125, 125, 125]);
    }
}
