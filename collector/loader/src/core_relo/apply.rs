//! Writing answers into instructions.

use super::CoreError;
use crate::insn::{self, Insn};

/// What one instruction has to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixup {
    /// Place of the instruction within its function.
    pub insn: u32,
    /// Value that the instruction must hold now; `None` when that does not matter.
    pub original: Option<u64>,
    /// Value to write.
    pub value: u64,
    /// Whether there is no value, and the instruction has to become one that the verifier refuses.
    pub poison: bool,
    /// Bytes that memory accesses have to move from now on; an error when they cannot.
    pub(super) width: Option<Result<u32, ()>>,
}

impl Fixup {
    pub(super) fn value(insn: u32, original: Option<u64>, value: u64, poison: bool) -> Self {
        Self { insn, original, value, poison, width: None }
    }

    /// Changes the instruction in the function's code.
    ///
    /// # Errors
    /// [`CoreError::Instruction`]: there is none, it is of a class without a value, or it holds another value.
    pub fn apply(&self, insns: &mut [Insn]) -> Result<(), CoreError> {
        let fault = |problem| CoreError::Instruction { insn: self.insn, problem };
        let mut rest = insns.get_mut(self.insn as usize..).unwrap_or_default().iter_mut();
        let insn = rest.next().ok_or_else(|| fault("it lies outside of the function"))?;
        let second = if insn.is_wide() { rest.next() } else { None };
        let poison = |insn: &mut Insn, second: Option<&mut Insn>| {
            *insn = insn::poison();
            if let Some(second) = second {
                *second = insn::poison();
            }
        };
        if self.poison {
            poison(insn, second);
            return Ok(());
        }
        let holds = |now: u64| self.original.is_none_or(|original| original == now);
        match insn.class() {
            // Arithmetic with a constant: BPF_ALU and BPF_ALU64 with BPF_K.
            4 | 7 if insn.code & 8 == 0 => {
                if !holds(u64::from(insn.imm as u32)) && !holds(i64::from(insn.imm) as u64) {
                    return Err(fault("another constant"));
                }
                insn.imm = low(self.value);
            }
            // Memory: BPF_LDX, BPF_ST, BPF_STX.
            1..=3 => {
                if !holds(i64::from(insn.off) as u64) {
                    return Err(fault("another offset"));
                }
                match self.width {
                    Some(Err(())) => {
                        poison(insn, None);
                        return Ok(());
                    }
                    Some(Ok(width)) => {
                        insn.code =
                            insn.code & !SIZE_MASK | size_bits(width).ok_or_else(|| fault("an odd width"))?;
                    }
                    None => {}
                }
                insn.off = i16::try_from(self.value).map_err(|_too_far| fault("an offset beyond 32 KiB"))?;
            }
            // BPF_LD: only the 64-bit constant.
            0 => {
                let second = second.ok_or_else(|| fault("no instruction with a value"))?;
                let now = u64::from(second.imm as u32) << 32 | u64::from(insn.imm as u32);
                if !holds(now) {
                    return Err(fault("another constant"));
                }
                insn.imm = low(self.value);
                second.imm = low(self.value >> 32);
            }
            _ => return Err(fault("no instruction with a value")),
        }
        Ok(())
    }
}

const SIZE_MASK: u8 = 0x18;

fn size_bits(width: u32) -> Option<u8> {
    Some(match width {
        8 => 0x18,
        4 => 0x00,
        2 => 0x08,
        1 => 0x10,
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(value: u64) -> i32 {
    value as u32 as i32
}
