//! The eBPF instruction, as bpf(2) takes it and as compilers make it.

/// `BPF_LD | BPF_IMM | BPF_DW`: loads 64 bits and takes two places.
pub const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`.
pub const EXIT: u8 = 0x95;

/// One place of eight bytes.
///
/// # Source
/// [`struct bpf_insn`](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination register (low half) and source register (high half).
    pub regs: u8,
    /// Offset of jumps and memory accesses.
    pub off: i16,
    /// Immediate value.
    pub imm: i32,
}

impl Insn {
    /// Bytes of one place.
    pub const LEN: usize = 8;

    /// Reads one place in the byte order of this machine.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [code, regs, off0, off1, imm0, imm1, imm2, imm3] = bytes;
        Self {
            code,
            regs,
            off: i16::from_ne_bytes([off0, off1]),
            imm: i32::from_ne_bytes([imm0, imm1, imm2, imm3]),
        }
    }

    /// Writes one place as the kernel reads it.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [off0, off1] = self.off.to_ne_bytes();
        let [imm0, imm1, imm2, imm3] = self.imm.to_ne_bytes();
        [self.code, self.regs, off0, off1, imm0, imm1, imm2, imm3]
    }

    /// Whether this is the first half of a 64-bit load; the next place belongs to it.
    pub fn is_wide(self) -> bool {
        self.code == LD_IMM64
    }

    /// Source register.
    pub fn src(self) -> u8 {
        self.regs >> 4
    }

    /// Replaces the source register.
    pub fn set_src(&mut self, register: u8) {
        self.regs = self.regs & 0x0f | register << 4;
    }

    /// The class: the low three bits of the operation.
    pub fn class(self) -> u8 {
        self.code & 7
    }
}

#[cfg(test)]
mod tests {
    use super::Insn;

    /// Guarantees: what is written is what was read, whatever the bytes.
    #[test]
    fn bytes_survive() {
        let bytes = [0x18, 0x21, 0xff, 0x7f, 1, 2, 3, 0x80];
        let mut insn = Insn::from_bytes(bytes);
        assert_eq!(insn.to_bytes(), bytes);
        assert_eq!((insn.is_wide(), insn.src(), insn.class()), (true, 2, 0));
        insn.set_src(7);
        assert_eq!(insn.regs, 0x71);
    }
}
