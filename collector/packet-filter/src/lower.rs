//! From tests to instructions.
//!
//! A packet's bytes may lie in fragments that direct access does not reach, and socket filters have none of it; so bytes
//! are asked of `bpf_skb_load_bytes`, which sees all of the packet. One call copies the first bytes to the stack, where
//! most tests find what they look at; only what is beyond, or at a place that is computed, takes a call of its own.
//!
//! # Registers
//! R6 holds the packet, R7 how many bytes were copied, R8 the verdict, R9 and R1 to R5 are scratch, R0 holds values.

use ig_model::insn::{CALL, Insn};

use super::ir::{Alu, Field, Node, Relation, Size, Test, Value};

mod code;

use code::{Code, Label};

/// Most instructions; jumps reach no further.
const MAX_INSNS: usize = 32_000;
/// Bytes copied to the stack: the headers of Ethernet, IPv6 and a tag or two.
const WINDOW: u32 = 64;
/// Where they begin on the stack: so that addresses behind an Ethernet header are aligned.
const WINDOW_AT: i16 = -66;
/// Where a single load goes.
const BUFFER_AT: i16 = -80;
/// Where the left sides of operations wait, four bytes each, downwards.
const PLACES_AT: i16 = -84;
/// How many of them.
const PLACES: i16 = 19;
/// Greatest offset that the helper takes.
const MAX_OFFSET: i32 = i32::MAX;
const LOAD_BYTES: i32 = 26;

const ALU: u8 = 0x04;
const ALU64: u8 = 0x07;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
/// The right side is a register.
const X: u8 = 0x08;
const ADD: u8 = 0x00;
const AND: u8 = 0x50;
const NEG: u8 = 0x80;
const MOV: u8 = 0xb0;
const JEQ: u8 = 0x10;
const JGT: u8 = 0x20;
const JGE: u8 = 0x30;
const JSET: u8 = 0x40;
const JNE: u8 = 0x50;
const JLT: u8 = 0xa0;
const JLE: u8 = 0xb0;
const LOAD_WORD: u8 = 0x61;
const STORE_WORD: u8 = 0x63;
const STORE_ZERO: u8 = 0x7a;
/// To network order and back.
const SWAP: u8 = 0xdc;

/// The filter has too many instructions, or its arithmetic too many waiting numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Instructions for a verdict that does not depend on the packet.
pub(super) fn verdict(matches: bool) -> Vec<Insn> {
    let mut out = vec![Code::insn(ALU64 | MOV, 4, 0, 0, i32::from(matches))];
    out.extend([1, 2, 3, 5].map(|register| Code::insn(ALU64 | MOV, register, 0, 0, 0)));
    out
}

/// Instructions for tests, as [`super::compile`] promises them.
pub(super) fn lower(node: &Node) -> Result<Vec<Insn>, TooLarge> {
    if let Node::Constant(matches) = node {
        return Ok(verdict(*matches));
    }
    let mut code = Code::default();
    let (matched, refused) = (code.label(), code.label());
    let mut lowering = Lowering { code, refused };
    lowering.prologue(node.any(&mut |value| {
        matches!(value, Value::Load { offset, index: None, size } if placed(*offset, *size).is_some())
    }));
    lowering.node(node, Exits { yes: matched, no: refused, next: matched }, Facts::default())?;
    let mut code = lowering.code;
    code.place(matched);
    code.push(ALU64 | MOV, 8, 0, 0, 1);
    code.place(refused);
    code.push(ALU64 | MOV | X, 4, 8, 0, 0);
    for register in [1, 2, 3, 5] {
        code.push(ALU64 | MOV, register, 0, 0, 0);
    }
    code.finish().ok_or(TooLarge)
}

/// Where a test goes on.
#[derive(Clone, Copy)]
struct Exits {
    yes: Label,
    no: Label,
    /// Which label is placed right behind.
    next: Label,
}

/// What is known wherever an instruction is reached from.
#[derive(Clone, Copy, Default)]
struct Facts {
    /// The window has so many bytes at least.
    len: u32,
    /// R0 holds the bytes at this place.
    loaded: Option<(u32, Size)>,
}

impl Facts {
    fn join(self, other: Self) -> Self {
        let loaded = self.loaded.filter(|loaded| Some(*loaded) == other.loaded);
        Self { len: self.len.min(other.len), loaded }
    }
}

/// How a place of the frame lies in the window.
#[derive(Clone, Copy)]
enum Placed {
    Aligned,
    /// A word whose halves are aligned.
    Halves,
}

/// Whether a load can be served from the window; the verifier wants the stack read at aligned places.
fn placed(offset: u32, size: Size) -> Option<Placed> {
    let end = offset.checked_add(size as u32)?;
    let place = i64::from(WINDOW_AT) + i64::from(offset);
    match size {
        _ if end > WINDOW => None,
        _ if place % (size as i64) == 0 => Some(Placed::Aligned),
        Size::Word if place % 2 == 0 => Some(Placed::Halves),
        _ => None,
    }
}

/// `LDX` of a size.
fn load_code(size: Size) -> u8 {
    match size {
        Size::Byte => 0x71,
        Size::Half => 0x69,
        Size::Word => LOAD_WORD,
    }
}

struct Lowering {
    code: Code,
    refused: Label,
}

impl Lowering {
    fn prologue(&mut self, window: bool) {
        let code = &mut self.code;
        code.push(ALU64 | MOV | X, 6, 1, 0, 0);
        code.push(ALU64 | MOV, 8, 0, 0, 0);
        if !window {
            return;
        }
        // The length is not a constant, so the verifier wants all that the helper may write to be there before.
        for place in (-72..0).step_by(8) {
            code.push(STORE_ZERO, 10, 0, place, 0);
        }
        code.push(LOAD_WORD, 7, 6, 0, 0);
        // The helper takes no length of zero. Without a byte each test that loads one refuses, others may still match.
        let (fits, empty) = (code.label(), code.label());
        code.jump(JMP | JLT, 7, 0, 1, empty);
        code.jump(JMP | JLE, 7, 0, WINDOW.cast_signed(), fits);
        code.push(ALU64 | MOV, 7, 0, 0, WINDOW.cast_signed());
        code.place(fits);
        code.push(ALU64 | MOV | X, 1, 6, 0, 0);
        code.push(ALU64 | MOV, 2, 0, 0, 0);
        code.push(ALU64 | MOV | X, 3, 10, 0, 0);
        code.push(ALU64 | ADD, 3, 0, 0, i32::from(WINDOW_AT));
        code.push(ALU64 | MOV | X, 4, 7, 0, 0);
        code.push(CALL, 0, 0, 0, LOAD_BYTES);
        code.jump(JMP | JNE, 0, 0, 0, self.refused);
        code.place(empty);
    }

    /// Code for a tree; what is known where it comes out true, and where false.
    fn node(&mut self, node: &Node, exits: Exits, facts: Facts) -> Result<(Facts, Facts), TooLarge> {
        match node {
            // There are none within trees.
            Node::Constant(value) => {
                self.code.jump(JMP, 0, 0, 0, if *value { exits.yes } else { exits.no });
                Ok((facts, facts))
            }
            Node::Test(test) => {
                let facts = self.test(test, exits, facts)?;
                Ok((facts, facts))
            }
            Node::Not(inner) => {
                let turned = Exits { yes: exits.no, no: exits.yes, next: exits.next };
                self.node(inner, turned, facts).map(|(yes, no)| (no, yes))
            }
            Node::And(left, right) => {
                let middle = self.code.label();
                let (yes, no) = self.node(left, Exits { yes: middle, next: middle, ..exits }, facts)?;
                self.code.place(middle);
                let (yes, also_no) = self.node(right, exits, yes)?;
                Ok((yes, no.join(also_no)))
            }
            Node::Or(left, right) => {
                let middle = self.code.label();
                let (yes, no) = self.node(left, Exits { no: middle, next: middle, ..exits }, facts)?;
                self.code.place(middle);
                let (also_yes, no) = self.node(right, exits, no)?;
                Ok((yes.join(also_yes), no))
            }
        }
    }

    fn test(&mut self, test: &Test, exits: Exits, facts: Facts) -> Result<Facts, TooLarge> {
        let (yes, no) = match test.relation {
            Relation::Equal => (JEQ, JNE),
            Relation::Greater => (JGT, JLE),
            Relation::GreaterOrEqual => (JGE, JLT),
            Relation::AnyBit => (JSET, JSET),
        };
        let (source, number, facts) = match &test.right {
            Value::Constant(number) => (0, number.cast_signed(), self.value(&test.left, 0, facts)?),
            right => (X, 0, self.sides(&test.left, right, 0, facts)?),
        };
        let register = if source == X { 9 } else { 0 };
        if exits.next == exits.yes && test.relation != Relation::AnyBit {
            self.code.jump(JMP32 | no | source, 0, register, number, exits.no);
        } else {
            self.code.jump(JMP32 | yes | source, 0, register, number, exits.yes);
            if exits.next != exits.no {
                self.code.jump(JMP, 0, 0, 0, exits.no);
            }
        }
        if self.code.len() > MAX_INSNS { Err(TooLarge) } else { Ok(facts) }
    }

    /// The left side in R0, the right one in R9. `waiting` numbers wait on the stack.
    fn sides(&mut self, left: &Value, right: &Value, waiting: i16, facts: Facts) -> Result<Facts, TooLarge> {
        if waiting >= PLACES {
            return Err(TooLarge);
        }
        let place = PLACES_AT - 4 * waiting;
        let facts = self.value(left, waiting, facts)?;
        self.code.push(STORE_WORD, 10, 0, place, 0);
        let facts = self.value(right, waiting + 1, facts)?;
        self.code.push(ALU64 | MOV | X, 9, 0, 0, 0);
        self.code.push(LOAD_WORD, 0, 10, place, 0);
        Ok(Facts { loaded: None, ..facts })
    }

    /// A value in R0.
    fn value(&mut self, value: &Value, waiting: i16, facts: Facts) -> Result<Facts, TooLarge> {
        let facts = match value {
            Value::Constant(number) => {
                self.code.push(ALU | MOV, 0, 0, 0, number.cast_signed());
                facts
            }
            Value::Field(field) => {
                self.code.push(LOAD_WORD, 0, 6, field_offset(*field), 0);
                facts
            }
            Value::Load { offset, index: None, size } => return Ok(self.load(*offset, *size, facts)),
            Value::Load { offset, index: Some(index), size } => {
                let facts = self.value(index, waiting, facts)?;
                // Two numbers of 32 bits do not wrap around in 64.
                if let Ok(offset @ 1..) = i32::try_from(*offset) {
                    self.code.push(ALU64 | ADD, 0, 0, 0, offset);
                }
                self.code.jump(JMP | JGT, 0, 0, MAX_OFFSET, self.refused);
                self.code.push(ALU64 | MOV | X, 2, 0, 0, 0);
                self.ask(*size);
                facts
            }
            Value::Negate(inner) => {
                let facts = self.value(inner, waiting, facts)?;
                self.code.push(ALU | NEG, 0, 0, 0, 0);
                facts
            }
            Value::Alu(operation, left, right) => {
                if let Value::Constant(number) = **right {
                    let facts = self.value(left, waiting, facts)?;
                    self.code.push(ALU | operation_code(*operation), 0, 0, 0, number.cast_signed());
                    return Ok(Facts { loaded: None, ..facts });
                }
                let facts = self.sides(left, right, waiting, facts)?;
                self.computed(*operation);
                facts
            }
        };
        Ok(Facts { loaded: None, ..facts })
    }

    /// R0 and R9 to R0.
    fn computed(&mut self, operation: Alu) {
        let code = ALU | X | operation_code(operation);
        match operation {
            Alu::Div | Alu::Mod => {
                self.code.jump(JMP32 | JEQ, 9, 0, 0, self.refused);
                self.code.push(code, 0, 9, 0, 0);
            }
            Alu::ShiftLeft | Alu::ShiftRight => {
                let (small, done) = (self.code.label(), self.code.label());
                self.code.jump(JMP32 | JLE, 9, 0, 31, small);
                self.code.push(ALU | MOV, 0, 0, 0, 0);
                self.code.jump(JMP, 0, 0, 0, done);
                self.code.place(small);
                self.code.push(code, 0, 9, 0, 0);
                self.code.place(done);
            }
            _ => self.code.push(code, 0, 9, 0, 0),
        }
    }

    /// Bytes at a fixed place, unless R0 holds them already.
    fn load(&mut self, offset: u32, size: Size, facts: Facts) -> Facts {
        if facts.loaded == Some((offset, size)) {
            return facts;
        }
        let end = offset.saturating_add(size as u32);
        let Some(placed) = placed(offset, size) else {
            self.code.push(ALU | MOV, 2, 0, 0, offset.cast_signed());
            self.ask(size);
            return Facts { loaded: Some((offset, size)), ..facts };
        };
        if facts.len < end {
            self.code.jump(JMP | JLT, 7, 0, end.cast_signed(), self.refused);
        }
        // Within the window offsets are small.
        let place = WINDOW_AT + i16::try_from(offset).unwrap_or_default();
        match placed {
            Placed::Aligned => self.read(0, place, size),
            Placed::Halves => {
                self.read(9, place + 2, Size::Half);
                self.read(0, place, Size::Half);
                self.code.push(ALU | operation_code(Alu::ShiftLeft), 0, 0, 0, 16);
                self.code.push(ALU | operation_code(Alu::Or) | X, 0, 9, 0, 0);
            }
        }
        Facts { len: facts.len.max(end), loaded: Some((offset, size)) }
    }

    /// Bytes of the stack as a number.
    fn read(&mut self, register: u8, place: i16, size: Size) {
        self.code.push(load_code(size), register, 10, place, 0);
        self.swap(register, size);
    }

    fn swap(&mut self, register: u8, size: Size) {
        if size != Size::Byte {
            self.code.push(SWAP, register, 0, 0, size as i32 * 8);
        }
    }

    /// Asks the kernel for the bytes whose place is in R2.
    fn ask(&mut self, size: Size) {
        let code = &mut self.code;
        code.push(ALU64 | MOV | X, 1, 6, 0, 0);
        code.push(ALU64 | MOV | X, 3, 10, 0, 0);
        code.push(ALU64 | ADD, 3, 0, 0, i32::from(BUFFER_AT));
        code.push(ALU64 | MOV, 4, 0, 0, size as i32);
        code.push(CALL, 0, 0, 0, LOAD_BYTES);
        code.jump(JMP | JNE, 0, 0, 0, self.refused);
        self.read(0, BUFFER_AT, size);
    }
}

fn operation_code(operation: Alu) -> u8 {
    match operation {
        Alu::Add => ADD,
        Alu::Sub => 0x10,
        Alu::Mul => 0x20,
        Alu::Div => 0x30,
        Alu::Or => 0x40,
        Alu::And => AND,
        Alu::ShiftLeft => 0x60,
        Alu::ShiftRight => 0x70,
        Alu::Mod => 0x90,
        Alu::Xor => 0xa0,
    }
}

fn field_offset(field: Field) -> i16 {
    match field {
        Field::Len => 0,
        Field::TagPresent => 20,
        Field::Tag => 24,
    }
}
