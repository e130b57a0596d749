//! eBPF instructions as text, one a line, in the notation of the verifier.

use ig_model::Insn;

/// The code of a function as text.
pub(super) fn disassemble(insns: &[Insn]) -> String {
    let mut out = String::new();
    let mut rest = insns.iter().enumerate();
    while let Some((at, insn)) = rest.next() {
        let text = if insn.code == 0x18 {
            let high = rest.next().map_or(0, |(_, second)| second.imm);
            wide(*insn, high)
        } else {
            plain(*insn)
        };
        out.push_str(&format!("{at:5}: {text}\n"));
    }
    out
}

/// A load of 64 bits, or of what a number stands for.
fn wide(insn: Insn, high: i32) -> String {
    let (dst, src) = registers(insn);
    let low = u64::from(insn.imm.cast_unsigned());
    let value = u64::from(high.cast_unsigned()) << 32 | low;
    match src {
        0 => format!("r{dst} = {value:#x} ll"),
        1 => format!("r{dst} = map[fd:{}]", insn.imm),
        2 => format!("r{dst} = map[fd:{}][0]+{high}", insn.imm),
        3 => format!("r{dst} = variable[{}]", insn.imm),
        4 => format!("r{dst} = function[pc{:+}]", insn.imm),
        _ => format!("r{dst} = {value:#x} ll (source {src})"),
    }
}

fn registers(insn: Insn) -> (u8, u8) {
    (insn.regs & 0xf, insn.regs >> 4)
}

fn plain(insn: Insn) -> String {
    match insn.code & 7 {
        4 => arithmetic(insn, 'w'),
        7 => arithmetic(insn, 'r'),
        5 => jump(insn, 'r'),
        6 => jump(insn, 'w'),
        _ => memory(insn),
    }
}

fn arithmetic(insn: Insn, letter: char) -> String {
    let (dst, src) = registers(insn);
    let from = if insn.code & 8 == 0 { insn.imm.to_string() } else { format!("{letter}{src}") };
    let signed = if insn.off == 1 { "s" } else { "" };
    let operator = match insn.code >> 4 {
        0x0 => "+=",
        0x1 => "-=",
        0x2 => "*=",
        0x3 => return format!("{letter}{dst} {signed}/= {from}"),
        0x4 => "|=",
        0x5 => "&=",
        0x6 => "<<=",
        0x7 => ">>=",
        0x8 => return format!("{letter}{dst} = -{letter}{dst}"),
        0x9 => return format!("{letter}{dst} {signed}%= {from}"),
        0xa => "^=",
        0xb if insn.off != 0 => return format!("{letter}{dst} = (s{}){from}", insn.off),
        0xb => "=",
        0xc => "s>>=",
        0xd => {
            let order = if insn.code & 7 == 7 {
                "bswap"
            } else if insn.code & 8 == 0 {
                "le"
            } else {
                "be"
            };
            return format!("r{dst} = {order}{} r{dst}", insn.imm);
        }
        _ => return unknown(insn),
    };
    format!("{letter}{dst} {operator} {from}")
}

fn jump(insn: Insn, letter: char) -> String {
    let (dst, src) = registers(insn);
    let operator = match insn.code >> 4 {
        0x0 if letter == 'w' => return format!("goto {:+}", insn.imm),
        0x0 => return format!("goto {:+}", insn.off),
        0x1 => "==",
        0x2 => ">",
        0x3 => ">=",
        0x4 => "&",
        0x5 => "!=",
        0x6 => "s>",
        0x7 => "s>=",
        0x8 => {
            return match src {
                0 => format!("call helper {}", insn.imm),
                1 => format!("call pc{:+}", insn.imm),
                2 => format!("call kernel function {}", insn.imm),
                _ => unknown(insn),
            };
        }
        0x9 => return "exit".to_owned(),
        0xa => "<",
        0xb => "<=",
        0xc => "s<",
        0xd => "s<=",
        _ => return unknown(insn),
    };
    let with = if insn.code & 8 == 0 { insn.imm.to_string() } else { format!("{letter}{src}") };
    format!("if {letter}{dst} {operator} {with} goto {:+}", insn.off)
}

fn memory(insn: Insn) -> String {
    let (dst, src) = registers(insn);
    let width = match insn.code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    };
    let signed = width.replace('u', "s");
    let place = |register: u8, width: &str| format!("*({width} *)(r{register} {:+})", insn.off);
    match (insn.code & 7, insn.code >> 5) {
        (0, 1) => format!("r0 = *({width} *)skb[{}]", insn.imm),
        (0, 2) => format!("r0 = *({width} *)skb[r{src} {:+}]", insn.imm),
        (1, 3) => format!("r{dst} = {}", place(src, width)),
        (1, 4) => format!("r{dst} = {}", place(src, &signed)),
        (2, 3) => format!("{} = {}", place(dst, width), insn.imm),
        (3, 3) => format!("{} = r{src}", place(dst, width)),
        (3, 6) => format!("lock {} {:#x} r{src}", place(dst, width), insn.imm),
        _ => unknown(insn),
    }
}

fn unknown(insn: Insn) -> String {
    format!("unknown {:#04x} {:#04x} {:+} {}", insn.code, insn.regs, insn.off, insn.imm)
}

#[cfg(test)]
mod tests {
    use ig_model::Insn;

    use super::disassemble;

    /// Scenario: one instruction of each class, and every operation with odd operands.
    /// Guarantees: the notation is the verifier's; no byte makes a panic.
    #[test]
    fn instructions_read_like_the_verifier_s() {
        let insn = |code, regs, off, imm| Insn { code, regs, off, imm };
        let text = disassemble(&[
            insn(0xbf, 0x16, 0, 0),
            insn(0x18, 0x11, 0, 5),
            insn(0, 0, 0, 0),
            insn(0x61, 0x12, 8, 0),
            insn(0x7b, 0x1a, -8, 0),
            insn(0x15, 0x00, 3, 7),
            insn(0x85, 0, 0, 14),
            insn(0x95, 0, 0, 0),
        ]);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let expected = [
            "0: r6 = r1",
            "1: r1 = map[fd:5]",
            "3: r2 = *(u32 *)(r1 +8)",
            "4: *(u64 *)(r10 -8) = r1",
            "5: if r0 == 7 goto +3",
            "6: call helper 14",
            "7: exit",
        ];
        assert_eq!(lines, expected);
        for code in 0..=u8::MAX {
            drop(disassemble(&[insn(code, 0xff, i16::MIN, i32::MIN)]));
        }
    }
}
