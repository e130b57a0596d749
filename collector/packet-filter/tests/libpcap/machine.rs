//! The part of the eBPF machine that filters use, strict about everything that the verifier is strict about.

use ig_model::Insn;

const STACK: u64 = 1 << 40;
const CONTEXT: u64 = 1 << 41;
const STACK_SIZE: u64 = 160;
const STACK_BYTES: usize = 160;

/// Instructions in front of a hook's body.
pub(crate) struct Filter {
    insns: Vec<Insn>,
}

impl Filter {
    pub(crate) fn new(insns: &[Insn]) -> Self {
        Self { insns: insns.to_vec() }
    }

    /// Runs them on a frame, with the tag that the kernel has beside it, and checks what they leave behind.
    pub(crate) fn matches(&self, frame: &[u8], tag: Option<u16>) -> bool {
        let mut machine = Machine { frame, tag, registers: [None; 11], stack: [None; STACK_BYTES] };
        machine.registers[1] = Some(CONTEXT);
        machine.registers[2] = Some(CONTEXT);
        machine.registers[3] = Some(CONTEXT);
        machine.registers[10] = Some(STACK);
        let mut at = 0;
        while let Some(insn) = self.insns.get(at) {
            // Jumps only go forward, so each instruction runs once at most.
            at += 1 + machine.step(*insn);
        }
        assert_eq!(at, self.insns.len(), "a jump leaves the filter");
        let register = |number: usize| machine.registers[number].expect("all arguments are set");
        assert_eq!([1, 2, 3, 5].map(register), [0; 4]);
        assert!(register(4) <= 1);
        register(4) == 1
    }
}

struct Machine<'f> {
    frame: &'f [u8],
    tag: Option<u16>,
    registers: [Option<u64>; 11],
    /// Bytes that were written.
    stack: [Option<u8>; STACK_BYTES],
}

impl Machine<'_> {
    fn get(&self, register: u8) -> u64 {
        self.registers[usize::from(register)].unwrap_or_else(|| panic!("R{register} is not set"))
    }

    fn place(address: u64, size: u64) -> std::ops::Range<usize> {
        let start = (address + STACK_SIZE).checked_sub(STACK).expect("an address of the stack");
        assert!(start + size <= STACK_SIZE, "{size} bytes at {start} of the stack");
        usize::try_from(start).unwrap()..usize::try_from(start + size).unwrap()
    }

    fn aligned(address: u64, size: u64) -> std::ops::Range<usize> {
        assert!(address.is_multiple_of(size), "{size} bytes at a place that is not aligned");
        Self::place(address, size)
    }

    fn load(&self, address: u64, size: u64) -> u64 {
        if address >= CONTEXT {
            assert_eq!(size, 4);
            return match address - CONTEXT {
                0 => self.frame.len().try_into().unwrap(),
                20 => self.tag.is_some().into(),
                24 => self.tag.unwrap_or_default().into(),
                other => panic!("{other} of the packet's context"),
            };
        }
        let mut bytes = [0; 8];
        for (byte, place) in bytes.iter_mut().zip(Self::aligned(address, size)) {
            *byte = self.stack[place].expect("bytes were written before");
        }
        u64::from_le_bytes(bytes)
    }

    /// `bpf_skb_load_bytes`
    fn help(&mut self) {
        assert_eq!(self.get(1), CONTEXT);
        let (offset, to, len) = (self.get(2), self.get(3), self.get(4));
        assert!((1..=64).contains(&len) && u32::try_from(offset).is_ok());
        let range = offset.try_into().unwrap()..usize::try_from(offset + len).unwrap();
        let bytes = self.frame.get(range).filter(|_| i32::try_from(offset).is_ok());
        for (number, place) in Self::place(to, len).enumerate() {
            self.stack[place] = Some(bytes.map_or(0, |bytes| bytes[number]));
        }
        self.registers[..6].fill(None);
        self.registers[0] = Some(if bytes.is_some() { 0 } else { (-14_i64).cast_unsigned() });
    }

    /// How many instructions are jumped over.
    fn step(&mut self, insn: Insn) -> usize {
        let (class, operation) = (insn.code & 7, insn.code & 0xf0);
        let to = insn.regs & 0xf;
        let number = i64::from(insn.imm).cast_unsigned();
        let right = |machine: &Self| if insn.code & 8 == 0 { number } else { machine.get(insn.src()) };
        let address = |register: u64| register.wrapping_add_signed(insn.off.into());
        match insn.code {
            0x85 => {
                assert_eq!((insn.src(), insn.imm), (0, 26));
                self.help();
                return 0;
            }
            0x61 | 0x69 | 0x71 => {
                let size = [4, 2, 1][usize::from(insn.code >> 3 & 3)];
                self.registers[usize::from(to)] = Some(self.load(address(self.get(insn.src())), size));
                return 0;
            }
            0x7a | 0x63 => {
                let (size, value) = if insn.code == 0x7a { (8, number) } else { (4, self.get(insn.src())) };
                for (byte, place) in
                    value.to_le_bytes().iter().zip(Self::aligned(address(self.get(to)), size))
                {
                    self.stack[place] = Some(*byte);
                }
                return 0;
            }
            0x05 => return usize::try_from(insn.off).unwrap(),
            _ => {}
        }
        // Only the verdict of the helper may be an address or negative.
        let small = |value: u64| u32::try_from(value).expect("a number of 32 bits");
        match class {
            5 | 6 => {
                let (left, right) = (self.get(to), right(self));
                let (left, right) =
                    if class == 6 { (u64::from(small(left)), right & 0xffff_ffff) } else { (left, right) };
                let jumps = match operation {
                    0x10 => left == right,
                    0x20 => left > right,
                    0x30 => left >= right,
                    0x40 => left & right != 0,
                    0x50 => left != right,
                    0xa0 => left < right,
                    0xb0 => left <= right,
                    _ => panic!("{insn:?}"),
                };
                if jumps { usize::try_from(insn.off).unwrap() } else { 0 }
            }
            4 => {
                let left = || small(self.get(to));
                #[expect(clippy::cast_possible_truncation, reason = "that is what the machine does")]
                let right = if operation == 0xd0 { 0 } else { right(self) as u32 };
                let value = match operation {
                    0xd0 if insn.imm == 16 => u16::try_from(left()).expect("two bytes").swap_bytes().into(),
                    0xd0 => left().swap_bytes(),
                    0x00 => left().wrapping_add(right),
                    0x10 => left().wrapping_sub(right),
                    0x20 => left().wrapping_mul(right),
                    0x30 => left().checked_div(right).expect("no division by zero"),
                    0x40 => left() | right,
                    0x50 => left() & right,
                    0x60 => left().checked_shl(right).expect("no shift too far"),
                    0x70 => left().checked_shr(right).expect("no shift too far"),
                    0x80 => left().wrapping_neg(),
                    0x90 => left().checked_rem(right).expect("no division by zero"),
                    0xa0 => left() ^ right,
                    0xb0 => right,
                    _ => panic!("{insn:?}"),
                };
                self.registers[usize::from(to)] = Some(value.into());
                0
            }
            7 => {
                let value = match operation {
                    0x00 => self.get(to).wrapping_add(right(self)),
                    0xb0 => right(self),
                    _ => panic!("{insn:?}"),
                };
                self.registers[usize::from(to)] = Some(value);
                0
            }
            _ => panic!("{insn:?}"),
        }
    }
}
