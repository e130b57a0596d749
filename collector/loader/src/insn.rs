//! What the loader makes of instructions: which ones refer to something, and what stands where a reference fails.

pub(crate) use ig_model::insn::{CALL, Insn, LD_IMM64};

/// Source register of a call to a function of the same program.
pub(crate) const PSEUDO_CALL: u8 = 1;
/// Source register of a call to a kernel function.
pub(crate) const PSEUDO_KFUNC_CALL: u8 = 2;
/// Source register of a load of a map.
pub(crate) const PSEUDO_MAP_FD: u8 = 1;
/// Source register of a load of an address within a map's value.
pub(crate) const PSEUDO_MAP_VALUE: u8 = 2;
/// Source register of a load of a kernel variable.
pub(crate) const PSEUDO_BTF_ID: u8 = 3;
/// Source register of a load of a function's address.
pub(crate) const PSEUDO_FUNC: u8 = 4;

/// Number of the helper that a poisoned instruction calls: it exists nowhere, so the verifier refuses the program
/// unless it can prove that the instruction is never reached. Tools print it as "bad relo".
pub(crate) const POISON_HELPER: i32 = 0x0bad_2310;

/// Helper numbers from here on stand for calls of kernel functions that this kernel does not have.
const MISSING_FUNCTIONS: i32 = 2_002_000_000;

/// Whether this calls a function of the same object.
pub(crate) fn is_local_call(insn: Insn) -> bool {
    insn.code == CALL && insn.src() == PSEUDO_CALL
}

/// What an instruction becomes whose relocation has no target.
pub(crate) fn poison() -> Insn {
    Insn { code: CALL, regs: 0, off: 0, imm: POISON_HELPER }
}

/// What a call becomes whose kernel function does not exist; `index` is its place among the object's externs.
pub(crate) fn missing_function(index: usize) -> Insn {
    let index = i32::try_from(index).unwrap_or_default();
    Insn { code: CALL, regs: 0, off: 0, imm: MISSING_FUNCTIONS.saturating_add(index) }
}

/// The place among the object's externs of what [`missing_function`] gave this number.
pub(crate) fn missing_index(number: i32) -> Option<usize> {
    usize::try_from(number.checked_sub(MISSING_FUNCTIONS)?).ok()
}

/// Reads the instructions of a section; `None` if its length is odd.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Insn>> {
    let (chunks, rest) = bytes.as_chunks();
    rest.is_empty().then(|| chunks.iter().copied().map(Insn::from_bytes).collect())
}

/// Writes instructions as the kernel reads them.
pub(crate) fn encode(insns: &[Insn]) -> Vec<u8> {
    insns.iter().flat_map(|insn| insn.to_bytes()).collect()
}
