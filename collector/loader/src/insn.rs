//! eBPF instructions.

/// `BPF_LD | BPF_IMM | BPF_DW`: loads 64 bits and takes two places.
pub(crate) const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub(crate) const CALL: u8 = 0x85;

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

/// One place of eight bytes.
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

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [code, regs, off0, off1, imm0, imm1, imm2, imm3] = bytes;
        Self {
            code,
            regs,
            off: i16::from_ne_bytes([off0, off1]),
            imm: i32::from_ne_bytes([imm0, imm1, imm2, imm3]),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
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

    pub(crate) fn set_src(&mut self, register: u8) {
        self.regs = self.regs & 0x0f | register << 4;
    }

    /// Whether this calls a function of the same object.
    pub(crate) fn is_local_call(self) -> bool {
        self.code == CALL && self.src() == PSEUDO_CALL
    }

    /// The class: the low three bits of the operation.
    pub(crate) fn class(self) -> u8 {
        self.code & 7
    }

    /// What an instruction becomes whose relocation has no target.
    pub(crate) fn poison() -> Self {
        Self { code: CALL, regs: 0, off: 0, imm: POISON_HELPER }
    }
}

impl Insn {
    /// What a call becomes whose kernel function does not exist; `index` is its place among the object's externs.
    pub(crate) fn missing_function(index: usize) -> Self {
        let index = i32::try_from(index).unwrap_or_default();
        Self { code: CALL, regs: 0, off: 0, imm: MISSING_FUNCTIONS.saturating_add(index) }
    }
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
